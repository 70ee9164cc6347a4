"""The JSON file beside each delivered video: what Klap says of it, for whoever publishes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.files.storage import atomic_file

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from klap_provider.files.storage import Writer


def sidecar_of(video: ObjectStoragePath) -> ObjectStoragePath:
    """Return where the file of a video is."""
    return video.parent / f"{video.stem}.json"


def read_sidecar(path: ObjectStoragePath) -> dict[str, Any]:
    """Return what an earlier try wrote; nothing, if that is not there or cannot be read."""
    try:
        facts = json.loads(path.fs.cat_file(path.path))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_json(path: ObjectStoragePath, document: dict[str, Any], writer: Writer | None = None) -> None:
    """
    Write a JSON file for people and programs, whole or not at all.

    :param writer: the try that writes it; None outside a task.
    """
    with atomic_file(path, writer) as sink:
        sink.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
