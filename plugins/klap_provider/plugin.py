"""What Airflow's plugin manager loads. Imported as a top-level module, so everything else is imported absolutely."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin

from klap_provider.links import ExportedVideoLink, OpenInKlapLink, PreviewShortLink, VideoRunLink

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

BOARD = Path(__file__).with_name("board")


class BoardFiles:
    """
    Serves the Shorts tab's static files, which are public: what the tab shows, it reads from Airflow's own API.

    Every component of Airflow loads this plugin, and only the API server serves: hence the import on the first request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await _board_files()(scope, receive, send)


@cache
def _board_files() -> ASGIApp:
    from starlette.staticfiles import StaticFiles

    class RevalidatedFiles(StaticFiles):
        """Browsers ask each time whether a file has changed, so that an upgrade shows at once."""

        def file_response(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # as StaticFiles has it
            response = super().file_response(*args, **kwargs)
            response.headers["Cache-Control"] = "no-cache"
            return response

    return RevalidatedFiles(directory=BOARD)


class KlapPlugin(AirflowPlugin):
    """Klap in Airflow's UI: buttons on its tasks, and the Shorts tab of a run."""

    name = "klap"
    operator_extra_links = [OpenInKlapLink(), PreviewShortLink(), ExportedVideoLink(), VideoRunLink()]  # noqa: RUF012  # as declared
    fastapi_apps = [{"name": "klap", "app": BoardFiles(), "url_prefix": "/klap"}]  # noqa: RUF012  # as declared
    react_apps = [  # noqa: RUF012  # as declared
        {
            # The tab's label, and the global under which index.js leaves the component.
            "name": "Shorts",
            "destination": "dag_run",
            "url_route": "shorts",
            # Relative to Airflow's own address, which may end in a path.
            "bundle_url": "klap/index.js",
            "icon": "klap/icon.svg",
            "icon_dark_mode": "klap/icon-dark.svg",
        }
    ]
