"""The asset event of a run that delivered all its shorts."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import Asset, AssetAlias

from klap_provider.airflow_internals.tasks import asset_store, has_asset
from klap_provider.rules.first import wait_for_turn
from klap_provider.rules.ledger import event_entry
from klap_provider.rules.turn import Turn
from klap_provider.xcoms import LEDGER, ShortsEvent

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue


log = logging.getLogger(__name__)


def record(context: Context, alias: str, destination: str, event: ShortsEvent) -> None:
    """
    Have Airflow record an event of the asset that a destination is, when the task has succeeded.

    To be called last: of several runs that are the first to deliver to a destination, the others wait here until one
    has ended. Airflow fails all but one if they end at the same moment (:func:`has_asset` says how).
    """
    from klap_provider.files.storage import asset_uri

    uri = asset_uri(destination)
    turn = Turn(asset_store(LEDGER), event_entry(alias, uri))
    try:
        wait_for_turn(turn, _who(context["ti"]), is_done=lambda: has_asset(alias, uri), sleep=time.sleep)
    except Exception as failure:  # nobody else may be first just now
        log.info("Whether another run delivers there for the first time is not known: %s", type(failure).__name__)
    context["outlet_events"][AssetAlias(alias)].add(Asset(uri=uri), extra=cast("dict[str, JsonValue]", event))


def _who(ti: Any) -> str:
    return f"{ti.dag_id} {ti.run_id} {ti.task_id} {ti.map_index} {ti.try_number}"
