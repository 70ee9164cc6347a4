"""
Send metrics through Airflow's own statistics: StatsD, Datadog or OpenTelemetry.

No tag contains an id, so that the number of time series stays small. Tag values consist of letters, digits and ``_``,
which all three accept. A metric that cannot be sent never fails a task.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.airflow_internals.tasks import statistics

if TYPE_CHECKING:
    from decimal import Decimal

log = logging.getLogger(__name__)


class Metric(NamedTuple):
    """A metric: its kind (``counter`` or ``timer``), the unit of its value, and the names of its tags."""

    name: str
    kind: str
    unit: str
    tags: tuple[str, ...] = ()


# docs/reference/metrics.md says when each is sent.
API_CALLS = Metric("klap.api.calls", "counter", "requests", ("endpoint", "status"))
API_RETRIES = Metric("klap.api.retries", "counter", "requests", ("endpoint",))
WAIT = Metric("klap.wait", "timer", "milliseconds", ("job",))
GENERATED = Metric("klap.shorts.generated", "counter", "shorts")
SELECTED = Metric("klap.shorts.selected", "counter", "shorts")
EXPORTED = Metric("klap.shorts.exported", "counter", "exports")
DELIVERED = Metric("klap.shorts.delivered", "counter", "files")
DELIVERED_BYTES = Metric("klap.delivered_bytes", "counter", "bytes")
MISSING = Metric("klap.shorts.missing", "counter", "shorts")
COST = Metric("klap.cost", "counter", "US dollars", ("item",))

METRICS = tuple(each for each in [*vars().values()] if isinstance(each, Metric))


def count(metric: Metric, amount: int | Decimal = 1, **tags: str) -> None:
    """Add to a counter. An amount of 0 sends nothing."""
    if amount:
        # Airflow's signature says int. Its backends and the protocols accept fractions of a dollar.
        _send("incr", metric, float(amount) if amount % 1 else int(amount), tags)


def time(metric: Metric, seconds: float, **tags: str) -> None:
    """Record a duration."""
    _send("timing", metric, timedelta(seconds=seconds), tags)


def _send(how: str, metric: Metric, value: Any, tags: dict[str, str]) -> None:
    try:
        getattr(statistics(), how)(metric.name, value, tags=tags)
    except Exception:  # any error of the metrics backend
        log.debug("%s was not sent", metric.name, exc_info=True)
