"""
A minimal server to poll, in another process, so that it hardly affects measurements.

It has three APIs: Klap's (``/v2/tasks/{id}``, exports, and ``/v2/exports?folder_id={id}``, whose id contains the
exports), one that returns 404 until the job is ready, for ``HttpSensorTrigger`` (``/sensor/{id}``), and dbt Cloud's
(``/api/v2/accounts/{account}/runs/{id}/``). Each job is ready at its n-th poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Responses of each API while the job runs, and when it is ready: HTTP status and body.
RESPONSES = {
    "v2": (
        (200, {"id": "task000000000000", "type": "video-to-video", "status": "processing", "output_id": None}),
        (200, {"id": "task000000000000", "type": "video-to-video", "status": "ready", "output_id": "project1"}),
    ),
    "sensor": ((404, {}), (200, {})),
    "api": ((200, {"data": {"id": 1, "status": 3}}), (200, {"data": {"id": 1, "status": 10}})),
}


@dataclass
class Tally:
    """Requests since the last reset."""

    ready_at: int = 1
    connections: int = 0
    polls: Counter[str] = field(default_factory=Counter)


class Poll(asyncio.Protocol):
    """A connection with sequential GETs without bodies."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport; see :class:`asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.counted = False

    def data_received(self, data: bytes) -> None:
        """Respond to complete requests."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            request, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            status, body = self.respond(request.split(b" ", 2)[1].decode())
            payload = json.dumps(body).encode()
            head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % (status, len(payload)) + payload)

    def respond(self, path: str) -> tuple[int, object]:
        """Return status and body for a path. ``/reset/{n}`` and ``/tally`` are for the benchmark."""
        api, _, rest = path.lstrip("/").partition("/")
        if api == "reset":
            self.tally.ready_at, self.tally.connections, self.tally.polls = int(rest), 0, Counter()
            return 200, {}
        if api == "tally":
            return 200, {"connections": self.tally.connections, "polls": self.tally.polls.total()}
        if not self.counted:
            self.counted = True
            self.tally.connections += 1
        self.tally.polls[path] += 1
        ready = self.tally.polls[path] >= self.tally.ready_at
        if rest.startswith("exports?"):
            return 200, exports_of(rest.rpartition("=")[2], ready=ready)
        if "/exports/" in rest:
            return 200, export(rest.rpartition("/")[2], ready=ready)
        return RESPONSES[api][ready]


def exports_of(folder: str, *, ready: bool) -> list[dict[str, object]]:
    """Return the exports of a folder: ``folder200-7x5`` has the 7th, the 207th and so on, five of them."""
    first, _, count = folder.removeprefix("folder").partition("x")
    step, _, number = first.partition("-")
    return [export(f"export{int(number) + int(step) * k:010}", ready=ready) for k in range(int(count))]


def export(export_id: str, *, ready: bool) -> dict[str, object]:
    """Return an export."""
    if ready:
        return {"id": export_id, "status": "ready", "src_url": "https://example.com/short.mp4"}
    return {"id": export_id, "status": "processing", "src_url": None}


async def serve(folder: Path) -> None:
    """Serve plain HTTP and TLS on free ports, and print them."""
    tally, loop = Tally(), asyncio.get_running_loop()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    servers = [
        await loop.create_server(lambda: Poll(tally), "127.0.0.1", 0, backlog=4096, ssl=context)
        for context in (None, tls)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


def make_certificate(folder: Path) -> Path:
    """Write the server's key and certificate, and return the certificate of its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder / "ca.pem"


@dataclass(frozen=True)
class Server:
    """Ports of the server, and the certificate of its authority."""

    plain: int
    tls: int
    certificate: Path

    def origin(self, scheme: str) -> str:
        """Return ``http://…`` or ``https://…``, without a path."""
        return f"{scheme}://127.0.0.1:{self.tls if scheme == 'https' else self.plain}"


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run the server in another process."""
    with tempfile.TemporaryDirectory(prefix="klap-bench-") as name:
        certificate = make_certificate(Path(name))
        command = [sys.executable, "-m", "benchmarks.poll_server", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                plain, tls = map(int, process.stdout.readline().split())
                yield Server(plain, tls, certificate)
            finally:
                process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
