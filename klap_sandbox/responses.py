"""Bodies of API responses: tasks, projects, exports, managed users."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from klap_sandbox.store import ERROR, READY

if TYPE_CHECKING:
    from klap_sandbox.settings import Settings
    from klap_sandbox.store import Export, Job, Project, Task

OWNER_ID = "5a0db0c5-0000-4000-8000-000000000000"
"""``author_id`` of jobs without a managed user."""
ORGANIZATION_ID = "5a0db0c5-0000-4000-8000-000000000001"


class FieldProblem(BaseModel):
    """What is wrong with a field of the request; ``loc`` is its path."""

    loc: list[str | int]
    msg: str
    type: str


class ErrorResponse(BaseModel):
    """Why a request was refused. The setting ``errors`` decides which of these fields are sent."""

    message: str | None = None
    error_code: str | None = None
    error: str | None = None
    detail: str | list[FieldProblem] | None = None


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of these status codes for the OpenAPI document."""
    return {code: {"model": ErrorResponse} for code in codes}


class JobResponse(BaseModel):
    """Fields of tasks and exports; those that explain an error are optional."""

    id: str
    status: str
    created_at: str
    message: str | None = None
    error: str | None = None
    error_message: str | None = None
    error_code: str | None = None


class TaskResponse(JobResponse):
    """A Task."""

    type: str
    output_type: str
    output_id: str | None

    @classmethod
    def of(cls, task: Task, status: str, settings: Settings) -> TaskResponse:
        """Return a task with this status."""
        return cls(
            id=task.id,
            type=task.type,
            status=status,
            created_at=timestamp(task.created_at, settings),
            output_type="folder" if task.type == "video-to-shorts" else "project",
            output_id=task.output_id if status == READY or settings.output_id == "at_once" else None,
            **_error_fields(task, status, settings),
        )


class ProjectResponse(BaseModel):
    """A Project. Settings decide whether the fields with a default are sent."""

    id: str
    author_id: str
    folder_id: str | None
    name: str
    created_at: str
    virality_score: int | float | None = None
    virality_score_explanation: str | None
    publication_captions: dict[str, str] | None = None
    transcript_text: str | None = None
    duration: float | None = None

    @classmethod
    def of(cls, project: Project, folder_id: str | None, settings: Settings) -> ProjectResponse:
        """Return a project.

        :param folder_id: the folder in the request's path; None on the direct path.
        """
        short = project.short
        response = cls(
            id=project.id,
            author_id=project.task.on_behalf_of or OWNER_ID,
            folder_id=folder_id,
            name=short.name,
            created_at=timestamp(project.created_at, settings),
            virality_score_explanation=short.explanation,
        )
        if settings.scores != "absent":
            response.virality_score = _score(short.score, settings)
        if settings.project_details == "there":
            response.publication_captions = short.captions
            response.transcript_text = short.transcript
            response.duration = short.seconds
        return response


class ExportResponse(JobResponse):
    """An Export."""

    src_url: str | None
    project_id: str
    folder_id: str | None
    finished_at: str | None
    name: str
    author_id: str
    descriptions: str

    @classmethod
    def of(cls, export: Export, status: str, base_url: str, settings: Settings) -> ExportResponse:
        """Return an export with this status.

        :param base_url: address of the sandbox, ending in a slash.
        """
        ready, short = status == READY, export.project.short
        return cls(
            id=export.id,
            status=status,
            src_url=f"{base_url}{render_path(export)}" if ready else None,
            project_id=export.project.id,
            folder_id=export.folder_id,
            created_at=timestamp(export.created_at, settings),
            finished_at=timestamp(export.finished_at, settings) if ready else None,
            name=short.name,
            author_id=export.on_behalf_of or OWNER_ID,
            descriptions=" ".join(filter(None, (export.remark, short.captions["tiktok"]))),
            **_error_fields(export, status, settings),
        )


class UserResponse(BaseModel):
    """A new managed user."""

    id: str
    email: str
    organizationId: str
    isGuest: bool
    created_at: str

    @classmethod
    def of(cls, user_id: str, settings: Settings) -> UserResponse:
        """Return a managed user."""
        return cls(
            id=user_id,
            email=f"{user_id}@managed.klap.test",
            organizationId=ORGANIZATION_ID,
            isGuest=True,
            created_at=timestamp(time.time(), settings),
        )


class TokenResponse(BaseModel):
    """A managed user's token for the embedded editor."""

    external_access_token: str


def render_path(export: Export) -> str:
    """Return the path of an export's file, without a leading slash."""
    return f"renders/{export.render_id}.mp4"


def timestamp(at: float, settings: Settings) -> str:
    """Return a time in the API's format.

    :param at: seconds since the epoch.
    """
    moment = datetime.fromtimestamp(at, timezone.utc)
    if settings.timestamps == "z":
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.isoformat(timespec="microseconds")


def _score(percent: int | None, settings: Settings) -> int | float | None:
    if percent is None or settings.scores == "null":
        return None
    return percent / 100 if settings.scores == "fraction" else percent


def _error_fields(job: Job, status: str, settings: Settings) -> dict[str, str]:
    failure = job.error()
    if status != ERROR or failure is None:
        return {}
    return settings.error_fields(failure.code, failure.message, of_job=True)
