"""The monthly limits of the connection and of the Dag, for the operators that pay."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from klap_provider.operators.base import KlapOperator
from klap_provider.operators.ledger import Clock, Ledger, run_of
from klap_provider.rules.cost import dollars
from klap_provider.rules.monthly_limit import Limit, MonthlyLimits, pause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context

    from klap_provider.hooks.connection import KlapConnection

log = logging.getLogger(__name__)

#: What a request reserves before its POST.
POST = "post"

#: How long watched sources pause after Klap answered that the credit is used up.
CREDIT_PAUSE = timedelta(hours=1)


class KlapLimitedOperator(KlapOperator):
    """
    Base of the operators to which monthly limits apply.

    :param monthly_limit: maximum cost of all runs of this Dag per calendar month (UTC) in US dollars. The limit of the
        connection applies, too. Default: no limit.
    :param monthly_limit_action: ``stop``: nothing is paid beyond the limit. ``warn``: the notifiers are told. Default
        ``stop``.
    """

    def __init__(
        self, *, monthly_limit: float | None = None, monthly_limit_action: str = "stop", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if monthly_limit is not None and not 0 <= monthly_limit <= 1_000_000:
            raise ValueError(f"monthly_limit is {monthly_limit!r}; it takes US dollars up to 1,000,000, or None")
        if monthly_limit_action not in ("stop", "warn"):
            raise ValueError(f"monthly_limit_action is {monthly_limit_action!r}; it takes 'stop' or 'warn'")
        self.monthly_limit = monthly_limit
        self.monthly_limit_action = monthly_limit_action

    def monthly_limits(self, context: Context, connection: KlapConnection) -> MonthlyLimits | None:
        """Return the limits that apply to this run; None if there are none."""
        limits = []
        if connection.monthly_limit is not None:
            warns = connection.monthly_limit_action == "warn"
            limits.append(Limit("connection", connection.conn_id, connection.monthly_limit, warns))
        if self.monthly_limit is not None:
            dag_id, warns = context["ti"].dag_id, self.monthly_limit_action == "warn"
            limits.append(Limit("dag", dag_id, Decimal(str(self.monthly_limit)), warns))
        if not limits:
            return None
        return MonthlyLimits(Ledger(), limits, run_of(context), uuid.uuid4().hex, Clock(), utc_now())

    def pause_watchers(self, connection: KlapConnection, failure: Exception) -> None:
        """Tell watchers for a while not to start runs, because the credit at Klap is used up."""
        with suppress(Exception):  # must not hide the failure
            pause(Ledger(), f"connection {connection.conn_id}", utc_now() + CREDIT_PAUSE, str(failure))


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(timezone.utc)


def reservation_of(request_log: str, paid: int) -> str:
    """
    Return what a POST is reserved as.

    :param request_log: log of the request in the ledger.
    :param paid: number of POSTs of the run that Klap has accepted for the request before.
    """
    return f"{request_log} {paid}"


def log_used(used: Iterable[tuple[Limit, Decimal]]) -> None:
    """Log what is paid or reserved of each limit, and what is left."""
    for limit, total in used:
        left = limit.dollars - total
        log.log(
            logging.WARNING if left < 0 else logging.INFO,
            "%s is %s: %s is paid or reserved, %s",
            limit,
            dollars(limit.dollars),
            dollars(total),
            f"{dollars(-left)} beyond the limit" if left < 0 else f"{dollars(left)} is left",
        )
