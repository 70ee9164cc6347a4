"""Record the asset event of a run that delivered all its shorts."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, cast

from airflow.sdk import Asset, AssetAlias

from klap_provider.airflow_internals.asset_store import AssetStore, has_asset
from klap_provider.rules.claim import Claim
from klap_provider.rules.ledger import VERSION
from klap_provider.rules.ledger_keys import event_entry
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

    from klap_provider.rules.manifest import ShortsEvent

log = logging.getLogger(__name__)

#: Seconds to wait for another run that is about to record the first event of the asset.
FIRST_EVENT_TIMEOUT = 30


def record(context: Context, alias: str, destination: str, event: ShortsEvent) -> None:
    """
    Add an event of the destination's asset to the task. Airflow records it when the task succeeds.

    Call this last. If several runs are the first to deliver to a destination, one records its event, and the others
    wait for it here: Airflow would fail all but one of them if they ended at the same moment (see :func:`has_asset`).

    :param alias: name of the asset alias.
    :param destination: folder or URL that the run delivered to.
    :param event: ``extra`` of the event.
    """
    from klap_provider.files.storage import asset_uri

    uri = asset_uri(destination)
    try:
        _wait_for_first_event(alias, uri)
    except Exception as failure:  # another run rarely records the first event at the same moment
        log.info("It is not known whether the asset %s exists: %s", uri, type(failure).__name__)
    context["outlet_events"][AssetAlias(alias)].add(Asset(uri=uri), extra=cast("dict[str, JsonValue]", event))


def _wait_for_first_event(alias: str, uri: str) -> None:
    """Work around the defect of Airflow that :func:`has_asset` describes. Delete both together."""
    store, entry = AssetStore(LEDGER), event_entry(alias, uri)
    if store.get(entry) is not None:  # has_asset reads all assets of the alias, and their number grows
        return
    claim = Claim(store, entry, uuid.uuid4().hex)
    if claim.acquire():
        return
    for _ in range(FIRST_EVENT_TIMEOUT):
        if has_asset(alias, uri):
            store.set(entry, {"version": VERSION})
            return
        time.sleep(1)
