"""
``python -m benchmarks``: run all benchmarks except scale, and write ``results.md``. ``--scale``: run scale, and write
``scale.md``. With names: run these, and print their results. With ``--update`` and names: also replace their tables.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks import delivery, growth, page, page_requests, parsing, report, scale, starts, tab, waiting, whole_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

BENCH = {
    "waiting": waiting,
    "growth": growth,
    "parsing": parsing,
    "starts": starts,
    "delivery": delivery,
    "page": page,
    "page_requests": page_requests,
    # Last, as their Airflow runs until the process ends.
    "whole_run": whole_run,
    "tab": tab,
}
SCALE = {"scale": scale}
ALL = BENCH | SCALE


def main() -> None:
    """Run the command line."""
    names = sys.argv[1:]
    if not names:
        measure(BENCH, report.BENCH)
    elif names == ["--scale"]:
        measure(SCALE, report.SCALE)
    elif names[0] == "--update":
        report.update(report.BENCH, measure({name: BENCH[name] for name in names[1:]}))
    else:
        measure({name: ALL[name] for name in names})


def measure(benchmarks: Mapping[str, ModuleType], target: report.Report | None = None) -> list[report.Section]:
    """Run benchmarks one after another, write or print their results, and return them."""
    started = time.monotonic()
    sections: list[report.Section] = []
    for name, benchmark in benchmarks.items():
        print(f"{(time.monotonic() - started) / 60:4.1f} min  {name} …", flush=True)
        sections.append(benchmark.run())
        sections.sort(key=lambda section: int(section.title.partition(".")[0]))
        if target:  # after each benchmark, so that an abort loses nothing
            report.write(target, sections, (time.monotonic() - started) / 60)
    if target:
        print(f"\n{report.bars_table(sections)}\n\nDetails: {target.results}")
    else:
        print(*sections, report.bars_table(sections), sep="\n")
    return sections


if __name__ == "__main__":
    main()
