"""
Refuse and record every connection and lookup that leaves this machine.

Python imports this module at start in each process that the tests start, because :mod:`tests.support.network` puts
its folder on ``PYTHONPATH``. A refused call fails as it does on a machine without a network. The record makes the
test fail also where the code under test swallows the error.

A name below ``.invalid`` is unknown without a lookup, as in RFC 6761. Tests use it for names that must not resolve.

An audit hook sees ``socket``, ``asyncio`` and everything that is built on them. It does not see libraries in C that
open connections without Python, such as libpq, nor processes that are not Python.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: The variable that names :data:`record`.
RECORD = "KLAP_TESTS_REFUSED_CALLS"

#: The file that gets a line for each refused call.
record = os.environ.get(RECORD, "")

CONNECTIONS = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname")
REVERSE_LOOK_UPS = ("socket.gethostbyaddr", "socket.getnameinfo")

#: Parts of the names of files that are not a caller of interest.
NOT_CALLERS = ("/lib/python", "<frozen", "<string>", __file__)

LOCAL_NAMES = {"", "localhost", socket.gethostname().lower()}


def is_address(host: str) -> bool:
    """Return whether the host is an IP address in any spelling, which needs no DNS lookup."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        if host.split() != [host]:
            return False
        try:
            socket.inet_aton(host)
        except (OSError, UnicodeError):
            return False
    return True


def is_on_this_machine(host: str) -> bool:
    """Return whether a connection to the host stays on this machine."""
    if host.lower().removesuffix(".") in LOCAL_NAMES:
        return True
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            found = ip_address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_loopback or found.is_unspecified or is_own(found)


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an interface of this machine has the address; Airflow's components may use the host's name."""
    if address.is_multicast:
        return False
    local = socket.SocketType(socket.AF_INET6 if address.version == 6 else socket.AF_INET)  # is not guarded
    try:
        local.bind((str(address), 0))
    except OSError:
        return False
    finally:
        local.close()
    return True


def caller() -> str:
    """Return the line of the nearest caller that is not of the standard library or an installed package."""
    frame = sys._getframe(2)  # the frame that made the call
    while frame.f_back and any(part in frame.f_code.co_filename for part in NOT_CALLERS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def host_of(address: object) -> str:
    """Return the host of a call, which is an address of a socket, or the host alone."""
    host = address[0] if isinstance(address, tuple) else address
    return host.decode(errors="replace") if isinstance(host, bytes | bytearray) else str(host or "")


def unknown_name() -> socket.gaierror:
    """Return the error of a failed lookup."""
    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def refused(event: str, arguments: tuple[object, ...]) -> tuple[str, OSError] | None:
    """Return what a call does and how it fails, or None if it stays on this machine."""
    if event in CONNECTIONS:
        connecting, address = arguments
        of_internet = getattr(connecting, "family", None) in (socket.AF_INET, socket.AF_INET6)
        if not of_internet or not isinstance(address, tuple) or is_on_this_machine(host_of(address)):
            return None
        unreachable = OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        return f"connection to {host_of(address)} port {address[1]}", unreachable
    host = host_of(arguments[0])
    if is_on_this_machine(host) or (event in LOOK_UPS and is_address(host)):
        return None
    if host.lower().removesuffix(".").endswith(".invalid"):
        raise unknown_name()
    return f"lookup of {host!r}", unknown_name()


def guard(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse a call that leaves this machine; an audit hook."""
    if event not in (*CONNECTIONS, *LOOK_UPS, *REVERSE_LOOK_UPS):
        return
    found = refused(event, arguments)
    if found is not None:
        what, failure = found
        with open(record, "a", encoding="utf-8", errors="backslashreplace") as lines:
            lines.write(f"{what}, by {caller()}\n")
        raise failure


def looking_up(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of a socket whose address lookup is guarded; the audit hook does not see that lookup."""

    @functools.wraps(method)
    def guarded(connecting: socket.socket, *arguments: Any) -> Any:
        if arguments and isinstance(arguments[-1], tuple):
            guard("socket.getaddrinfo", arguments[-1])
        return method(connecting, *arguments)

    return guarded


def install() -> None:
    """Guard this process from now on."""
    sys.addaudithook(guard)
    for name in ("bind", "connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, looking_up(getattr(socket.socket, name)))


if record:
    install()
