"""Read and write the JSON file beside each delivered video, which has Klap's texts for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.files.storage import atomic_file

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from klap_provider.files.storage import Writer


def sidecar_of(video: ObjectStoragePath) -> ObjectStoragePath:
    """Return the path of a video's JSON file."""
    return video.parent / f"{video.stem}.json"


def read_sidecar(path: ObjectStoragePath) -> dict[str, Any]:
    """Return the content of the JSON file; an empty dict if it does not exist or cannot be read."""
    try:
        facts = json.loads(path.fs.cat_file(path.path))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_json(path: ObjectStoragePath, document: dict[str, Any], writer: Writer | None = None) -> None:
    """Write a JSON file. It appears only when it is complete."""
    with atomic_file(path, writer) as sink:
        sink.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
