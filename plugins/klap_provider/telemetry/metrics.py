"""
Send metrics through Airflow's own statistics: StatsD, Datadog or OpenTelemetry.

No tag contains an id, so that the number of time series stays small. Tag values consist of letters, digits and ``_``,
which all three accept. A metric that cannot be sent never fails a task.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.tasks import statistics

if TYPE_CHECKING:
    from decimal import Decimal

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metric:
    """
    A metric.

    :param kind: ``counter`` or ``timer``.
    :param unit: unit of the value.
    :param when: when it is sent, for the docs.
    :param tags: names of the tags.
    """

    name: str
    kind: str
    unit: str
    when: str
    tags: tuple[str, ...] = ()


API_CALLS = Metric(
    "klap.api.calls",
    "counter",
    "requests",
    "A worker or the triggerer has sent a request to Klap, and got a response or none.",
    ("endpoint", "status"),
)
API_RETRIES = Metric(
    "klap.api.retries",
    "counter",
    "requests",
    "A GET is about to be repeated within the same task. Polls of a wait do not count.",
    ("endpoint",),
)
WAIT = Metric(
    "klap.wait",
    "timer",
    "milliseconds",
    "A poll found the job ready. The value is the time since the submission. Not sent if the first poll found the job "
    "ready, as after a clear.",
    ("job",),
)
GENERATED = Metric(
    "klap.shorts.generated",
    "counter",
    "shorts",
    "The shorts that the run has paid for were listed for the first time. The value is their number.",
)
SELECTED = Metric(
    "klap.shorts.selected", "counter", "shorts", "The shorts to export were selected. The value is their number."
)
EXPORTED = Metric("klap.shorts.exported", "counter", "exports", "Klap accepted an export.")
DELIVERED = Metric("klap.shorts.delivered", "counter", "files", "A video was completely copied to storage.")
DELIVERED_BYTES = Metric(
    "klap.delivered_bytes", "counter", "bytes", "A video was completely copied to storage. The value is its size."
)
MISSING = Metric("klap.shorts.missing", "counter", "shorts", "`publish` found that a selected short was not delivered.")
COST = Metric(
    "klap.cost",
    "counter",
    "US dollars",
    "Klap accepted a submission or an export, or generated shorts were counted. The value is the price.",
    ("item",),
)

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
