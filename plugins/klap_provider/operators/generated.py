"""What Klap bills for the shorts that it generates, in the ledger, and how many there are, in Airflow's metrics."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from klap_provider.api.public_form import shown
from klap_provider.rules.ledger import paid_entry
from klap_provider.telemetry import metrics
from klap_provider.xcoms import COUNTED_SHORTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from klap_provider.rules.cost import Cost
    from klap_provider.rules.ledger import Store


def bill(ledger: Store, spent: Cost, *, target: str, video: str | None, run: str) -> None:
    """
    Write down what Klap bills for the shorts, once for each folder and run that paid for it.

    :param spent: what the run has paid for before any export.
    :param target: Klap's id of the folder or project that they are in.
    :param video: what they were cut from, if that is known.
    :param run: that paid for them, as the ledger calls it.
    """
    if not spent.generated_shorts:
        return
    entry = paid_entry(shown(video) if video else f"folder {target}", target)
    if ledger.get(entry) is None:
        price = float(spent.generated_shorts * spent.prices.generated_short)
        at = datetime.now(timezone.utc).isoformat()
        line = {
            "id": target,
            "run": run,
            "at": at,
            "price": price,
            "what": f"{spent.generated_shorts} generated shorts",
        }
        ledger.set(entry, {**line, **({"second_hand": True} if spent.prices.second_hand else {})})


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
