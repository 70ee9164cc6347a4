"""What the chaos and the cluster tests end with: what was done to Airflow and to Klap, and what that cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tests.support.rig import Tally

TALLIES = pytest.StashKey[list[Tally]]()
COLUMNS = ["faults", "kills", "outages", "tasks due", "paid", "exports due", "paid", "fate unknown"]
COLUMNS += ["selected", "delivered", "missing"]


def hand_over(config: pytest.Config) -> None:
    """Leave this process's accounts to the one that prints the report, if that is another one."""
    if output := getattr(config, "workeroutput", None):
        output["tallies"] = [asdict(tally) for tally in config.stash.get(TALLIES, [])]


def take_over(node: Any) -> None:
    """Take the accounts of a process of xdist's that has ended; one that died has left none."""
    left = (getattr(node, "workeroutput", None) or {}).get("tallies", [])
    node.config.stash.setdefault(TALLIES, []).extend(Tally(**tally) for tally in left)


def write_report(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the accounts of all tests, and their sum."""
    tallies = config.stash.get(TALLIES, [])
    if not tallies:
        return
    lines = [tally.figures() for tally in tallies]
    lines.append([sum(figures) for figures in zip(*lines, strict=True)])
    terminalreporter.section("chaos report")
    terminalreporter.write_line("  ".join(COLUMNS))
    for name, figures in zip([*(tally.test for tally in tallies), "in all"], lines, strict=True):
        cells = "  ".join(f"{figure:>{len(column)}}" for figure, column in zip(figures, COLUMNS, strict=True))
        terminalreporter.write_line(f"{cells}  {name}")
