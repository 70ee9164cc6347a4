"""The asset event of a run that delivered all its shorts."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, cast

from airflow.sdk import Asset, AssetAlias

from klap_provider.airflow_internals.tasks import asset_store, has_asset
from klap_provider.rules.claim import Claim
from klap_provider.rules.ledger import VERSION, event_entry
from klap_provider.xcoms import LEDGER, ShortsEvent

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue


log = logging.getLogger(__name__)

#: Seconds for which the first event of an asset is waited for, if another run is about to record it.
PATIENCE = 30


def record(context: Context, alias: str, destination: str, event: ShortsEvent) -> None:
    """
    Have Airflow record an event of the asset that a destination is, when the task has succeeded.

    To be called last. If several runs are the first to deliver to a destination, one records its event, and the others
    wait here for it: Airflow fails all but one of them if they end at the same moment (see :func:`has_asset`).
    """
    from klap_provider.files.storage import asset_uri

    uri = asset_uri(destination)
    try:
        _wait_for_first_event(alias, uri)
    except Exception as failure:  # most likely no other run is the first at this moment
        log.info("It is not known whether another run delivers there for the first time: %s", type(failure).__name__)
    context["outlet_events"][AssetAlias(alias)].add(Asset(uri=uri), extra=cast("dict[str, JsonValue]", event))


def _wait_for_first_event(alias: str, uri: str) -> None:
    store, entry = asset_store(LEDGER), event_entry(alias, uri)
    if store.get(entry) is not None:  # Airflow can only be asked for all assets of the alias, and they become more
        return
    claim = Claim(store, entry, uuid.uuid4().hex)
    if claim.enter() and claim.hold():
        return
    for _ in range(PATIENCE):
        if has_asset(alias, uri):
            store.set(entry, {"version": VERSION})
            return
        time.sleep(1)
