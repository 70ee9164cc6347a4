"""Whether a run may name an address: by the DAG's author, by the team's configuration, or by what is safe."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from airflow.sdk import conf

from klap_provider.api import public_form
from klap_provider.errors import KlapConfigError, KlapNotServedError
from klap_provider.rules.places import LOCAL, OBJECT_STORES, SETTINGS, WEB, Place, covers, require_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def require_place(field: str, address: str, allowed: Sequence[str] | None) -> None:
    """
    Refuse an address that a run may not name. Nothing is asked of any storage.

    A path of this machine counts as what it leads to, whatever links are on the way.

    :param field: ``list_path``, ``source_video_url`` or ``destination``.
    :param address: what a run was given.
    :param allowed: what the DAG's author allows. None: what the team does, see :func:`configured`.
    :raises KlapInputError: it may not be named.
    """
    require_allowed(field, address, configured(field) if allowed is None else allowed, resolve=_resolved)


def configured(field: str) -> list[str]:
    """
    Return what a run may name where the DAG's author does not say.

    That is ``allowed_lists``, ``allowed_sources`` or ``allowed_destinations`` in the section ``[klap]`` of Airflow's
    configuration, separated by commas; without it all object storage and the web, and of this machine one folder.
    """
    if (said := _setting(field)) is not None:
        return said
    stores = [f"{scheme}://" for scheme in OBJECT_STORES]
    match field:
        case "list_path":
            return [*stores, os.path.abspath(conf.get("core", "dags_folder"))]
        case "destination":
            return [*stores, default_folder()]
    return [*stores, *(f"{scheme}://" for scheme in WEB)]


def _setting(field: str) -> list[str] | None:
    said = conf.get("klap", f"allowed_{SETTINGS[field]}", fallback=None)
    if said is None:
        return None
    return [permission for permission in re.split(r"\s*[,\n]\s*", said.strip()) if permission]


def served_address(path: str) -> str:
    """
    Return the address under which the API server may open a delivered file.

    It has to be below a prefix that ``[klap] allowed_destinations`` names in the API server's own configuration, with
    the same storage connection. Without that setting nothing is served: what a Dag's author allows does not count, as
    a Dag's author is no administrator of the API server. Nothing is asked of any storage; of a path on this machine
    the links are followed, and count as what they lead to.

    :param path: what a task recorded as the file's path.
    :raises KlapNotServedError: no prefix covers it.
    :raises KlapConfigError: a prefix makes no sense.
    """
    try:
        place = Place.read(path)
    except ValueError as odd:
        raise KlapNotServedError(f"The API server does not send {public_form.shown(path)!r}: {odd}.") from None
    # The text first: for a path that is not allowed, nothing is asked of the disk.
    real = _resolved(place) if _serves(place) else None
    if real is None or not _serves(real, _resolved):
        raise KlapNotServedError(
            f"The API server does not send {public_form.shown(path)}: its configuration does not allow that address. "
            "An administrator of Airflow can add the destination to allowed_destinations in the section [klap]."
        )
    return str(real)


def is_served(path: str) -> bool:
    """Return whether the API server may open a delivered file; of its text alone, so that it costs nothing."""
    try:
        return _serves(Place.read(path))
    except (ValueError, KlapConfigError):  # who asks for the file is told what is wrong with the setting
        return False


def _serves(place: Place, resolve: Callable[[Place], Place] = lambda permission: permission) -> bool:
    return place.scheme not in WEB and covers(place, _setting("destination") or [], "allowed_destinations", resolve)


def default_folder() -> str:
    """Return where videos go if nobody says: ``klap_shorts`` in Airflow's home on this machine."""
    home = os.environ.get("AIRFLOW_HOME") or os.path.expanduser("~/airflow")
    return os.path.join(os.path.abspath(home), "klap_shorts")


def _resolved(place: Place) -> Place:
    if place.scheme != LOCAL:
        return place
    real = os.path.realpath(f"/{'/'.join(place.path)}")
    return place._replace(path=tuple(filter(None, real.split("/"))))
