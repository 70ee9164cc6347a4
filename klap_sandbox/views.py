"""What the API answers: tasks, projects and exports as Klap shows them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from klap_sandbox.store import ERROR, READY

if TYPE_CHECKING:
    from klap_sandbox.store import Export, Job, Project, Task

OWNER_ID = "5a0db0c5-0000-4000-8000-000000000000"
"""``author_id`` of whatever is not done on behalf of a managed user."""


def task_view(task: Task, status: str) -> dict[str, Any]:
    """A Task as it looks with this status."""
    return {
        "id": task.id,
        "type": task.type,
        "status": status,
        "created_at": timestamp(task.created_at),
        "output_type": "folder" if task.type == "video-to-shorts" else "project",
        "output_id": task.output_id if status == READY else None,
        **_failure(task, status),
    }


def project_view(project: Project) -> dict[str, Any]:
    """A Project."""
    short = project.short
    return {
        "id": project.id,
        "author_id": project.task.on_behalf_of or OWNER_ID,
        "folder_id": project.folder_id,
        "name": short.name,
        "created_at": timestamp(project.created_at),
        "virality_score": short.score,
        "virality_score_explanation": short.explanation,
        "publication_captions": short.captions,
        "transcript_text": short.transcript,
        "duration": short.seconds,
    }


def export_view(export: Export, status: str, base_url: str) -> dict[str, Any]:
    """An Export as it looks with this status.

    :param base_url: address of the sandbox, ending in a slash.
    """
    ready = status == READY
    short = export.project.short
    return {
        "id": export.id,
        "status": status,
        "src_url": f"{base_url}{render_path(export)}" if ready else None,
        "project_id": export.project.id,
        "folder_id": export.project.folder_id,
        "created_at": timestamp(export.created_at),
        "finished_at": timestamp(max(export.ready_at, export.done_at or 0.0)) if ready else None,
        "name": short.name,
        "author_id": export.on_behalf_of or OWNER_ID,
        "descriptions": " ".join(filter(None, (export.remark, short.captions["tiktok"]))),
        **_failure(export, status),
    }


def render_path(export: Export) -> str:
    """Where an export's file is served, below the sandbox's address."""
    return f"renders/{export.render_id}.mp4"


def timestamp(at: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _failure(job: Job, status: str) -> dict[str, Any]:
    failure = job.error()
    if status != ERROR or failure is None:
        return {}
    return {"error_code": failure.code, "message": failure.message}
