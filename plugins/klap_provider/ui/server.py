"""What the plugin serves from Airflow's own API server: the UI's static modules, and what they ask for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).with_name("static")


class KlapApp:
    """
    Serves static files, which are public, and below ``api/`` what is not: behind Airflow's login and permissions.

    Every component of Airflow loads this plugin, and only the API server serves: hence the import on the first request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await _app()(scope, receive, send)


@cache
def _app() -> ASGIApp:
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from klap_provider.ui.routes import router, say_fault

    class RevalidatedFiles(StaticFiles):
        """Browsers ask each time whether a file has changed, so that an upgrade shows at once."""

        def file_response(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # as StaticFiles has it
            response = super().file_response(*args, **kwargs)
            response.headers["Cache-Control"] = "no-cache"
            return response

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # nothing is told without a login
    app.include_router(router, prefix="/api")
    say_fault(app)
    app.mount("/", RevalidatedFiles(directory=STATIC))
    return app
