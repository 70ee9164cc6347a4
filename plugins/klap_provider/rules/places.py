"""
Places: which lists, videos and folders may be named by who may only trigger. Pure.

A permission is the beginning of an address, in whole parts: ``s3://media_s3@media/in`` lets a run name that folder
and what is below it, with that connection and no other. ``s3://media_s3@`` is every bucket of that connection,
``https://`` every address of the web, ``/data`` every file below that folder.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from klap_provider.api import public_form
from klap_provider.errors import KlapConfigError, KlapInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Storage with buckets, in which every address is some connection's. It is without folders, where making one would make
#: a bucket out of a mistyped name, and has uploads that are seen when they are complete.
OBJECT_STORES = ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl")
WEB = ("http", "https")
LOCAL = "file"

_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """
    An address, taken apart.

    :param scheme: in lower case.
    :param connection: id of the Airflow connection before the ``@``; None: the machine's own credentials, or none.
    :param container: bucket or host; empty: any.
    :param path: what follows, part by part.
    """

    scheme: str
    connection: str | None
    container: str
    path: tuple[str, ...]

    @classmethod
    def read(cls, address: str) -> Place:
        """
        Take an address apart.

        :param address: a URL, or an absolute path of this machine.
        :raises ValueError: it is none, or one that some program may take for another one.
        """
        if not address.isprintable() or "\\" in address:
            raise ValueError("it has characters that no address needs")
        scheme, mark, rest = ("file", "://", address) if address.startswith("/") else address.partition("://")
        scheme = scheme.lower()
        if not mark:
            raise ValueError("it is neither an absolute path nor a URL")
        if scheme in WEB:
            return cls._of_the_web(scheme, address)
        if "::" in rest:
            raise ValueError("it leads through another address")
        place, _, path = rest.partition("/")
        connection, _, container = place.rpartition("@")
        if scheme in (LOCAL, "local"):
            if place or rest.startswith("//"):
                raise ValueError("of a file on this machine an absolute path is needed")
            scheme = LOCAL
        return cls(scheme, connection or None, container, _parts(path))

    @classmethod
    def _of_the_web(cls, scheme: str, address: str) -> Place:
        parts = urlsplit(address)
        port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
        path = parts.path
        while path != (decoded := unquote(path)):
            path = decoded
        return cls(scheme, None, f"{(parts.hostname or '').rstrip('.')}{port}", _parts(path))

    def __str__(self) -> str:
        """Return the address, as no program can misread it."""
        at = "" if self.connection is None else f"{self.connection}@"
        return f"{self.scheme}://{at}{self.container}/{'/'.join(self.path)}"

    def lets(self, other: Place) -> bool:
        """Whether this place, as a permission, covers another one."""
        if self.scheme != other.scheme:
            return False
        if not self.container and not self.path:
            return self.connection in (None, other.connection)
        here = (self.connection, self.container, self.path)
        return here == (other.connection, other.container, other.path[: len(self.path)])


def _parts(path: str) -> tuple[str, ...]:
    if ".." in re.split(r"[/\\]", path):
        raise ValueError("it has .. in it")
    return tuple(part for part in posixpath.normpath(f"/{path}").split("/") if part)


#: What the permissions for a parameter are called.
SETTINGS = {"list_path": "lists", "source_video_url": "sources", "destination": "destinations"}


def require_allowed(
    field: str, address: str, permissions: Iterable[str], *, resolve: Callable[[Place], Place] = lambda place: place
) -> None:
    """
    Refuse an address that no permission covers.

    :param field: the parameter that it comes from, for the message.
    :param resolve: returns what a place, or a permission, really is, where its text does not tell.
    :raises KlapInputError: names the field, and where the permissions are.
    :raises KlapConfigError: one of these is none.
    """
    try:
        place = resolve(Place.read(address))
    except ValueError as odd:
        raise KlapInputError(f"{field} is {public_form.shown(address)!r}: {odd}.") from None
    setting = f"allowed_{SETTINGS[field]}"
    if not covers(place, permissions, setting, resolve):
        raise KlapInputError(
            f"{field} is {public_form.shown(address)!r}, which is no place that a run may name. Which "
            f"are, the DAG's author says with {setting}, or an administrator with {setting} in the section [klap] of "
            "Airflow's configuration."
        )


def covers(
    place: Place,
    permissions: Iterable[str],
    setting: str,
    resolve: Callable[[Place], Place] = lambda permission: permission,
) -> bool:
    """
    Return whether any of some permissions lets a place.

    :param setting: what the permissions are called, for the message.
    :param resolve: returns what a permission really is, where its text does not tell.
    :raises KlapConfigError: one of them is none.
    """
    return any(resolve(_permission(setting, each)).lets(place) for each in permissions)


def _permission(setting: str, text: str) -> Place:
    try:
        return Place.read(text)
    except ValueError as odd:
        raise KlapConfigError(f"{setting} has {public_form.shown(text)!r} in it, which is no place: {odd}.") from None
