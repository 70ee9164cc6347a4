"""What Klap bills for the shorts that it generates, in the ledger, and how many there are, in Airflow's metrics."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from klap_provider.api.redaction import shown
from klap_provider.rules.ledger import VERSION, generated_key, payment_key
from klap_provider.telemetry import metrics
from klap_provider.xcoms import COUNTED_SHORTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from klap_provider.rules.cost import Cost
    from klap_provider.rules.ledger import Store

log = logging.getLogger(__name__)


def bill(ledger: Store, spent: Cost, *, target: str, video: str | None, run: str) -> None:
    """
    Record what Klap bills for the shorts that it generated, once for each folder.

    A row that cannot be written fails no task: it is logged, and the sums lack it.

    :param spent: what the run has paid for before any export.
    :param target: Klap's id of the folder or project that the shorts are in.
    :param video: address of the video that they were cut from, if it is known.
    :param run: the run that paid for them, as the ledger names it.
    """
    if not spent.generated_shorts:
        return
    note = generated_key(target)
    at = datetime.now(timezone.utc).isoformat()
    key = payment_key(at, target)
    row = {
        "version": VERSION,
        "id": target,
        "run": run,
        "at": at,
        "price": float(spent.generated_shorts * spent.prices.generated_short),
        "what": f"{spent.generated_shorts} generated shorts",
        "video": shown(video) if video else f"folder {target}",
        **({"second_hand": True} if spent.prices.second_hand else {}),
    }
    try:
        if ledger.get(note) is None:
            ledger.set(key, row)
            ledger.set(note, {"version": VERSION, "payment": key})
    except Exception as failure:
        log.warning("The price of %s is not in the ledger: %s: %s", row["what"], type(failure).__name__, failure)


def count(context: Context, spent: Cost, *, target: str, listed: int, selected: int) -> None:
    """Count the shorts in Airflow's metrics, once for each folder; the parameters are those of :func:`bill`."""
    if not metrics.is_on():
        return
    store = context["task_state_store"]
    if store.get(COUNTED_SHORTS_KEY) != target:
        store.set(COUNTED_SHORTS_KEY, target)
        metrics.count(metrics.GENERATED, listed)
        metrics.count(metrics.SELECTED, selected)
        made = (spent.generated_shorts or 0) * spent.prices.generated_short
        metrics.count(metrics.COST, made, item="generated_short")
