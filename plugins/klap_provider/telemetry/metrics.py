"""
What is counted and timed for whoever watches Airflow, in Airflow's own statistics: StatsD, Datadog or OpenTelemetry.

No tag has an id in it, so that there are few time series; every value of a tag is made of letters, digits and ``_``,
which all three take. While Airflow's metrics are off, nothing is done here; and nothing here ever fails a task.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf

from klap_provider.airflow_internals.tasks import statistics

if TYPE_CHECKING:
    from decimal import Decimal

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metric:
    """
    One thing that is measured.

    :param kind: ``counter`` or ``timer``.
    :param unit: of its value.
    :param tags: names of its tags.
    """

    name: str
    kind: str
    unit: str
    tags: tuple[str, ...] = ()


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

METRICS = (
    API_CALLS,
    API_RETRIES,
    WAIT,
    GENERATED,
    SELECTED,
    EXPORTED,
    DELIVERED,
    DELIVERED_BYTES,
    MISSING,
    COST,
)


def count(metric: Metric, amount: int | Decimal = 1, **tags: str) -> None:
    """Add to a counter; adding nothing is no event."""
    if amount and is_on():
        # Airflow's signature says int; its back ends, and the protocols, take fractions of a dollar.
        _send("incr", metric, float(amount) if amount % 1 else int(amount), tags)


def time(metric: Metric, seconds: float, **tags: str) -> None:
    """Note how long something took."""
    if is_on():
        _send("timing", metric, timedelta(seconds=seconds), tags)


def _send(how: str, metric: Metric, value: Any, tags: dict[str, str]) -> None:
    try:
        getattr(statistics(), how)(metric.name, value, tags=tags)
    except Exception:  # whatever the back end fails with, the task goes on
        log.debug("%s was not sent", metric.name, exc_info=True)


@functools.cache
def is_on() -> bool:
    """Whether anybody listens."""
    # Airflow's functions do nothing then either, but take longer, and read a file in the triggerer's event loop first.
    return any(conf.getboolean("metrics", name) for name in ("statsd_on", "statsd_datadog_enabled", "otel_on"))
