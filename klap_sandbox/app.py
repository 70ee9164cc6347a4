"""The FastAPI application: routes, middleware and error responses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from klap_sandbox import __version__, api_routes, control_routes, page_routes
from klap_sandbox.fault_middleware import CONTROL, FaultMiddleware
from klap_sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from klap_sandbox.sources import SampleVideo
    from klap_sandbox.state import SandboxState

_ERROR_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    429: "rate_limited",
}


def make_app(state: SandboxState, sample: SampleVideo) -> FastAPI:
    """Return the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await state.renderer.prepare()
        state.resume_jobs()
        yield
        await state.close()

    app = FastAPI(
        title="Klap sandbox",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.sandbox = state
    app.state.sample = sample
    for routes in (api_routes, control_routes, page_routes):
        app.include_router(routes.router)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_middleware(FaultMiddleware, state=state)
    return app


async def _http_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    detail: Any = problem.detail
    if isinstance(detail, str):
        detail = {"message": detail, "error_code": _ERROR_CODES.get(problem.status_code, "error")}
    return _error_response(request, problem.status_code, **detail, headers=dict(problem.headers or {}))


async def _validation_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    detail = [{key: error[key] for key in ("loc", "msg", "type")} for error in problem.errors()]
    about_url = any("source_video_url" in error["loc"] for error in detail)
    code = "invalid_url" if about_url else "invalid_request"
    return _error_response(request, 422, error_code=code, message="unprocessable-entity", detail=detail)


def _error_response(
    request: Request,
    status: int,
    *,
    error_code: str,
    message: str,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    settings: Settings = request.app.state.sandbox.settings
    if request.url.path.startswith(CONTROL):
        settings = Settings()
    if settings.errors == "none":
        return Response(status_code=status, headers=headers)
    return JSONResponse({**more, **settings.error_fields(error_code, message)}, status, headers)
