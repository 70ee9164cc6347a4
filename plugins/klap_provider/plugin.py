"""What Airflow's plugin manager loads. Imported as a top-level module, so everything else is imported absolutely."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from klap_provider.links import ExportedVideoLink, OpenInKlapLink, PreviewShortLink


class KlapPlugin(AirflowPlugin):
    """Klap in Airflow's UI."""

    name = "klap"
    operator_extra_links = [OpenInKlapLink(), PreviewShortLink(), ExportedVideoLink()]  # noqa: RUF012  # declared so by AirflowPlugin
