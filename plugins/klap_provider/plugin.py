"""What Airflow's plugin manager loads. Imported as a top-level module, so everything else is imported absolutely."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from klap_provider.links import ExportedVideoLink, OpenInKlapLink, PreviewShortLink, VideoRunLink
from klap_provider.ui.server import KlapApp


class KlapPlugin(AirflowPlugin):
    """Klap in Airflow's UI: buttons on its tasks, the Shorts tab of a run, and the page Klap."""

    name = "klap"
    operator_extra_links = [OpenInKlapLink(), PreviewShortLink(), ExportedVideoLink(), VideoRunLink()]  # noqa: RUF012  # as declared
    fastapi_apps = [{"name": "klap", "app": KlapApp(), "url_prefix": "/klap"}]  # noqa: RUF012  # as declared
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
