"""The web app that the plugin adds to Airflow's API server: the static modules of the UI, and its routes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).with_name("static")


class KlapApp:
    """
    Serves public static files, and the routes below ``api/`` behind Airflow's login and permissions.

    Every component of Airflow loads this plugin, so FastAPI is imported only on the first request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await _app()(scope, receive, send)


@cache
def _app() -> ASGIApp:
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from klap_provider.ui import ledger_routes
    from klap_provider.ui.routes import add_error_handler, router

    class RevalidatedFiles(StaticFiles):
        """Static files that browsers revalidate each time, so that an upgrade takes effect at once."""

        def file_response(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # as StaticFiles has it
            response = super().file_response(*args, **kwargs)
            response.headers["Cache-Control"] = "no-cache"
            return response

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # these pages would need no login
    app.include_router(router, prefix="/api")
    app.include_router(ledger_routes.router, prefix="/api")
    add_error_handler(app)
    app.mount("/", RevalidatedFiles(directory=STATIC))
    return app
