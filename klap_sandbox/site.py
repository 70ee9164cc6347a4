"""What people look at and download, without a key: index, player, folders, sample video and finished clips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from klap_sandbox.api import BaseUrl, TheDesk  # noqa: TC001  # FastAPI evaluates it
from klap_sandbox.files import serve_video
from klap_sandbox.pages import index_page, login_page, player_page, space_page
from klap_sandbox.source import SAMPLE_PATH, SourceError
from klap_sandbox.store import READY
from klap_sandbox.views import render_path

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.desk import Desk
    from klap_sandbox.store import Project

router = APIRouter(include_in_schema=False)
_FILE_METHODS = ["GET", "HEAD"]


@router.get("/")
async def get_index(base: BaseUrl) -> HTMLResponse:
    """The index."""
    return HTMLResponse(index_page(base.rstrip("/")))


@router.get("/player/{project_id}")
async def get_player(project_id: str, desk: TheDesk) -> HTMLResponse:
    """What there is of a short without a token."""
    if desk.settings.player == "login":
        return HTMLResponse(login_page())
    if desk.settings.player == "missing":
        raise HTTPException(404, "There is no such page.")
    return await get_embed(project_id, desk)


@router.get("/embed/{project_id}")
async def get_embed(project_id: str, desk: TheDesk) -> HTMLResponse:
    """A short with its score, and its newest finished export, or before that its part of the source video."""
    project = _project(project_id, desk)
    now = time.time()
    finished = [
        render_path(export)
        for export in desk.store.exports.values()
        if export.project is project and export.status(now) == READY
    ]
    if finished:
        return HTMLResponse(player_page(project.short, f"/{finished[-1]}"))
    short, asked = project.short, project.task.request
    there = await _source(project, desk)
    part = f"/sources/{project.id}#t={short.start},{short.start + short.seconds:.2f}" if there else None
    fit = "cover" if asked.editing_options.reframe else "contain"
    shape = f"aspect-ratio: {asked.dimensions.width} / {asked.dimensions.height}; object-fit: {fit}"
    return HTMLResponse(player_page(short, part, style=shape))


def _project(project_id: str, desk: Desk) -> Project:
    project = desk.store.projects.get(project_id)
    if project is None:
        raise HTTPException(404, f"There is no project {project_id[:100]} here.")
    return project


async def _source(project: Project, desk: Desk) -> Path | None:
    try:
        return await desk.studio.source(project.task.request.source_video_url)
    except SourceError:
        return None


@router.api_route("/sources/{project_id}", methods=_FILE_METHODS)
async def get_source(project_id: str, request: Request, desk: TheDesk) -> Response:
    """The video that a short is a part of, without its address, which may be a secret."""
    file = await _source(_project(project_id, desk), desk)
    if file is None:
        raise HTTPException(404, f"The source of {project_id[:100]} is not here.")
    return serve_video(request, file)


@router.get("/spaces/{folder_id}")
async def get_space(folder_id: str, desk: TheDesk) -> HTMLResponse:
    """The shorts of a folder, as Klap's own app shows them."""
    projects = {p.id: p.short for p in desk.store.projects.values() if p.folder_id == folder_id}
    if not projects:
        raise HTTPException(404, f"There is no folder {folder_id[:100]} here.")
    return HTMLResponse(space_page(projects))


@router.api_route(SAMPLE_PATH, methods=_FILE_METHODS)
async def get_sample(request: Request) -> Response:
    """The sample video."""
    return serve_video(request, await request.app.state.sample.file())


@router.api_route("/renders/{render_id}.mp4", methods=_FILE_METHODS)
async def get_render(render_id: str, request: Request, desk: TheDesk) -> Response:
    """A finished clip; public, like Klap's own."""
    export = desk.store.renders.get(render_id)
    if export is None or export.file is None or not export.file.exists():
        raise HTTPException(404, f"There is no clip {render_id[:100]} here.")
    return serve_video(request, export.file)
