"""The words and numbers of the tab that the server writes. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from klap_provider.api.addresses import canonical
from klap_provider.api.redaction import shown
from klap_provider.rules.selection import Unselected
from klap_provider.rules.video_list import label

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORT, EXPORT_WAIT, DELIVER = STEPS = ("ExportShortOperator", "ExportStatusSensor", "DeliverShortOperator")

#: What a step does while it is at work.
AT_WORK = {EXPORT: "Ordering the export", EXPORT_WAIT: "Klap is exporting", DELIVER: "Delivering"}
#: What a step has done when it succeeded.
DONE = {EXPORT: "Export ordered", EXPORT_WAIT: "Exported", DELIVER: "Delivered"}
#: What it means that a step failed.
FAILED = {
    "SubmitShortsOperator": "The video could not be submitted",
    "SubmitVideoOperator": "The video could not be submitted",
    "TaskStatusSensor": "Klap did not finish the video",
    EXPORT: "The export could not be ordered",
    EXPORT_WAIT: "The export failed",
    DELIVER: "The delivery failed",
}

#: Why a short was not selected.
LEFT_OUT: Mapping[str, str] = {
    Unselected.BELOW_MINIMUM.value: "Below the minimum score",
    Unselected.NO_SCORE.value: "No score from Klap",
    Unselected.BEYOND_LIMIT.value: "Beyond the limit",
    Unselected.NOT_SELECTED.value: "Not selected in the review",
    Unselected.BEYOND_BUDGET.value: "Beyond the budget",
    Unselected.BEYOND_MAP_LENGTH.value: "Beyond Airflow's max_map_length",
    Unselected.SELECTED_BEFORE.value: "Not in the earlier selection of this run",
}


def file_of(address: str) -> str:
    """Return the name of the file that an address leads to; empty if it has none."""
    try:
        return unquote(urlsplit(address).path.rpartition("/")[2])
    except ValueError:
        return ""


def file_size(size: float) -> str:
    """Return a number of bytes in words."""
    if size < 1e6:
        return f"{-(-size // 1e3):.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


def count(shorts: int) -> str:
    """Return a number of shorts in words."""
    return "1 short" if shorts == 1 else f"{shorts} shorts"


def step_words(operator: str, state: str | None) -> str:
    """Return what a step of a short is at, or has come to."""
    if state == "success":
        return DONE[operator]
    if state == "failed":
        return FAILED[operator]
    if state == "up_for_retry":
        return f"{AT_WORK[operator]}: will be retried"
    if state == "upstream_failed":
        return "Not reached"
    if state == "skipped":
        return "Skipped"
    return "Waiting to start" if state in (None, "scheduled", "queued") else AT_WORK[operator]


def web_address(value: Any) -> str | None:
    """Return an address that is safe to link to, or None."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return value if parts is not None and parts.scheme in ("http", "https") and parts.hostname else None


#: Klap's hosts, or a local server in their place. No user, backslash or space: browsers read these in other ways.
_PLAYER = re.compile(
    r"(https://([a-z0-9-]+\.)*klap\.(app|video)|https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)/[^\\\s]*"
)


def player_address(value: Any) -> str | None:
    """Return an address of Klap's player, to be embedded in the page; None if it is not one."""
    return value if isinstance(value, str) and _PLAYER.fullmatch(value) else None


#: Where an address was shown before, this stands for its query.
HIDDEN = "?…"


def source_of(address: str) -> dict[str, str | None]:
    """
    Return a video's address as it may be shown: ``{"text", "href"}``.

    :param address: whole, or as it was shown before.
    :return: ``href`` is None where the shown address leads nowhere: it is none of the web, or a part of it is hidden.
    """
    text = address if HIDDEN in address else shown(address)
    is_whole = HIDDEN not in text and text == canonical(address)
    return {"text": text, "href": web_address(text) if is_whole else None}


def label_of(address: str) -> str:
    """Return what people call a video by its address, whole or as it was shown before."""
    return address.partition("://")[2] if HIDDEN in address else label(address)
