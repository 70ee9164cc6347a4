"""Check addresses and connections against the allowlists of the Dag file and of Airflow's configuration."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from airflow.sdk import conf

from klap_provider.api import redaction
from klap_provider.errors import KlapConfigError, KlapNotServedError
from klap_provider.rules.allowlist import (
    LOCAL,
    OBJECT_STORES,
    SETTINGS,
    WEB,
    Location,
    is_covered,
    require_allowed,
    require_allowed_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def require_allowed_address(field: str, address: str, allowed: Sequence[str] | None) -> None:
    """
    Refuse an address that a run may not use. Symbolic links are followed. Sends no request to any storage.

    :param field: ``list_path``, ``source_video_url`` or ``destination``.
    :param allowed: prefixes that the Dag file allows. None: those of the configuration, see :func:`configured`.
    :raises KlapInputError: no prefix covers the address.
    """
    require_allowed(field, address, configured(field) if allowed is None else allowed, resolve=_resolved)


def require_allowed_connection(conn_id: str, allowed: Sequence[str] | None) -> None:
    """
    Refuse a Klap connection that a run may not use.

    :param allowed: ids that the Dag file allows. None: those of the configuration.
    :raises KlapInputError: the connection is not allowed.
    """
    require_allowed_id(conn_id, configured("klap_conn_id") if allowed is None else allowed)


def configured(field: str) -> list[str]:
    """
    Return the allowlist that applies if the Dag file sets none.

    It is ``allowed_lists``, ``allowed_sources``, ``allowed_destinations`` or ``allowed_connections`` in the section
    ``[klap]`` of Airflow's configuration, separated by commas. Without that setting: no Klap connection, object storage
    without a connection, web addresses for sources, and on this machine the Dags folder for lists and the default
    folder for destinations.
    """
    if (prefixes := _setting(field)) is not None:
        return prefixes
    stores = [f"{scheme}://" for scheme in OBJECT_STORES]
    match field:
        case "klap_conn_id":
            return []
        case "list_path":
            return [*stores, os.path.abspath(conf.get("core", "dags_folder"))]
        case "destination":
            return [*stores, default_folder()]
    return [*stores, *(f"{scheme}://" for scheme in WEB)]


def _setting(field: str) -> list[str] | None:
    value = conf.get("klap", f"allowed_{SETTINGS[field]}", fallback=None)
    if value is None:
        return None
    return [prefix for prefix in re.split(r"\s*[,\n]\s*", value.strip()) if prefix]


def served_address(path: str) -> str:
    """
    Return the address from which the API server may send a delivered file.

    It must be below a prefix of ``[klap] allowed_destinations`` in the API server's own configuration, with the same
    storage connection. Without that setting no file is sent. The allowlist of a Dag file does not count, because a Dag
    author is not an administrator of the API server. Sends no request to any storage. Symbolic links are followed.

    :raises KlapNotServedError: no prefix covers it.
    :raises KlapConfigError: a prefix is not an address.
    """
    try:
        location = Location.parse(path)
    except ValueError as problem:
        given = redaction.shown(path)
        raise KlapNotServedError(f"The API server is not allowed to send files from {given!r}: {problem}.") from None
    # Check the text first, so that a path that is not allowed is not looked up on the disk.
    real = _resolved(location) if _serves(location) else None
    if real is None or not _serves(real, _resolved):
        raise KlapNotServedError(
            f"The API server is not allowed to send files from {redaction.shown(path)}. "
            "An administrator of Airflow can add the destination to allowed_destinations in the section [klap]."
        )
    return str(real)


def is_served(path: str) -> bool:
    """Return whether the API server may send a delivered file, judging only by its path."""
    try:
        return _serves(Location.parse(path))
    except (ValueError, KlapConfigError):  # a request for the file shows the error
        return False


def _serves(location: Location, resolve: Callable[[Location], Location] = lambda given: given) -> bool:
    prefixes = _setting("destination") or []
    return location.scheme not in WEB and is_covered(location, prefixes, "allowed_destinations", resolve)


def default_folder() -> str:
    """Return the default destination: ``klap_shorts`` in Airflow's home on this machine."""
    home = os.environ.get("AIRFLOW_HOME") or os.path.expanduser("~/airflow")
    return os.path.join(os.path.abspath(home), "klap_shorts")


def _resolved(location: Location) -> Location:
    if location.scheme != LOCAL:
        return location
    real = os.path.realpath(f"/{'/'.join(location.path)}")
    return location._replace(path=tuple(filter(None, real.split("/"))))
