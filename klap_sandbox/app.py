"""The application: all routes, errors as Klap words them, and the gate before them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from klap_sandbox import api, control, site
from klap_sandbox.gate import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from klap_sandbox.desk import Desk
    from klap_sandbox.source import SampleVideo

_ERROR_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}


def make_app(desk: Desk, sample: SampleVideo) -> FastAPI:
    """Put the sandbox together."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await desk.studio.prepare()
        yield
        await desk.close()

    app = FastAPI(title="Klap sandbox", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.desk = desk
    app.state.sample = sample
    for part in (api, control, site):
        app.include_router(part.router)
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Gate, book=desk.book, log=desk.log)
    return app


async def _refusal(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    code = _ERROR_CODES.get(problem.status_code, "error")
    return JSONResponse({"message": problem.detail, "error_code": code}, problem.status_code, headers=problem.headers)


async def _invalid(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, RequestValidationError)
    detail = [{key: error[key] for key in ("loc", "msg", "type")} for error in problem.errors()]
    return JSONResponse({"message": "unprocessable-entity", "error_code": "invalid_request", "detail": detail}, 422)
