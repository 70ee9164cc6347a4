"""The JSON file beside each delivered video: what Klap says of it, for whoever publishes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.files.storage import whole_file
from klap_provider.rules.selection import virality_percentages

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from klap_provider.api.answers import Project

#: Characters of a transcript that may travel in an XCom and in an asset event. A longer one is in the file alone.
LONGEST_TRANSCRIPT = 10_000


def sidecar_of(video: ObjectStoragePath) -> ObjectStoragePath:
    """Return where the file of a video is."""
    return video.parent / f"{video.stem}.json"


def facts_of(project: Project, *, short_name: str | None, virality_score: float | None) -> dict[str, Any]:
    """
    Return what Klap says of a short.

    :param short_name: for a project without a name.
    :param virality_score: 0–100, which is told from the whole list of shorts; None: as far as this short tells.
    """
    return {
        "name": project.name or short_name or project.id,
        "virality_score": virality_percentages([project])[0] if virality_score is None else round(virality_score),
        "explanation": project.virality_score_explanation,
        "duration": project.duration,
        "publication_captions": project.publication_captions,
        "transcript": project.transcript_text,
    }


def read_sidecar(path: ObjectStoragePath) -> dict[str, Any]:
    """Return what an earlier try wrote; nothing, if that is not there or cannot be read."""
    try:
        facts = json.loads(path.fs.cat_file(path.path))
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_json(path: ObjectStoragePath, document: dict[str, Any]) -> None:
    """Write a JSON file for people and programs, whole or not at all."""
    with whole_file(path) as sink:
        sink.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
