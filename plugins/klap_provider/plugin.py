"""The Airflow plugin. Airflow imports it as a top-level module, so its imports are absolute."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from klap_provider.links import ExportedVideoLink, OpenInKlapLink, PreviewShortLink, VideoRunLink
from klap_provider.ui.server import KlapApp


class KlapPlugin(AirflowPlugin):
    """Adds buttons to tasks, the Shorts tab to runs, and the Klap page to Airflow's UI."""

    name = "klap"
    operator_extra_links = [OpenInKlapLink(), PreviewShortLink(), ExportedVideoLink(), VideoRunLink()]  # noqa: RUF012  # as declared
    fastapi_apps = [{"name": "klap", "app": KlapApp(), "url_prefix": "/klap"}]  # noqa: RUF012  # as declared
    react_apps = [  # noqa: RUF012  # as declared
        {
            # Label of the tab, and name of the global variable with the component of index.js.
            "name": "Shorts",
            "destination": "dag_run",
            "url_route": "shorts",
            # Relative to Airflow's base URL, which may have a path.
            "bundle_url": "klap/index.js",
            "icon": "klap/icon.svg",
            "icon_dark_mode": "klap/icon-dark.svg",
        },
        {
            "name": "Klap",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "klap",
            "bundle_url": "klap/page/index.js",
            "icon": "klap/icon.svg",
            "icon_dark_mode": "klap/icon-dark.svg",
        },
    ]
