"""Items of videos."""

from __future__ import annotations

from datetime import date, datetime, timezone
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


def seconds_of(value: Any) -> float | None:
    """
    Return a time of a source in seconds since the epoch. Without a time zone, it is UTC.

    :param value: an ISO 8601 time, a date, or seconds; None: not known.
    :raises ValueError: the value has another form.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))  # Python 3.10 does not read the Z
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=timezone.utc).timestamp()
    return None if value is None else float(value)
