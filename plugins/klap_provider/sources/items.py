"""Items of videos."""

from __future__ import annotations

from typing import Any

from klap_provider.api.addresses import canonical
from klap_provider.rules.pace import Pace as Pace
from klap_provider.rules.source_runs import Item as Item
from klap_provider.rules.video_list import URL


def video_item(item_id: str, address: str, fields: dict[str, Any] | None = None, **more: Any) -> Item:
    """
    Return the item of a video, which is known by its id and by its address.

    :param fields: values of form fields for this video.
    :param more: further fields of :class:`~klap_provider.rules.source_runs.Item`.
    """
    known = canonical(address)
    return Item(id=item_id, conf={URL: address, **(fields or {})}, also=() if known == item_id else (known,), **more)
