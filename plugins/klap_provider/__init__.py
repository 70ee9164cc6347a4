"""Apache Airflow provider for Klap (https://klap.app), which turns long videos into shorts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__version__ = "0.1.0"


def published(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """
    Return a ``__getattr__`` for a package, which imports each public name on first use.

    A Dag file that imports one operator does not load the others.

    :param package: name of the package.
    :param modules: name of the module in the package, by public name.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return load


def get_provider_info() -> dict[str, Any]:
    """Return the metadata for Airflow's provider manager, with the form of the connection type."""
    return {
        "package-name": "airflow-provider-klap",
        "name": "Klap",
        "description": "Turn long videos into shorts with Klap.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": "Klap", "external-doc-url": "https://docs.klap.app/", "tags": ["service"]}
        ],
        "hooks": [{"integration-name": "Klap", "python-modules": ["klap_provider.hooks"]}],
        "config": {
            "klap": {
                "description": "Addresses and connections that runs of the Klap Dags may use. A Dag file can set its "
                "own allowlist.",
                "options": {
                    name: {
                        "description": f"{what}, separated by commas. Default: {default}.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": example,
                        "default": None,
                    }
                    for name, what, default, example in (
                        (
                            "allowed_lists",
                            "Prefixes of addresses that a run may use for a list of videos",
                            "object storage without a connection, and on the worker the Dags folder",
                            "s3://media_s3@media/lists, /data/lists",
                        ),
                        (
                            "allowed_sources",
                            "Prefixes of addresses that a run may use for a video",
                            "the web, and object storage without a connection",
                            "https://media.example.com, s3://media_s3@media/in",
                        ),
                        (
                            "allowed_destinations",
                            "Prefixes of addresses that a run may deliver to",
                            "object storage without a connection, and on the worker klap_shorts in Airflow's home",
                            "s3://media_s3@media/shorts, /data/shorts",
                        ),
                        (
                            "allowed_connections",
                            "Ids of Klap connections that a run may use",
                            "those that the Dag file names",
                            "klap_default, klap_studio",
                        ),
                    )
                },
            }
        },
        "operators": [
            {
                "integration-name": "Klap",
                "python-modules": ["klap_provider.operators"],
            }
        ],
        "extra-links": [
            "klap_provider.links.OpenInKlapLink",
            "klap_provider.links.PreviewShortLink",
            "klap_provider.links.ExportedVideoLink",
            "klap_provider.links.VideoRunLink",
        ],
        "sensors": [{"integration-name": "Klap", "python-modules": ["klap_provider.sensors"]}],
        "triggers": [{"integration-name": "Klap", "python-modules": ["klap_provider.triggers"]}],
        "connection-types": [
            {
                "connection-type": "klap",
                "hook-class-name": "klap_provider.hooks.KlapHook",
                "hook-name": "Klap",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "port", "extra"],
                    "relabeling": {"host": "Host (base URL)", "password": "Password (API key)"},
                    "placeholders": {"host": "https://api.klap.app/v2", "password": "kak_…"},
                },
                "conn-fields": {
                    "connect_timeout": {
                        "label": "Connect timeout",
                        "description": "Seconds to wait for a connection to Klap.",
                        "schema": {"type": ["number", "null"], "default": 10, "minimum": 1, "maximum": 3600},
                    },
                    "read_timeout": {
                        "label": "Read timeout",
                        "description": "Seconds to wait for a response from Klap.",
                        "schema": {"type": ["number", "null"], "default": 60, "minimum": 1, "maximum": 3600},
                    },
                    "player_url": {
                        "label": "Player URL",
                        "description": "Base URL of the preview of a short. The project id is appended.",
                        "schema": {"type": ["string", "null"], "default": "https://klap.app/player"},
                    },
                    "app_url": {
                        "label": "Klap app URL",
                        "description": "Base URL to open a folder in Klap. The folder id is appended.",
                        "schema": {"type": ["string", "null"], "default": "https://klap.app/spaces"},
                    },
                    "embed_url": {
                        "label": "Embed URL",
                        "description": "Base URL of the embedded player of a short. The project id is appended.",
                        "schema": {"type": ["string", "null"], "default": "https://klap.app/embed"},
                    },
                    "on_behalf_of": {
                        "label": "On behalf of",
                        "description": "Id of the managed user to act for (X-On-Behalf-Of). Usually empty.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "external_access_token": {
                        "label": "External access token",
                        "description": "Token of the managed user for embedded players. Usually empty.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "destination": {
                        "label": "Destination",
                        "description": "Default destination of runs: a URL such as s3://aws_default@bucket/shorts, "
                        "or a path that all workers share.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "poke_interval": {
                        "label": "Poll interval",
                        "description": "Seconds between two polls of a job. Empty: 30 for a task, 15 for an export.",
                        "schema": {"type": ["number", "null"], "minimum": 0.1, "maximum": 3600},
                    },
                    "first_poll": {
                        "label": "First poll",
                        "description": "Seconds from the submission of a job to the first poll. Empty: twice the poll "
                        "interval.",
                        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 3600},
                    },
                    "requests_per_second": {
                        "label": "Requests per second",
                        "description": "Maximum number of requests per second for all waits in one triggerer.",
                        "schema": {"type": ["number", "null"], "default": 50, "minimum": 0.01, "maximum": 10000},
                    },
                    "notifiers": {
                        "label": "Notifiers",
                        "description": "Airflow notifiers for notices about runs, as a JSON list. Empty: none.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "price_input_video": {
                        "label": "Price of an input video",
                        "description": "US dollars per submitted video. Empty: 0.44 (estimated).",
                        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1000},
                    },
                    "price_generated_short": {
                        "label": "Price of a generated short",
                        "description": "US dollars per generated short, exported or not. Empty: 0.32 (estimated).",
                        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1000},
                    },
                    "price_export": {
                        "label": "Price of an export",
                        "description": "US dollars per export. Empty: 0.48 (estimated).",
                        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1000},
                    },
                    "monthly_limit": {
                        "label": "Monthly limit",
                        "description": "Maximum cost per calendar month (UTC) in US dollars. Empty: no limit.",
                        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1000000},
                    },
                    "monthly_limit_action": {
                        "label": "At the monthly limit",
                        "description": "stop: nothing more is paid. warn: a notice is sent, and runs continue.",
                        "schema": {"type": ["string", "null"], "enum": ["stop", "warn", None], "default": "stop"},
                    },
                },
            }
        ],
    }
