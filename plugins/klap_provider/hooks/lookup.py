"""Asking Airflow for a connection of type ``klap``, and telling one that is not there from one that it cannot read."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from klap_provider.airflow_internals.tasks import unresponsive_backend
from klap_provider.errors import KlapConfigError, KlapError, KlapLookUpError
from klap_provider.hooks.connection import KlapConnection


def look_up(klap_conn_id: str) -> KlapConnection:
    """
    Return a connection, checked.

    :raises KlapConfigError: it is missing, has no key, or a setting of it is wrong.
    :raises KlapLookUpError: Airflow cannot say just now.
    """
    try:
        conn = BaseHook.get_connection(klap_conn_id)
    except AirflowNotFoundException:
        raise _missing(klap_conn_id, unresponsive_backend(klap_conn_id)) from None
    return KlapConnection.read(klap_conn_id, conn)


async def alook_up(klap_conn_id: str) -> KlapConnection:
    """Return the same, in an event loop."""
    from asgiref.sync import sync_to_async

    try:
        conn = await BaseHook.aget_connection(klap_conn_id)
    except AirflowNotFoundException:
        # As Airflow does with a backend that has no async form: it may talk to the triggerer's own event loop.
        raise _missing(klap_conn_id, await sync_to_async(unresponsive_backend)(klap_conn_id)) from None
    return KlapConnection.read(klap_conn_id, conn)


def _missing(conn_id: str, silent: str | None) -> KlapError:
    if silent:
        return KlapLookUpError(conn_id, silent)
    return KlapConfigError(
        f"There is no Airflow connection {conn_id!r}. Create one of type Klap with your API key as its Password, or "
        "name another one with klap_conn_id."
    )
