"""``python -m benchmarks``: all of them, into ``results.md``. With names, those alone, onto the screen."""

from __future__ import annotations

import sys
import time

from benchmarks import delivery, growth, noticing, page, parsing, report, scale, starts, tab, waiting, whole_run

ALL = {
    "waiting": waiting,
    "growth": growth,
    "noticing": noticing,
    "parsing": parsing,
    "starts": starts,
    "delivery": delivery,
    "page": page,
    "scale": scale,
    # Last, as their Airflow runs until the end.
    "whole_run": whole_run,
    "tab": tab,
}


def main() -> None:
    """Run what the command line names."""
    started = time.monotonic()
    sections: list[report.Section] = []
    for name in sys.argv[1:] or ALL:
        print(f"{(time.monotonic() - started) / 60:4.1f} min  {name} …", flush=True)
        sections.append(ALL[name].run())
        sections.sort(key=lambda section: int(section.title.partition(".")[0]))
        if not sys.argv[1:]:  # as it goes on, so that what ends it in between loses nothing
            report.write(sections, (time.monotonic() - started) / 60)
    if sys.argv[1:]:
        print(*sections, report.bars_table(sections), sep="\n")
    else:
        print(f"\n{report.bars_table(sections)}\n\nIn full: {report.RESULTS}")


if __name__ == "__main__":
    main()
