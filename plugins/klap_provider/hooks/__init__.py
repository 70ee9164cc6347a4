"""The hook for Klap's API, and the clients that tasks and triggers use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.hooks.async_client import KlapAsyncClient as KlapAsyncClient
    from klap_provider.hooks.client import KlapClient as KlapClient
    from klap_provider.hooks.klap import KlapHook as KlapHook

#: The default connection, and that of the API server.
DEFAULT_CONN_ID = "klap_default"
AIRFLOW_CONN_ID = "airflow_api"

__all__ = ["KlapAsyncClient", "KlapClient", "KlapHook"]

__getattr__ = published(__name__, {"KlapAsyncClient": "async_client", "KlapClient": "client", "KlapHook": "klap"})
