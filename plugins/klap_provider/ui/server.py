"""Serves the UI's static modules from Airflow's own API server."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).with_name("static")


class StaticModules:
    """
    Serves the Shorts tab's static files, which are public: what the tab shows, it reads from Airflow's own API.

    Every component of Airflow loads this plugin, and only the API server serves: hence the import on the first request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await _files()(scope, receive, send)


@cache
def _files() -> ASGIApp:
    from starlette.staticfiles import StaticFiles

    class RevalidatedFiles(StaticFiles):
        """Browsers ask each time whether a file has changed, so that an upgrade shows at once."""

        def file_response(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # as StaticFiles has it
            response = super().file_response(*args, **kwargs)
            response.headers["Cache-Control"] = "no-cache"
            return response

    return RevalidatedFiles(directory=STATIC)
