"""Klap's API, version 2: https://docs.klap.app."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response

from klap_sandbox.desk import Desk, doom
from klap_sandbox.faults import ChangedList, Fault, PartialList
from klap_sandbox.intake import take
from klap_sandbox.schemas import ApiRequest, ExportRequest, Nothing, VideoToShorts, VideoToVideo
from klap_sandbox.store import PROCESSING, READY, Export, Project
from klap_sandbox.views import export_view, project_view, task_view, user_view

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
R = TypeVar("R", bound=ApiRequest)


async def check_key(authorization: Annotated[str, Header()] = "") -> None:
    """Accept any key that is there.

    :raises HTTPException: 401.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise HTTPException(401, "No API key: send the header 'Authorization: Bearer <key>'.")


async def the_desk(request: Request) -> Desk:
    """The sandbox's state."""
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(the_desk)]


async def the_code(request: Request, response: Response, desk: TheDesk) -> None:
    """Let a POST be answered with the code that is wanted."""
    if request.method == "POST":
        response.status_code = desk.settings.created_code


async def the_fault(request: Request) -> Fault | None:
    """The fault that the gate left to the endpoint."""
    return getattr(request.state, "fault", None)


async def base_url(request: Request) -> str:
    """The address under which the client knows the sandbox."""
    return str(request.base_url)


async def the_user(desk: TheDesk, user_id: Annotated[str | None, Header(alias="X-On-Behalf-Of")] = None) -> str | None:
    """The managed user that is acted for.

    :raises HTTPException: 403.
    """
    if user_id and user_id not in desk.store.users:
        raise HTTPException(403, f"X-On-Behalf-Of: there is no managed user {user_id[:100]} here.")
    return user_id or None


def body_of(model: type[R]) -> Callable[[Request, Desk], Awaitable[R]]:
    """A dependency that reads the body of a request, and notes what of it is ignored."""

    async def read(request: Request, desk: TheDesk) -> R:
        asked, ignored = await take(model, request, desk.settings)
        request.state.logged.note(ignored)
        return asked

    return read


def takes(model: type[ApiRequest]) -> dict[str, Any]:
    """What the OpenAPI document says of an endpoint with this body."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


TheFault = Annotated["Fault | None", Depends(the_fault)]
BaseUrl = Annotated[str, Depends(base_url)]
TheUser = Annotated["str | None", Depends(the_user)]


async def the_project(request: Request, desk: TheDesk, user: TheUser) -> Project:
    """The project whose address was asked for.

    :raises HTTPException: 404.
    """
    path = request.path_params
    return _project(desk, path.get("folder_id"), path["project_id"], user)


TheProject = Annotated[Project, Depends(the_project)]

router = APIRouter(prefix="/v2", dependencies=[Depends(check_key), Depends(the_code)])


@router.post("/tasks/video-to-shorts", openapi_extra=takes(VideoToShorts))
async def post_video_to_shorts(
    desk: TheDesk,
    fault: TheFault,
    user: TheUser,
    body: Annotated[VideoToShorts, Depends(body_of(VideoToShorts))],
) -> dict[str, Any]:
    """Paid: make shorts of a video."""
    return await _take_task(desk, fault, user, body)


@router.post("/tasks/video-to-video", openapi_extra=takes(VideoToVideo))
async def post_video_to_video(
    desk: TheDesk, fault: TheFault, user: TheUser, body: Annotated[VideoToVideo, Depends(body_of(VideoToVideo))]
) -> dict[str, Any]:
    """Paid: make one project of a video."""
    return await _take_task(desk, fault, user, body)


async def _take_task(desk: Desk, fault: Fault | None, user: str | None, body: VideoToVideo) -> dict[str, Any]:
    if desk.settings.too_long == "refused" and await desk.is_too_long(body.source_video_url):
        raise HTTPException(422, {"message": "unprocessable-entity", "error_code": "video_too_long"})
    task = desk.take_task(body, user)
    doom(task, fault)
    return task_view(task, PROCESSING, desk.settings)


@router.get("/tasks/{task_id}")
async def get_task(task_id: str, desk: TheDesk, fault: TheFault, user: TheUser) -> dict[str, Any]:
    """One task."""
    task = desk.store.tasks.get(task_id)
    task = _known(task if task and desk.shows(task, user) else None, "task", task_id)
    doom(task, fault)
    return task_view(task, task.status(time.time()), desk.settings)


@router.get("/projects/{some_id}")
async def get_folder_or_project(some_id: str, desk: TheDesk, fault: TheFault, user: TheUser) -> Any:
    """The shorts of a folder, or a single project."""
    folder = desk.store.folders.get(some_id)
    if folder is None or not desk.shows(folder.task, user):
        return project_view(_project(desk, None, some_id, user), None, desk.settings)
    doom(folder.task, fault)
    if not desk.lists(folder):
        return [] if desk.settings.early_list == "empty" else _known(None, "folder", some_id)
    if isinstance(fault, ChangedList):
        change = fault.model_dump(include={"grow", "shrink", "rescore"})
        desk.store.change_folder(folder, **change, now=time.time())
    projects = desk.filled(folder)
    if isinstance(fault, PartialList):
        projects = projects[: fault.shorts]
    return [project_view(project, some_id, desk.settings) for project in projects]


@router.get("/projects/{folder_id}/{project_id}")
async def get_project(folder_id: str, project: TheProject, desk: TheDesk) -> dict[str, Any]:
    """One short."""
    return project_view(project, folder_id, desk.settings)


@router.post("/projects/{folder_id}/{project_id}/exports", openapi_extra=takes(ExportRequest))
@router.post("/projects/{project_id}/exports", openapi_extra=takes(ExportRequest))
async def post_export(
    request: Request,
    desk: TheDesk,
    fault: TheFault,
    base: BaseUrl,
    user: TheUser,
    project: TheProject,
    body: Annotated[ExportRequest, Depends(body_of(ExportRequest))],
) -> dict[str, Any]:
    """Paid: make a project into a file."""
    export = desk.take_export(body, project, request.path_params.get("folder_id"), user)
    doom(export, fault)
    return export_view(export, PROCESSING, base, desk.settings)


@router.get("/projects/{folder_id}/{project_id}/exports/{export_id}")
@router.get("/projects/{project_id}/exports/{export_id}")
async def get_export(
    export_id: str, desk: TheDesk, fault: TheFault, base: BaseUrl, project: TheProject
) -> dict[str, Any]:
    """One export."""
    export = desk.store.exports.get(export_id)
    export = _known(export if export and export.project is project else None, "export", export_id)
    doom(export, fault)
    return _current(desk, export, base)


@router.get("/exports")
async def get_exports(
    desk: TheDesk, base: BaseUrl, user: TheUser, folder_id: str | None = None, project_id: str | None = None
) -> list[dict[str, Any]]:
    """The exports of this account or managed user."""
    return [
        _current(desk, export, base)
        for export in desk.store.exports.values()
        if desk.shows(export, user)
        and export.listed_at <= time.time()
        and folder_id in (None, export.folder_id)
        and project_id in (None, export.project.id)
    ]


@router.post("/users", dependencies=[Depends(body_of(Nothing))], openapi_extra=takes(Nothing))
async def post_user(desk: TheDesk) -> dict[str, Any]:
    """A new managed user."""
    user_id = str(uuid.uuid4())
    desk.store.add_user(user_id)
    return user_view(user_id, desk.settings)


@router.post("/users/{user_id}/tokens", dependencies=[Depends(body_of(Nothing))], openapi_extra=takes(Nothing))
async def post_token(user_id: str, desk: TheDesk) -> dict[str, Any]:
    """A token that lets a managed user into the embedded editor."""
    _known(user_id if user_id in desk.store.users else None, "user", user_id)
    return {"external_access_token": uuid.uuid4().hex}


def _current(desk: Desk, export: Export, base: str) -> dict[str, Any]:
    return export_view(export, export.status(time.time()), base, desk.settings)


def _project(desk: Desk, folder_id: str | None, project_id: str, user: str | None) -> Project:
    """A project by its address; nobody can know it before its task is ready."""
    project = desk.store.projects.get(project_id)
    direct = folder_id is None and desk.settings.direct_path == "any"
    if project and (
        (project.folder_id != folder_id and not direct)
        or not desk.shows(project.task, user)
        or project.task.status(time.time()) != READY
    ):
        project = None
    return _known(project, "project or folder", project_id)


def _known(thing: T | None, kind: str, thing_id: str) -> T:
    if thing is None:
        raise HTTPException(404, f"There is no {kind} {thing_id[:100]} here.")
    return thing
