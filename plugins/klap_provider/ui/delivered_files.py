"""Read the files of delivered shorts. Any task can write any ledger row, so the recorded writer is checked."""

from __future__ import annotations

import json
from typing import Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.state_store import StateRow, rows
from klap_provider.api import redaction
from klap_provider.errors import KlapMissingFileError, KlapNotServedError
from klap_provider.files.allowlist import served_address
from klap_provider.files.served_files import StoredFile, served_video, stored_file
from klap_provider.rules.ledger_keys import delivered_entry, delivered_keys
from klap_provider.ui.texts import DELIVER
from klap_provider.xcoms import LEDGER

#: Maximum size of a sidecar in bytes. A transcript of five hours takes a tenth of it.
LARGEST_SIDECAR = 5_000_000


def video_of(dag_id: str, run_id: str, project_id: str) -> StoredFile:
    """
    Return the video file of a delivered short.

    :raises KlapMissingFileError: the run did not record a delivery of the short, or the file is gone.
    :raises KlapNotServedError: the API server may not send the file.
    """
    return served_video(_find(dag_id, run_id, project_id)["path"])


def addresses_of(dag_id: str, run_id: str) -> list[str]:
    """Return the addresses of the video files that a run delivered."""
    with database.reading() as session:
        found = rows(session, LEDGER, ranges=[delivered_keys(dag_id, run_id)])
        return sorted(value["path"] for row in found if (value := _value(session, row, dag_id, run_id)))


def texts_of(dag_id: str, run_id: str, project_id: str) -> dict[str, Any]:
    """
    Return the captions by network, and the transcript, of a delivered short; None for what is missing.

    :raises KlapMissingFileError: see :func:`video_of`.
    :raises KlapNotServedError: see :func:`video_of`.
    """
    row = _find(dag_id, run_id, project_id)
    facts = _sidecar(row["path"])
    if not isinstance(row.get("sha256"), str) or facts.get("sha256") != row["sha256"]:
        facts = {}  # the sidecar of another video
    captions, transcript = facts.get("publication_captions"), facts.get("transcript")
    return {
        "publication_captions": captions if isinstance(captions, dict) else None,
        "transcript": transcript if isinstance(transcript, str) else None,
    }


def _find(dag_id: str, run_id: str, project_id: str) -> dict[str, Any]:
    """Return the ledger row that the delivering task of a run wrote for a short."""
    with database.reading() as session:
        for row in rows(session, LEDGER, keys=[delivered_entry(dag_id, run_id, project_id)]):
            if value := _value(session, row, dag_id, run_id):
                return value
    raise KlapMissingFileError(
        f"The ledger has no delivered file of the short {project_id} for the run {run_id} of the Dag {dag_id}. Clear "
        "the task that delivers the short: it records an existing file again, free of charge.",
        transient=False,
    )


def _value(session: Any, row: StateRow, dag_id: str, run_id: str) -> dict[str, Any] | None:
    """Return the value of a row that a delivering task of a run wrote for the short that its key names, or None."""
    value = row.value if _is_written_by_delivery(session, row, dag_id, run_id) else None
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        return None
    return value if row.key == delivered_entry(dag_id, run_id, str(value.get("project_id"))) else None


def _is_written_by_delivery(session: Any, row: StateRow, dag_id: str, run_id: str) -> bool:
    """Return whether a delivering task of a run last wrote a row. Of a deleted run, any task of it counts."""
    if (row.dag_id, row.run_id) != (dag_id, run_id):
        return False
    deliveries = database.instances(session, [(dag_id, run_id)], (DELIVER,))
    is_writer = any((each.task_id, each.map_index) == (row.task_id, row.map_index) for each in deliveries)
    return is_writer or not database.runs(session, [(dag_id, run_id)])


def _sidecar(video: str) -> dict[str, Any]:
    """Return the sidecar of a video; empty if it is missing or invalid."""
    stem, dot, ending = video.rpartition(".")
    if (dot, ending.lower()) != (".", "mp4"):
        raise KlapNotServedError(
            f"{redaction.shown(video)} is not an MP4 file, so the API server does not send its captions."
        )
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
