"""The files of delivered shorts. Any task of any Dag can write the ledger's rows, so a row proves nothing by itself."""

from __future__ import annotations

import json
from typing import Any

from klap_provider.airflow_internals.api_server import rows_of_asset
from klap_provider.api import redaction
from klap_provider.errors import KlapMissingFileError, KlapNotServedError
from klap_provider.files.allowlist import served_address
from klap_provider.files.served_files import StoredFile, served_video, stored_file
from klap_provider.rules.ledger import delivered_entry
from klap_provider.xcoms import LEDGER

#: Bytes of a JSON file beside a video at most: a transcript of five hours takes a tenth of it.
LARGEST_SIDECAR = 5_000_000


def video_of(dag_id: str, run_id: str, project_id: str) -> StoredFile:
    """
    Return the video that a run has delivered of a short.

    :raises KlapMissingFileError: the ledger has no such row of that run, or the file is gone.
    :raises KlapNotServedError: the API server may not send the file.
    """
    return served_video(_find(dag_id, run_id, project_id)["path"])


def texts_of(dag_id: str, run_id: str, project_id: str) -> dict[str, Any]:
    """
    Return the captions by network, and the transcript, of a delivered short; None where there are none.

    :raises KlapMissingFileError: as :func:`video_of`.
    :raises KlapNotServedError: likewise.
    """
    row = _find(dag_id, run_id, project_id)
    facts = _sidecar(row["path"])
    is_of_it = isinstance(row.get("sha256"), str) and facts.get("sha256") == row["sha256"]
    of_it = facts if is_of_it else {}
    captions, transcript = of_it.get("publication_captions"), of_it.get("transcript")
    return {
        "publication_captions": captions if isinstance(captions, dict) else None,
        "transcript": transcript if isinstance(transcript, str) else None,
    }


def _find(dag_id: str, run_id: str, project_id: str) -> dict[str, Any]:
    """Return what a run has recorded of a short's delivery, if a task of just that run has recorded it."""
    for row in rows_of_asset(LEDGER, keys=[delivered_entry(dag_id, run_id, project_id)]):
        value = row.value if (row.dag_id, row.run_id) == (dag_id, run_id) else None
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            return value
    raise KlapMissingFileError(
        f"The ledger has no file of {project_id} that the run {run_id} of {dag_id} has delivered. Clear the "
        "delivering task: it finds a file that is there, and pays for nothing.",
        passing=False,
    )


def _sidecar(video: str) -> dict[str, Any]:
    """Return what the JSON file beside a video has; nothing if it is not there, or is none."""
    stem, dot, ending = video.rpartition(".")
    if (dot, ending.lower()) != (".", "mp4"):
        raise KlapNotServedError(f"{redaction.shown(video)} is no MP4 file: the API server does not send its texts.")
    try:
        file = stored_file(served_address(f"{stem}.json"))
    except KlapMissingFileError:
        return {}
    if file.size > LARGEST_SIDECAR:
        return {}
    try:
        facts = json.loads(b"".join(file.read(0, file.size)))
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
