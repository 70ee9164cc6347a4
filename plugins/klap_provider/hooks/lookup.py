"""Read a connection of type ``klap`` from Airflow. A failed secrets backend is not reported as a missing connection."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from klap_provider.airflow_internals.tasks import unresponsive_backend
from klap_provider.errors import KlapConfigError, KlapError, KlapLookUpError
from klap_provider.hooks.connection import KlapConnection


def get_connection(klap_conn_id: str) -> KlapConnection:
    """
    Return a checked connection.

    :raises KlapConfigError: the connection is missing, has no key, or has a wrong setting.
    :raises KlapLookUpError: a secrets backend did not answer.
    """
    try:
        conn = BaseHook.get_connection(klap_conn_id)
    except AirflowNotFoundException:
        raise _missing(klap_conn_id, unresponsive_backend(klap_conn_id)) from None
    return KlapConnection.read(klap_conn_id, conn)


async def aget_connection(klap_conn_id: str) -> KlapConnection:
    """Return a checked connection, like :func:`get_connection`, in an event loop."""
    from asgiref.sync import sync_to_async

    try:
        conn = await BaseHook.aget_connection(klap_conn_id)
    except AirflowNotFoundException:
        # sync_to_async, as in Airflow: a backend without async methods may use the event loop of the triggerer.
        raise _missing(klap_conn_id, await sync_to_async(unresponsive_backend)(klap_conn_id)) from None
    return KlapConnection.read(klap_conn_id, conn)


def _missing(conn_id: str, failed_backend: str | None) -> KlapError:
    if failed_backend:
        return KlapLookUpError(conn_id, failed_backend)
    return KlapConfigError(
        f"There is no Airflow connection {conn_id!r}. Create a connection of type Klap with your API key as its "
        "Password, or set klap_conn_id to another connection."
    )
