"""Whether a run may name an address: by the DAG's author, by the team's configuration, or by what is safe."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from airflow.sdk import conf

from klap_provider.rules.places import LOCAL, OBJECT_STORES, SETTINGS, WEB, Place, require_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    said = conf.get("klap", f"allowed_{SETTINGS[field]}", fallback=None)
    if said is not None:
        return [permission for permission in re.split(r"\s*[,\n]\s*", said.strip()) if permission]
    stores = [f"{scheme}://" for scheme in OBJECT_STORES]
    match field:
        case "list_path":
            return [*stores, os.path.abspath(conf.get("core", "dags_folder"))]
        case "destination":
            return [*stores, default_folder()]
    return [*stores, *(f"{scheme}://" for scheme in WEB)]


def default_folder() -> str:
    """Return where videos go if nobody says: ``klap_shorts`` in Airflow's home on this machine."""
    home = os.environ.get("AIRFLOW_HOME") or os.path.expanduser("~/airflow")
    return os.path.join(os.path.abspath(home), "klap_shorts")


def _resolved(place: Place) -> Place:
    if place.scheme != LOCAL:
        return place
    real = os.path.realpath(f"/{'/'.join(place.path)}")
    return place._replace(path=tuple(filter(None, real.split("/"))))
