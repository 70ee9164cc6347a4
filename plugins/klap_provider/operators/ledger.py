"""The base of the operators that read or write the ledger."""

from __future__ import annotations

import functools
import logging
import random
import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from klap_provider.airflow_internals.asset_store import AssetStore
from klap_provider.operators.base import KlapOperator
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Self

    from klap_provider.rules.ledger import Store

log = logging.getLogger(__name__)

#: Seconds before each retry of a failed write to the ledger. Airflow's client has retried before.
WRITE_RETRY_DELAYS = (1.0, 4.0)


class KlapLedgerOperator(KlapOperator):
    """Base of the operators that read or write the ledger: the state store of the asset ``klap_ledger``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inlets = [*self.inlets, Asset(LEDGER)]  # so that Airflow creates the asset

    def prepare_for_execution(self) -> Self:
        """
        Return the copy of the task that Airflow executes, without the ledger among its inlets.

        For a task with inlets, Airflow first requests whether they are active. The request is not needed: writing to an
        inactive asset fails anyway.
        """
        other = super().prepare_for_execution()
        other.inlets = [inlet for inlet in self.inlets if inlet != Asset(LEDGER)]
        return other

    @functools.cached_property
    def ledger(self) -> Store:
        """The ledger's rows."""
        return Ledger()


class Ledger:
    """The ledger in Airflow's asset store. Failed writes are retried, because a row can have the id of a paid job."""

    def __init__(self) -> None:
        self._store = AssetStore(LEDGER)

    def get(self, name: str) -> Any:
        """Return a row, or None if it does not exist."""
        return self._store.get(name)

    def set(self, name: str, value: Any) -> None:
        """Write or overwrite a row."""
        for seconds in WRITE_RETRY_DELAYS:
            try:
                self._store.set(name, value)
                return
            except Exception as failure:  # the last attempt raises
                log.warning(
                    "The row %r of %s was not written (%s). Retry in %g s",
                    name,
                    LEDGER,
                    type(failure).__name__,
                    seconds,
                )
            time.sleep(seconds)
        self._store.set(name, value)

    def delete(self, name: str) -> None:
        """Remove a row."""
        self._store.delete(name)


class Clock:
    """The time of this machine."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait for about this long, so that simultaneous runs are spread."""
        time.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311  # no secret depends on it


def run_of(context: Context) -> str:
    """Return the id of a run in the ledger."""
    return f"{context['ti'].dag_id} {context['ti'].run_id}"
