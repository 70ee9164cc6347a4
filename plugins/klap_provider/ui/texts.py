"""The words and numbers of the UI that the server writes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from klap_provider.rules.video_list import URL, label

if TYPE_CHECKING:
    from collections.abc import Mapping


def file_of(address: str) -> str:
    """Return the name of the file that an address leads to; empty if it has none."""
    try:
        return unquote(urlsplit(address).path.rpartition("/")[2])
    except ValueError:
        return ""


def name_of_video(conf: Mapping[str, Any]) -> str:
    """Return what people call the video of a run, by what the run was given: its name, or else its address."""
    name, address = conf.get("name"), conf.get(URL)
    if isinstance(name, str) and name:
        return name
    return label(str(address)) if address else ""
