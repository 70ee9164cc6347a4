"""Endpoints of Klap's API, version 2: https://docs.klap.app."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, HTTPException, Request

from klap_sandbox.dependencies import (
    BEARER,
    IN_FOLDER,
    BaseUrlDep,
    Caller,
    CallerDep,
    ProjectDep,
    StateDep,
    check_key,
    found,
    set_created_code,
)
from klap_sandbox.faults import ChangedList, PartialList
from klap_sandbox.request_bodies import EmptyBody, ExportRequest, VideoToShorts, VideoToVideo, check_body
from klap_sandbox.responses import (
    ExportResponse,
    ProjectResponse,
    TaskResponse,
    TokenResponse,
    UserResponse,
    errors,
)
from klap_sandbox.state import SandboxState, apply_job_fault
from klap_sandbox.store import PROCESSING, Export

if TYPE_CHECKING:
    from pydantic import BaseModel

_EXPORTS = "/projects/{folder_id}/{project_id}/exports"
_DIRECT_EXPORTS = "/projects/{project_id}/exports"

router = APIRouter(
    prefix="/v2",
    dependencies=[BEARER, Depends(check_key), Depends(set_created_code)],
    responses=errors(401, 403, 422, 429),
)


def _options(*codes: int, created: type[BaseModel] | None = None) -> dict[str, Any]:
    """Return the options of a route.

    :param codes: its status codes beside those of all routes.
    :param created: the response of a POST, which can have the status 201, too.
    """
    responses = errors(*codes)
    if created:
        responses |= {201: {"model": created, "description": "With the setting `created_code` 201"}, **errors(400)}
    return {"responses": responses, "response_model_exclude_unset": True}


@router.post("/tasks/video-to-shorts", **_options(402, created=TaskResponse))
async def post_video_to_shorts(
    request: Request, state: StateDep, caller: CallerDep, body: VideoToShorts
) -> TaskResponse:
    """Make shorts of a video (paid)."""
    return await _create_task(request, state, caller, body)


@router.post("/tasks/video-to-video", **_options(402, created=TaskResponse))
async def post_video_to_video(request: Request, state: StateDep, caller: CallerDep, body: VideoToVideo) -> TaskResponse:
    """Make one project of a video (paid)."""
    return await _create_task(request, state, caller, body)


async def _create_task(request: Request, state: SandboxState, caller: Caller, body: VideoToVideo) -> TaskResponse:
    await check_body(request, body, state.settings)
    if state.settings.too_long == "refused" and await state.is_too_long(body.source_video_url):
        raise HTTPException(422, {"message": "unprocessable-entity", "error_code": "video_too_long"})
    _check_credits(state, caller)
    task = state.create_task(body, caller.user, caller.key_hash)
    apply_job_fault(task, caller.fault)
    return TaskResponse.of(task, PROCESSING, state.settings)


def _check_credits(state: SandboxState, caller: Caller) -> None:
    if not state.has_credits(caller.key_hash):
        raise HTTPException(402, f"Out of credits: the API key had {state.settings.credits}.")


@router.get("/tasks/{task_id}", **_options(404))
async def get_task(task_id: str, state: StateDep, caller: CallerDep) -> TaskResponse:
    """Return a task."""
    task = state.store.tasks.get(task_id)
    task = found(task if task and state.is_visible(task, caller.user) else None, "task", task_id)
    apply_job_fault(task, caller.fault)
    return TaskResponse.of(task, task.status(time.time()), state.settings)


@router.get("/projects/{some_id}", **_options(404))
async def get_folder_or_project(
    some_id: str, state: StateDep, caller: CallerDep
) -> list[ProjectResponse] | ProjectResponse:
    """Return the shorts of a folder, or one project."""
    folder = state.store.folders.get(some_id)
    if folder is None or not state.is_visible(folder.task, caller.user):
        project = found(state.project(None, some_id, caller.user), "project or folder", some_id)
        return ProjectResponse.of(project, None, state.settings)
    apply_job_fault(folder.task, caller.fault)
    if not state.count_list_request(folder):
        return [] if state.settings.early_list == "empty" else found(None, "folder", some_id)
    if isinstance(caller.fault, ChangedList):
        change = caller.fault.model_dump(include={"grow", "shrink", "rescore"})
        state.store.change_folder(folder, **change, now=time.time())
    projects = state.listed_projects(folder)
    if isinstance(caller.fault, PartialList):
        projects = projects[: caller.fault.shorts]
    return [ProjectResponse.of(project, some_id, state.settings) for project in projects]


@router.post(_EXPORTS, dependencies=[IN_FOLDER], **_options(402, 404, created=ExportResponse))
@router.post(_DIRECT_EXPORTS, **_options(402, 404, created=ExportResponse))
async def post_export(
    request: Request,
    state: StateDep,
    base_url: BaseUrlDep,
    caller: CallerDep,
    project: ProjectDep,
    body: ExportRequest | None = None,
) -> ExportResponse:
    """Export a project to a file (paid)."""
    body = body or ExportRequest()
    await check_body(request, body, state.settings)
    _check_credits(state, caller)
    folder_id = request.path_params.get("folder_id")
    export = state.create_export(body, project, folder_id, caller.user, caller.key_hash)
    apply_job_fault(export, caller.fault)
    return ExportResponse.of(export, PROCESSING, base_url, state.settings)


@router.get(_EXPORTS + "/{export_id}", dependencies=[IN_FOLDER], **_options(404))
@router.get(_DIRECT_EXPORTS + "/{export_id}", **_options(404))
async def get_export(
    export_id: str, state: StateDep, base_url: BaseUrlDep, caller: CallerDep, project: ProjectDep
) -> ExportResponse:
    """Return an export."""
    export = state.store.exports.get(export_id)
    export = found(export if export and export.project is project else None, "export", export_id)
    apply_job_fault(export, caller.fault)
    return _current(state, export, base_url)


# After the exports, so that a wrong method for /projects/{project_id}/exports is answered with their methods.
@router.get("/projects/{folder_id}/{project_id}", **_options(404))
async def get_short(folder_id: str, project: ProjectDep, state: StateDep) -> ProjectResponse:
    """Return a short."""
    return ProjectResponse.of(project, folder_id, state.settings)


@router.get("/exports", **_options())
async def get_exports(
    state: StateDep,
    base_url: BaseUrlDep,
    caller: CallerDep,
    folder_id: str | None = None,
    project_id: str | None = None,
) -> list[ExportResponse]:
    """Return the exports of the account, or of a managed user."""
    return [
        _current(state, export, base_url)
        for export in state.store.exports.values()
        if state.is_visible(export, caller.user)
        and export.listed_at <= time.time()
        and folder_id in (None, export.folder_id)
        and project_id in (None, export.project.id)
    ]


@router.post("/users", **_options(created=UserResponse))
async def post_user(request: Request, state: StateDep, body: EmptyBody | None = None) -> UserResponse:
    """Create a managed user."""
    await check_body(request, body or EmptyBody(), state.settings)
    user_id = str(uuid.uuid4())
    state.store.users.add(user_id)
    return UserResponse.of(user_id, state.settings)


@router.post("/users/{user_id}/tokens", **_options(404, created=TokenResponse))
async def post_token(user_id: str, request: Request, state: StateDep, body: EmptyBody | None = None) -> TokenResponse:
    """Create a token for a managed user's embedded editor."""
    await check_body(request, body or EmptyBody(), state.settings)
    found(user_id if user_id in state.store.users else None, "user", user_id)
    return TokenResponse(external_access_token=uuid.uuid4().hex)


def _current(state: SandboxState, export: Export, base_url: str) -> ExportResponse:
    return ExportResponse.of(export, export.status(time.time()), base_url, state.settings)
