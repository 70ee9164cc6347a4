"""Release what a run has reserved of the monthly limits and not paid, and tell people if a limit is near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.operators.failures import log_failure
from klap_provider.operators.monthly_limit import KlapLimitedOperator
from klap_provider.operators.notices import Event, KlapNotifyingOperator
from klap_provider.rules.cost import dollars
from klap_provider.rules.ledger_keys import month_notice_entry
from klap_provider.rules.monthly_limit import NEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.sdk import Context


class KlapRunEndOperator(KlapNotifyingOperator, KlapLimitedOperator):
    """Base of the operators that end a run."""

    def update_limits(self, context: Context, target: str, exports: Callable[[], Iterable[Any]]) -> None:
        """
        Release the exports that exist already, and tell people once per month if a limit is near or reached.

        :param target: Klap's id of the folder or project of the shorts.
        :param exports: returns the results of the exporting tasks.
        """
        with log_failure("Updating the monthly limits"):
            limits = self.monthly_limits(context, self.connection)
            if limits is None:
                return
            reused = [
                each["project_id"] for each in exports() if each and each.get("paid") == 0 and "error" not in each
            ]
            limits.release(target, reused)
            for limit, used in limits.used():
                if used < NEAR * limit.dollars:
                    continue
                is_reached = used + self.connection.prices.export > limit.dollars
                event = Event.LIMIT_REACHED if is_reached else Event.LIMIT_NEAR
                self.notify(
                    context,
                    event,
                    f"Klap: {dollars(used)} of {dollars(limit.dollars)} is paid or reserved in {limits.month}",
                    f"{limit} is {'reached' if is_reached else 'near'}. The month ends on {limits.end:%Y-%m-%d} at "
                    "00:00 UTC.",
                    entry=month_notice_entry(limits.month, limit.scope, event.value),
                )
