"""Record what Klap bills for the shorts that it generates."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from klap_provider.api.redaction import shown
from klap_provider.operators.failures import log_failure
from klap_provider.rules.ledger import VERSION
from klap_provider.rules.ledger_keys import generated_key, payment_key
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from klap_provider.rules.cost import Cost
    from klap_provider.rules.ledger import Store


def record_generated_shorts(ledger: Store, spent: Cost, *, target: str, video: str | None, run: str) -> None:
    """
    Record the price of the generated shorts in the ledger and in the metrics, once per folder.

    If the row cannot be written, log the failure. The sums of the ledger then lack this price.

    :param spent: cost of the run before any export.
    :param target: Klap's id of the folder or project that has the shorts.
    :param video: address of the source video, if it is known.
    :param run: id of the run in the ledger, see :func:`~klap_provider.operators.ledger.run_of`.
    """
    if not spent.generated_shorts:
        return
    note = generated_key(target)
    at = datetime.now(timezone.utc).isoformat()
    key = payment_key(at, target)
    price = spent.generated_shorts * spent.prices.generated_short
    row = {
        "version": VERSION,
        "id": target,
        "run": run,
        "at": at,
        "price": float(price),
        "what": f"{spent.generated_shorts} generated shorts",
        "video": shown(video) if video else f"folder {target}",
        **({"estimated": True} if spent.prices.estimated else {}),
    }
    with log_failure(f"Recording the price of {row['what']} in the ledger"):
        if ledger.get(note) is not None:
            return
        ledger.set(key, row)
        ledger.set(note, {"version": VERSION, "payment": key})
        metrics.count(metrics.GENERATED, spent.generated_shorts)
        metrics.count(metrics.COST, price, item="generated_short")
