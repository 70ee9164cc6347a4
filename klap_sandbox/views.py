"""What the API answers: tasks, projects, exports and users as Klap shows them."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from klap_sandbox.store import ERROR, READY

if TYPE_CHECKING:
    from klap_sandbox.settings import Settings
    from klap_sandbox.store import Export, Job, Project, Task

OWNER_ID = "5a0db0c5-0000-4000-8000-000000000000"
"""``author_id`` of whatever is not done on behalf of a managed user."""
ORGANIZATION_ID = "5a0db0c5-0000-4000-8000-000000000001"


def task_view(task: Task, status: str, settings: Settings) -> dict[str, Any]:
    """A Task as it looks with this status."""
    return {
        "id": task.id,
        "type": task.type,
        "status": status,
        "created_at": timestamp(task.created_at, settings),
        "output_type": "folder" if task.type == "video-to-shorts" else "project",
        "output_id": task.output_id if status == READY or settings.output_id == "at_once" else None,
        **_failure(task, status, settings),
    }


def project_view(project: Project, folder_id: str | None, settings: Settings) -> dict[str, Any]:
    """A Project.

    :param folder_id: the folder in which it was found; None on the direct path.
    """
    short = project.short
    details = {
        "publication_captions": short.captions,
        "transcript_text": short.transcript,
        "duration": short.seconds,
    }
    return {
        "id": project.id,
        "author_id": project.task.on_behalf_of or OWNER_ID,
        "folder_id": folder_id,
        "name": short.name,
        "created_at": timestamp(project.created_at, settings),
        **_score(short.score, settings),
        "virality_score_explanation": short.explanation,
        **(details if settings.project_details == "there" else {}),
    }


def export_view(export: Export, status: str, base_url: str, settings: Settings) -> dict[str, Any]:
    """An Export as it looks with this status.

    :param base_url: address of the sandbox, ending in a slash.
    """
    ready = status == READY
    short = export.project.short
    finished_at = timestamp(export.finished_at, settings)
    return {
        "id": export.id,
        "status": status,
        "src_url": f"{base_url}{render_path(export)}" if ready else None,
        "project_id": export.project.id,
        "folder_id": export.folder_id,
        "created_at": timestamp(export.created_at, settings),
        "finished_at": finished_at if ready else None,
        "name": short.name,
        "author_id": export.on_behalf_of or OWNER_ID,
        "descriptions": " ".join(filter(None, (export.remark, short.captions["tiktok"]))),
        **_failure(export, status, settings),
    }


def user_view(user_id: str, settings: Settings) -> dict[str, Any]:
    """A managed user who has just been made."""
    return {
        "id": user_id,
        "email": f"{user_id}@managed.klap.test",
        "organizationId": ORGANIZATION_ID,
        "isGuest": True,
        "created_at": timestamp(time.time(), settings),
    }


def render_path(export: Export) -> str:
    """Where an export's file is served, below the sandbox's address."""
    return f"renders/{export.render_id}.mp4"


def timestamp(at: float, settings: Settings) -> str:
    """A time as the API writes it."""
    moment = datetime.fromtimestamp(at, timezone.utc)
    if settings.timestamps == "z":
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.isoformat(timespec="microseconds")


def _score(percent: int | None, settings: Settings) -> dict[str, float | None]:
    if settings.scores == "absent":
        return {}
    if percent is None or settings.scores == "null":
        return {"virality_score": None}
    return {"virality_score": percent / 100 if settings.scores == "fraction" else percent}


def _failure(job: Job, status: str, settings: Settings) -> dict[str, Any]:
    failure = job.error()
    if status != ERROR or failure is None:
        return {}
    return settings.problem(failure.code, failure.message, of_job=True)
