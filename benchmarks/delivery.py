"""6. Delivery: a large file from a server on this machine to disk."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import HERE, Bar, Section, Table, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3  # each starts with another contender
SIZE = 2 * 10**9
NAMES = {"deliver": "this project", "curl": "`curl -o`", "copyfileobj": "requests and shutil.copyfileobj"}


def run() -> Section:
    """Run the benchmark."""
    speed: dict[str, list[float]] = {name: [] for name in NAMES}
    memory: dict[str, list[float]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="klap-bench-", dir=HERE) as name, serving(Path(name)) as url:
        target = Path(name) / "fetched.mp4"
        fetch("curl", url, target)  # the first one allocates the disk space that the others reuse
        for round_number in range(ROUNDS):
            for how in islice(cycle(NAMES), round_number, round_number + len(NAMES)):
                os.sync()  # finish the writes of the previous one
                seconds, grown = fetch(how, url, target)
                assert target.stat().st_size == SIZE
                target.unlink()
                speed[how].append(SIZE / 1e6 / seconds)
                memory[how].append(grown / 2**20)
    return Section(
        name="delivery",
        title="6. Delivery",
        method=(
            f"{SIZE / 1e9:g} GB over plain HTTP to a file. This project also calculates the SHA-256, checks "
            "that the video is complete, and renames the file at the end. Memory is the growth of the process; for "
            "curl, all of it."
        ),
        table=Table(
            ("", "MB/s", "memory, MiB"), [[NAMES[how], spread(speed[how]), spread(memory[how])] for how in NAMES]
        ),
        bars=[
            Bar(
                "delivery: speed against curl",
                statistics.median(speed["deliver"]) / statistics.median(speed["curl"]),
                0.9,
                at_least=True,
            ),
            Bar("delivery: extra memory", max(memory["deliver"]), 32, " MiB"),
        ],
    )


def fetch(how: str, url: str, target: Path) -> tuple[float, float]:
    """Return the time in seconds, and the memory in bytes."""
    if how == "curl":
        # In another process, as RUSAGE_CHILDREN has only the largest child of a process.
        code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
        command = [sys.executable, "-c", code, *["curl", "--silent", "--fail", "--write-out"], "%{time_total} "]
        command += ["--output", str(target), url]
    else:
        command = [sys.executable, "-m", "benchmarks.fetch", how, url, str(target)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "NO_PROXY": "127.0.0.1"}
    )
    seconds, grown = done.stdout.splitlines()[-1].split()
    return float(seconds), float(grown)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a file with the boxes of an MP4, with sendfile, and yield its address."""
    source = folder / "source.mp4"
    with source.open("wb") as file:
        file.write(b"\0\0\0\x10ftypmp42mp41\0\0\0\x08moov" + (SIZE - 24).to_bytes(4, "big") + b"mdat")
        file.truncate(SIZE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, source), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/video.mp4"


def _serve(listener: socket.socket, source: Path) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, source.open("rb") as file, contextlib.suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % SIZE
            )
            connection.sendfile(file)
