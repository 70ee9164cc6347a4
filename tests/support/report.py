"""Report of the chaos and cluster tests: faults, and their effects on paid requests and shorts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tests.support.rig import Tally

TALLIES = pytest.StashKey[list[Tally]]()
COLUMNS = ["faults", "kills", "outages", "tasks due", "paid", "exports due", "paid", "in doubt"]
COLUMNS += ["selected", "delivered", "missing"]


def hand_over(config: pytest.Config) -> None:
    """Send the tallies of an xdist worker to the main process."""
    if output := getattr(config, "workeroutput", None):
        output["tallies"] = [asdict(tally) for tally in config.stash.get(TALLIES, [])]


def take_over(node: Any) -> None:
    """Add the tallies of an xdist worker that has exited. A crashed one has none."""
    left = (getattr(node, "workeroutput", None) or {}).get("tallies", [])
    node.config.stash.setdefault(TALLIES, []).extend(Tally(**tally) for tally in left)


def write_report(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tallies of all tests, and their sum."""
    tallies = config.stash.get(TALLIES, [])
    if not tallies:
        return
    lines = [tally.figures() for tally in tallies]
    lines.append([sum(figures) for figures in zip(*lines, strict=True)])
    terminalreporter.section("chaos report")
    terminalreporter.write_line("  ".join(COLUMNS))
    for name, figures in zip([*(tally.test for tally in tallies), "total"], lines, strict=True):
        cells = "  ".join(f"{figure:>{len(column)}}" for figure, column in zip(figures, COLUMNS, strict=True))
        terminalreporter.write_line(f"{cells}  {name}")
