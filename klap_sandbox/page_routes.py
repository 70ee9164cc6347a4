"""Pages and files, which need no API key: index, player, folders, sample video and finished clips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse

from klap_sandbox.dependencies import BaseUrlDep, StateDep, found
from klap_sandbox.pages import index_page, login_page, player_page, space_page
from klap_sandbox.responses import render_path
from klap_sandbox.sources import SAMPLE_PATH, SourceError
from klap_sandbox.store import READY

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.state import SandboxState
    from klap_sandbox.store import Project

router = APIRouter(include_in_schema=False)
_FILE_METHODS = ["GET", "HEAD"]
_MP4 = "video/mp4"


@router.get("/")
async def get_index(base_url: BaseUrlDep) -> HTMLResponse:
    """Return the index page."""
    return HTMLResponse(index_page(base_url.rstrip("/")))


@router.get("/player/{project_id}")
async def get_player(project_id: str, state: StateDep) -> HTMLResponse:
    """Return the page of a short for viewers without a token."""
    if state.settings.player == "login":
        return HTMLResponse(login_page())
    if state.settings.player == "missing":
        raise HTTPException(404, "There is no such page.")
    return await get_embed(project_id, state)


@router.get("/embed/{project_id}")
async def get_embed(project_id: str, state: StateDep) -> HTMLResponse:
    """Return a page that plays a short's newest finished export, or its part of the source video."""
    project = found(state.store.projects.get(project_id), "project", project_id)
    short, request, now = project.short, project.task.request, time.time()
    finished = [
        render_path(export)
        for export in state.store.exports.values()
        if export.project is project and export.status(now) == READY
    ]
    if finished:
        return HTMLResponse(player_page(short, f"/{finished[-1]}"))
    url = None
    if await _source_file(project, state):
        url = f"/sources/{project.id}#t={short.start},{short.start + short.seconds:.2f}"
    fit = "cover" if request.editing_options.reframe else "contain"
    style = f"aspect-ratio: {request.dimensions.width} / {request.dimensions.height}; object-fit: {fit}"
    return HTMLResponse(player_page(short, url, style=style))


async def _source_file(project: Project, state: SandboxState) -> Path | None:
    try:
        return await state.renderer.source_file(project.task.request.source_video_url)
    except SourceError:
        return None


@router.api_route("/sources/{project_id}", methods=_FILE_METHODS)
async def get_source(project_id: str, state: StateDep) -> FileResponse:
    """Return a short's source video without showing its address, which can be a secret."""
    project = found(state.store.projects.get(project_id), "project", project_id)
    return FileResponse(found(await _source_file(project, state), "source of", project_id), media_type=_MP4)


@router.get("/spaces/{folder_id}")
async def get_space(folder_id: str, state: StateDep) -> HTMLResponse:
    """Return the page of a folder, as in Klap's own app."""
    shorts = {p.id: p.short for p in state.store.projects.values() if p.folder_id == folder_id}
    return HTMLResponse(space_page(found(shorts or None, "folder", folder_id)))


@router.api_route(SAMPLE_PATH, methods=_FILE_METHODS)
async def get_sample(request: Request) -> FileResponse:
    """Return the sample video."""
    return FileResponse(await request.app.state.sample.file(), media_type=_MP4)


@router.api_route("/renders/{render_id}.mp4", methods=_FILE_METHODS)
async def get_render(render_id: str, state: StateDep) -> FileResponse:
    """Return the file of an export; public, like Klap's."""
    export = state.store.renders.get(render_id)
    file = export.file if export and export.file and export.file.exists() else None
    return FileResponse(found(file, "clip", render_id), media_type=_MP4)
