"""The texts and numbers of the tab that the server writes. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from klap_provider.api.addresses import canonical
from klap_provider.api.redaction import shown
from klap_provider.rules.selection import Unselected
from klap_provider.rules.video_list import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXPORT, EXPORT_WAIT, DELIVER = STEPS = ("ExportShortOperator", "ExportStatusSensor", "DeliverShortOperator")

#: The text for a running step.
RUNNING = {EXPORT: "Requesting the export", EXPORT_WAIT: "Exporting", DELIVER: "Delivering"}
#: The text for a step that succeeded.
DONE = {EXPORT: "Export requested", EXPORT_WAIT: "Exported", DELIVER: "Delivered"}
#: The text for a step that failed.
FAILED = {
    "SubmitShortsOperator": "The video could not be submitted",
    "SubmitVideoOperator": "The video could not be submitted",
    "TaskStatusSensor": "The wait for Klap failed",
    EXPORT: "The export could not be requested",
    EXPORT_WAIT: "The export failed",
    DELIVER: "The delivery failed",
}
#: The text for a step that failed because its paid request is in doubt.
IN_DOUBT = {
    "SubmitShortsOperator": "It is not known whether Klap received this video",
    "SubmitVideoOperator": "It is not known whether Klap received this video",
    EXPORT: "It is not known whether Klap received this export request",
}
#: The text for a step that failed because its settings are not those of its paid request.
CHANGED = {
    "SubmitShortsOperator": "The settings have changed since this video was paid for",
    "SubmitVideoOperator": "The settings have changed since this video was paid for",
    EXPORT: "The settings have changed since this export was paid for",
}

#: The text for the reason why a short was not selected.
LEFT_OUT: Mapping[str, str] = {
    Unselected.BELOW_MINIMUM.value: "Below the minimum score",
    Unselected.NO_SCORE.value: "No score from Klap",
    Unselected.BEYOND_LIMIT.value: 'Over the limit in "Shorts to export"',
    Unselected.NOT_SELECTED.value: "Not selected",
    Unselected.BEYOND_BUDGET.value: "Over the budget",
    Unselected.BEYOND_MONTH.value: "Over the monthly limit",
    Unselected.BEYOND_MAP_LENGTH.value: "Over Airflow's max_map_length",
    Unselected.SELECTED_BEFORE.value: "Not in the earlier selection of this run",
}


def no_permission(what: str) -> str:
    """Return the message for a missing permission. ``what``: what it permits, such as ``edit assets``."""
    return f"You need the permission to {what}. Ask an administrator."


def file_of(address: str) -> str:
    """Return the file name in an address; empty if it has none."""
    try:
        return unquote(urlsplit(address).path.rpartition("/")[2])
    except ValueError:
        return ""


def file_size(size: float) -> str:
    """Return a number of bytes as text."""
    if size < 1e6:
        return f"{-(-size // 1e3):.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


def count(shorts: int) -> str:
    """Return a number of shorts as text."""
    return "1 short" if shorts == 1 else f"{shorts} shorts"


def step_text(operator: str, state: str | None) -> str:
    """Return the text for a step of a short in a state."""
    if state == "success":
        return DONE[operator]
    if state == "failed":
        return FAILED[operator]
    if state == "up_for_retry":
        return f"{RUNNING[operator]}: will be retried"
    if state == "upstream_failed":
        return "Not reached"
    if state == "skipped":
        return "Skipped"
    return "Waiting to start" if state in (None, "scheduled", "queued") else RUNNING[operator]


def web_address(value: Any) -> str | None:
    """Return an address that is safe to link to, or None."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return value if parts is not None and parts.scheme in ("http", "https") and parts.hostname else None


#: Klap's hosts, or a local server. No user, backslash or space: browsers interpret these differently.
_PLAYER = re.compile(
    r"(https://([a-z0-9-]+\.)*klap\.(app|video)|https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)/[^\\\s]*"
)


def player_address(value: Any) -> str | None:
    """Return the address if it is one of Klap's player, which the page may embed; otherwise None."""
    return value if isinstance(value, str) and _PLAYER.fullmatch(value) else None


#: Stands for the query in an address that was shortened for display.
HIDDEN = "?…"


def source_of(address: str) -> dict[str, str | None]:
    """
    Return a video's address for display: ``{"text", "href"}``.

    :param address: complete, or shortened for display.
    :return: ``href`` is None if the displayed address is not a complete web address.
    """
    text = address if HIDDEN in address else shown(address)
    is_whole = HIDDEN not in text and text == canonical(address)
    return {"text": text, "href": web_address(text) if is_whole else None}


def label_of(address: str) -> str:
    """Return the label of a video by its address, complete or shortened for display."""
    return address.partition("://")[2] if HIDDEN in address else label(address)


def last_parts(labels: Sequence[str]) -> list[str]:
    """Return the last parts of labels of addresses, each long enough to differ from those of the other addresses."""
    found: dict[str, str] = {}
    left, parts = set(labels), 0
    while left:
        parts += 1
        ends = {label: "/".join(label.split("/")[-parts:]) for label in left}
        counts = Counter(ends.values())
        done = {label: end for label, end in ends.items() if counts[end] == 1 or end == label}
        found |= done
        left -= done.keys()
    return [found[label] for label in labels]
