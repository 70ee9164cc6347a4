"""The application: all routes, errors as Klap words them, and the gate before them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from klap_sandbox import api, control, schemas, site
from klap_sandbox.gate import CONTROL, Gate
from klap_sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from klap_sandbox.desk import Desk
    from klap_sandbox.source import SampleVideo

_ERROR_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
_BODIES = (schemas.VideoToShorts, schemas.VideoToVideo, schemas.ExportRequest, schemas.Nothing)


def make_app(desk: Desk, sample: SampleVideo) -> FastAPI:
    """Put the sandbox together."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await desk.studio.prepare()
        desk.resume()
        yield
        await desk.close()

    app = FastAPI(title="Klap sandbox", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.desk = desk
    app.state.sample = sample
    for part in (api, control, site):
        app.include_router(part.router)
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Gate, desk=desk)
    _describe_bodies(app)
    return app


def _describe_bodies(app: FastAPI) -> None:
    """Name the bodies in the OpenAPI document: the endpoints read them by themselves."""
    _, found = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template="#/components/schemas/{model}"
    )
    app.openapi().setdefault("components", {}).setdefault("schemas", {}).update(found["$defs"])


async def _refusal(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    said = problem.detail if isinstance(problem.detail, dict) else {"message": problem.detail}
    code = said.get("error_code", _ERROR_CODES.get(problem.status_code, "error"))
    return _answer(request, problem.status_code, code, said["message"], dict(problem.headers or {}))


async def _invalid(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    detail = [{key: error[key] for key in ("loc", "msg", "type")} for error in problem.errors()]
    about_url = any("source_video_url" in error["loc"] for error in detail)
    code = "invalid_url" if about_url else "invalid_request"
    return _answer(request, 422, code, "unprocessable-entity", {}, detail=detail)


def _answer(request: Request, status: int, code: str, message: str, headers: dict[str, str], **more: Any) -> Response:
    settings: Settings = request.app.state.desk.settings
    if request.url.path.startswith(CONTROL):
        settings = Settings()
    if settings.errors == "none":
        return Response(status_code=status, headers=headers)
    return JSONResponse({**more, **settings.problem(code, message)}, status, headers)
