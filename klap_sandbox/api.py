"""Klap's API, version 2: https://docs.klap.app."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, HTTPException, Request

from klap_sandbox.desk import Desk, doom
from klap_sandbox.faults import ChangedList, Fault
from klap_sandbox.schemas import ExportRequest, Nothing, VideoToShorts, VideoToVideo
from klap_sandbox.store import PROCESSING, READY, Export, Project
from klap_sandbox.views import export_view, project_view, task_view, timestamp

T = TypeVar("T")


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


async def the_fault(request: Request) -> Fault | None:
    """The fault that the gate left to the endpoint."""
    return getattr(request.state, "fault", None)


async def base_url(request: Request) -> str:
    """The address under which the client knows the sandbox."""
    return str(request.base_url)


TheDesk = Annotated[Desk, Depends(the_desk)]
TheFault = Annotated["Fault | None", Depends(the_fault)]
BaseUrl = Annotated[str, Depends(base_url)]
OnBehalfOf = Annotated["str | None", Header(alias="X-On-Behalf-Of")]

router = APIRouter(prefix="/v2", dependencies=[Depends(check_key)])


@router.post("/tasks/video-to-shorts")
async def post_video_to_shorts(
    body: VideoToShorts, desk: TheDesk, fault: TheFault, on_behalf_of: OnBehalfOf = None
) -> dict[str, Any]:
    """Paid: make shorts of a video."""
    task = desk.take_task(body, on_behalf_of)
    doom(task, fault)
    return task_view(task, PROCESSING)


@router.post("/tasks/video-to-video")
async def post_video_to_video(
    body: VideoToVideo, desk: TheDesk, fault: TheFault, on_behalf_of: OnBehalfOf = None
) -> dict[str, Any]:
    """Paid: make one project of a video."""
    task = desk.take_task(body, on_behalf_of)
    doom(task, fault)
    return task_view(task, PROCESSING)


@router.get("/tasks/{task_id}")
async def get_task(task_id: str, desk: TheDesk, fault: TheFault, on_behalf_of: OnBehalfOf = None) -> dict[str, Any]:
    """One task."""
    task = desk.store.tasks.get(task_id)
    task = _known(task if task and task.on_behalf_of == on_behalf_of else None, "task", task_id)
    doom(task, fault)
    return task_view(task, task.status(time.time()))


@router.get("/projects/{some_id}")
async def get_folder_or_project(some_id: str, desk: TheDesk, fault: TheFault, on_behalf_of: OnBehalfOf = None) -> Any:
    """The shorts of a folder, or the project of a video-to-video task."""
    folder = desk.store.folders.get(some_id)
    if folder is None or folder.task.on_behalf_of != on_behalf_of:
        return project_view(_project(desk, None, some_id, on_behalf_of))
    doom(folder.task, fault)
    if folder.task.late_looks:
        folder.task.late_looks -= 1
        return []
    if isinstance(fault, ChangedList):
        change = fault.model_dump(include={"grow", "shrink", "rescore"})
        desk.store.change_folder(folder, **change, now=time.time())
    return [project_view(project) for project in folder.projects]


@router.get("/projects/{folder_id}/{project_id}")
async def get_project(
    folder_id: str, project_id: str, desk: TheDesk, on_behalf_of: OnBehalfOf = None
) -> dict[str, Any]:
    """One short."""
    return project_view(_project(desk, folder_id, project_id, on_behalf_of))


@router.post("/projects/{folder_id}/{project_id}/exports")
@router.post("/projects/{project_id}/exports")
async def post_export(
    project_id: str,
    desk: TheDesk,
    fault: TheFault,
    base: BaseUrl,
    folder_id: str | None = None,
    body: ExportRequest | None = None,
    on_behalf_of: OnBehalfOf = None,
) -> dict[str, Any]:
    """Paid: make a project into a file."""
    project = _project(desk, folder_id, project_id, on_behalf_of)
    export = desk.take_export(body or ExportRequest(), project, on_behalf_of)
    doom(export, fault)
    return export_view(export, PROCESSING, base)


@router.get("/projects/{folder_id}/{project_id}/exports/{export_id}")
@router.get("/projects/{project_id}/exports/{export_id}")
async def get_export(
    project_id: str,
    export_id: str,
    desk: TheDesk,
    fault: TheFault,
    base: BaseUrl,
    folder_id: str | None = None,
    on_behalf_of: OnBehalfOf = None,
) -> dict[str, Any]:
    """One export."""
    project = _project(desk, folder_id, project_id, on_behalf_of)
    export = desk.store.exports.get(export_id)
    export = _known(export if export and export.project is project else None, "export", export_id)
    doom(export, fault)
    return _current(export, base)


@router.get("/exports")
async def get_exports(
    desk: TheDesk,
    base: BaseUrl,
    folder_id: str | None = None,
    project_id: str | None = None,
    on_behalf_of: OnBehalfOf = None,
) -> list[dict[str, Any]]:
    """The exports of this account or managed user."""
    return [
        _current(export, base)
        for export in desk.store.exports.values()
        if export.on_behalf_of == on_behalf_of
        and export.listed_at <= time.time()
        and folder_id in (None, export.project.folder_id)
        and project_id in (None, export.project.id)
    ]


@router.post("/users")
async def post_user(desk: TheDesk, body: Nothing | None = None) -> dict[str, Any]:
    """A new managed user."""
    user_id = str(uuid.uuid4())
    desk.store.users.add(user_id)
    return {"id": user_id, "email": f"{user_id}@managed.klap.test", "created_at": timestamp(time.time())}


@router.post("/users/{user_id}/tokens")
async def post_token(user_id: str, desk: TheDesk, body: Nothing | None = None) -> dict[str, Any]:
    """A token that lets a managed user into the embedded editor."""
    _known(user_id if user_id in desk.store.users else None, "user", user_id)
    return {"external_access_token": uuid.uuid4().hex}


def _current(export: Export, base: str) -> dict[str, Any]:
    return export_view(export, export.status(time.time()), base)


def _project(desk: Desk, folder_id: str | None, project_id: str, on_behalf_of: str | None) -> Project:
    """A project by its whole address, for whom it was made; nobody can know it before its task is ready."""
    project = desk.store.projects.get(project_id)
    if project and (
        (project.folder_id, project.task.on_behalf_of) != (folder_id, on_behalf_of)
        or project.task.status(time.time()) != READY
    ):
        project = None
    return _known(project, "project or folder", project_id)


def _known(thing: T | None, kind: str, thing_id: str) -> T:
    if thing is None:
        raise HTTPException(404, f"There is no {kind} {thing_id} here.")
    return thing
