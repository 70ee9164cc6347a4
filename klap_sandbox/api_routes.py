"""Endpoints of Klap's API, version 2: https://docs.klap.app."""

from __future__ import annotations

import time
import uuid

from fastapi import APIRouter, Depends, HTTPException, Request

from klap_sandbox.dependencies import (
    BaseUrlDep,
    FaultDep,
    ProjectDep,
    StateDep,
    UserDep,
    check_key,
    found,
    set_created_code,
)
from klap_sandbox.faults import ChangedList, Fault, PartialList
from klap_sandbox.request_bodies import EmptyBody, ExportRequest, VideoToShorts, VideoToVideo, check_body
from klap_sandbox.responses import ExportResponse, ProjectResponse, TaskResponse, TokenResponse, UserResponse
from klap_sandbox.state import SandboxState, apply_job_fault
from klap_sandbox.store import PROCESSING, Export

router = APIRouter(prefix="/v2", dependencies=[Depends(check_key), Depends(set_created_code)])


@router.post("/tasks/video-to-shorts", response_model_exclude_unset=True)
async def post_video_to_shorts(
    request: Request, state: StateDep, fault: FaultDep, user: UserDep, body: VideoToShorts
) -> TaskResponse:
    """Make shorts of a video (paid)."""
    return await _create_task(request, state, fault, user, body)


@router.post("/tasks/video-to-video", response_model_exclude_unset=True)
async def post_video_to_video(
    request: Request, state: StateDep, fault: FaultDep, user: UserDep, body: VideoToVideo
) -> TaskResponse:
    """Make one project of a video (paid)."""
    return await _create_task(request, state, fault, user, body)


async def _create_task(
    request: Request, state: SandboxState, fault: Fault | None, user: str | None, body: VideoToVideo
) -> TaskResponse:
    await check_body(request, body, state.settings)
    if state.settings.too_long == "refused" and await state.is_too_long(body.source_video_url):
        raise HTTPException(422, {"message": "unprocessable-entity", "error_code": "video_too_long"})
    task = state.create_task(body, user)
    apply_job_fault(task, fault)
    return TaskResponse.of(task, PROCESSING, state.settings)


@router.get("/tasks/{task_id}", response_model_exclude_unset=True)
async def get_task(task_id: str, state: StateDep, fault: FaultDep, user: UserDep) -> TaskResponse:
    """Return a task."""
    task = state.store.tasks.get(task_id)
    task = found(task if task and state.is_visible(task, user) else None, "task", task_id)
    apply_job_fault(task, fault)
    return TaskResponse.of(task, task.status(time.time()), state.settings)


@router.get("/projects/{some_id}", response_model_exclude_unset=True)
async def get_folder_or_project(
    some_id: str, state: StateDep, fault: FaultDep, user: UserDep
) -> list[ProjectResponse] | ProjectResponse:
    """Return the shorts of a folder, or one project."""
    folder = state.store.folders.get(some_id)
    if folder is None or not state.is_visible(folder.task, user):
        project = found(state.project(None, some_id, user), "project or folder", some_id)
        return ProjectResponse.of(project, None, state.settings)
    apply_job_fault(folder.task, fault)
    if not state.count_list_request(folder):
        return [] if state.settings.early_list == "empty" else found(None, "folder", some_id)
    if isinstance(fault, ChangedList):
        change = fault.model_dump(include={"grow", "shrink", "rescore"})
        state.store.change_folder(folder, **change, now=time.time())
    projects = state.listed_projects(folder)
    if isinstance(fault, PartialList):
        projects = projects[: fault.shorts]
    return [ProjectResponse.of(project, some_id, state.settings) for project in projects]


@router.get("/projects/{folder_id}/{project_id}", response_model_exclude_unset=True)
async def get_short(folder_id: str, project: ProjectDep, state: StateDep) -> ProjectResponse:
    """Return a short."""
    return ProjectResponse.of(project, folder_id, state.settings)


@router.post("/projects/{folder_id}/{project_id}/exports", response_model_exclude_unset=True)
@router.post("/projects/{project_id}/exports", response_model_exclude_unset=True)
async def post_export(
    request: Request,
    state: StateDep,
    fault: FaultDep,
    base_url: BaseUrlDep,
    user: UserDep,
    project: ProjectDep,
    body: ExportRequest | None = None,
) -> ExportResponse:
    """Export a project to a file (paid)."""
    body = body or ExportRequest()
    await check_body(request, body, state.settings)
    export = state.create_export(body, project, request.path_params.get("folder_id"), user)
    apply_job_fault(export, fault)
    return ExportResponse.of(export, PROCESSING, base_url, state.settings)


@router.get("/projects/{folder_id}/{project_id}/exports/{export_id}", response_model_exclude_unset=True)
@router.get("/projects/{project_id}/exports/{export_id}", response_model_exclude_unset=True)
async def get_export(
    export_id: str, state: StateDep, fault: FaultDep, base_url: BaseUrlDep, project: ProjectDep
) -> ExportResponse:
    """Return an export."""
    export = state.store.exports.get(export_id)
    export = found(export if export and export.project is project else None, "export", export_id)
    apply_job_fault(export, fault)
    return _current(state, export, base_url)


@router.get("/exports", response_model_exclude_unset=True)
async def get_exports(
    state: StateDep, base_url: BaseUrlDep, user: UserDep, folder_id: str | None = None, project_id: str | None = None
) -> list[ExportResponse]:
    """Return the exports of the account, or of a managed user."""
    return [
        _current(state, export, base_url)
        for export in state.store.exports.values()
        if state.is_visible(export, user)
        and export.listed_at <= time.time()
        and folder_id in (None, export.folder_id)
        and project_id in (None, export.project.id)
    ]


@router.post("/users")
async def post_user(request: Request, state: StateDep, body: EmptyBody | None = None) -> UserResponse:
    """Create a managed user."""
    await check_body(request, body or EmptyBody(), state.settings)
    user_id = str(uuid.uuid4())
    state.store.users.add(user_id)
    return UserResponse.of(user_id, state.settings)


@router.post("/users/{user_id}/tokens")
async def post_token(user_id: str, request: Request, state: StateDep, body: EmptyBody | None = None) -> TokenResponse:
    """Create a token for a managed user's embedded editor."""
    await check_body(request, body or EmptyBody(), state.settings)
    found(user_id if user_id in state.store.users else None, "user", user_id)
    return TokenResponse(external_access_token=uuid.uuid4().hex)


def _current(state: SandboxState, export: Export, base_url: str) -> ExportResponse:
    return ExportResponse.of(export, export.status(time.time()), base_url, state.settings)
