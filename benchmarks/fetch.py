"""
Download a file: ``python -m benchmarks.fetch HOW URL FILE``.

Prints the time in seconds, and the memory growth since the imports in bytes.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from pathlib import Path

import requests

from klap_provider.files.download import Limits, download
from klap_provider.files.storage import atomic_file, folder_at


def deliver(url: str, file: Path) -> None:
    """Download like DeliverShortOperator."""
    with atomic_file(folder_at(str(file.parent)) / file.name) as sink:
        download(url, sink, Limits(2**40, max_seconds=3600, connect_timeout=10, read_timeout=60, local=True))


def copyfileobj(url: str, file: Path) -> None:
    """Download like most scripts."""
    with requests.get(url, stream=True, timeout=60) as response, file.open("wb") as sink:
        shutil.copyfileobj(response.raw, sink)


def main() -> None:
    """Run the command line."""
    how, url, file = sys.argv[1:]
    fetch = {"deliver": deliver, "copyfileobj": copyfileobj}[how]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    fetch(url, Path(file))
    seconds = time.perf_counter() - started
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


if __name__ == "__main__":
    main()
