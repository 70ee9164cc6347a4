"""
Decide which lists, videos, destinations and Klap connections a run may use. Pure.

An allowlist has prefixes of addresses, compared in whole path segments: ``s3://media_s3@media/in`` allows that folder
and everything below it, with that connection and no other. ``s3://media_s3@`` allows every bucket of that connection,
``s3://`` every bucket without a connection, ``https://`` every web address, ``/data`` every file below that folder.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from klap_provider.api import redaction
from klap_provider.errors import KlapConfigError, KlapInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Schemes of object storage. Folders are not created there, because a mistyped name would become a new bucket. Uploads
#: become visible when they are complete.
OBJECT_STORES = ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl")
WEB = ("http", "https")
LOCAL = "file"

_PORTS = {"http": 80, "https": 443}


class Location(NamedTuple):
    """
    A parsed address or allowlist prefix.

    :param scheme: lower case.
    :param connection: id of the Airflow connection before the ``@``. None: no connection.
    :param container: bucket or host. Empty: any.
    :param path: path segments.
    """

    scheme: str
    connection: str | None
    container: str
    path: tuple[str, ...]

    @classmethod
    def parse(cls, address: str) -> Location:
        """Parse a URL or an absolute path. A ValueError: it is neither, or programs may read it differently."""
        if not address.isprintable() or "\\" in address:
            raise ValueError("it contains invisible characters or a backslash")
        scheme, mark, rest = ("file", "://", address) if address.startswith("/") else address.partition("://")
        scheme = scheme.lower()
        if not mark:
            raise ValueError("it is neither an absolute path nor a URL")
        if scheme in WEB:
            return cls._parse_web(scheme, address)
        if "::" in rest:
            raise ValueError("it contains a second address")
        authority, _, path = rest.partition("/")
        connection, _, container = authority.rpartition("@")
        if scheme in (LOCAL, "local"):
            if authority or rest.startswith("//"):
                raise ValueError("a file on this machine needs an absolute path")
            scheme = LOCAL
        return cls(scheme, connection or None, container, _segments(path))

    @classmethod
    def _parse_web(cls, scheme: str, address: str) -> Location:
        parts = urlsplit(address)
        port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
        path = parts.path
        while path != (decoded := unquote(path)):
            path = decoded
        return cls(scheme, None, f"{(parts.hostname or '').rstrip('.')}{port}", _segments(path))

    def __str__(self) -> str:
        """Return the normalized address."""
        at = "" if self.connection is None else f"{self.connection}@"
        return f"{self.scheme}://{at}{self.container}/{'/'.join(self.path)}"

    def contains(self, other: Location) -> bool:
        """Return whether another location is this one or below it."""
        if self.scheme != other.scheme:
            return False
        if not self.container and not self.path:
            return self.connection == other.connection
        here = (self.connection, self.container, self.path)
        return here == (other.connection, other.container, other.path[: len(self.path)])


def _segments(path: str) -> tuple[str, ...]:
    if ".." in re.split(r"[/\\]", path):
        raise ValueError("it contains ..")
    return tuple(part for part in posixpath.normpath(f"/{path}").split("/") if part)


#: By parameter, the name of its allowlist without ``allowed_``.
SETTINGS = {
    "list_path": "lists",
    "source_video_url": "sources",
    "destination": "destinations",
    "klap_conn_id": "connections",
}


def require_allowed(
    field: str, address: str, prefixes: Iterable[str], *, resolve: Callable[[Location], Location] = lambda given: given
) -> None:
    """Refuse the address of a parameter that no prefix of its allowlist covers. ``resolve`` follows symbolic links."""
    try:
        location = resolve(Location.parse(address))
    except ValueError as problem:
        raise KlapInputError(f"{field} is {redaction.shown(address)!r}: {problem}.") from None
    setting = f"allowed_{SETTINGS[field]}"
    if not is_covered(location, prefixes, setting, resolve):
        raise KlapInputError(
            f"{field} is {redaction.shown(address)!r}, which is not on the allowlist. Add it to {setting} in the Dag "
            f"file, or to {setting} in the section [klap] of Airflow's configuration."
        )


def require_allowed_id(conn_id: str, allowed: Iterable[str]) -> None:
    """
    Refuse a Klap connection that is not on the allowlist.

    :param allowed: ids of connections.
    :raises KlapInputError: the connection is not allowed. The message names the setting that can allow it.
    """
    if conn_id not in list(allowed):
        shown = redaction.shown(str(conn_id))
        raise KlapInputError(
            f"klap_conn_id is {shown!r}, which is not on the allowlist. Nothing was sent to Klap. Add "
            f"allowed_connections=[{shown!r}] to the Dag in its file, or allowed_connections = {shown} to the section "
            "[klap] of Airflow's configuration."
        )


def is_covered(
    location: Location,
    prefixes: Iterable[str],
    setting: str,
    resolve: Callable[[Location], Location] = lambda given: given,
) -> bool:
    """Return whether one of the prefixes of an allowlist covers a location. ``resolve`` follows symbolic links."""
    return any(resolve(_prefix(setting, each)).contains(location) for each in prefixes)


def _prefix(setting: str, text: str) -> Location:
    try:
        return Location.parse(text)
    except ValueError as problem:
        raise KlapConfigError(f"{setting} contains {redaction.shown(text)!r}: {problem}.") from None
