"""docs/reliability.md promises nothing that no test proves, and leaves out nothing that one does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
E2E = ROOT / "tests" / "e2e"
ROWS = [
    line
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines()
    if line.startswith("|") and not line.endswith(("| test |", "|---|"))
]
NAMED = [re.findall(r"`(\S+\.py::test_\w+)`", row) for row in ROWS]


def named_in(*modules: Path) -> set[str]:
    return {
        f"{module.relative_to(E2E)}::{node.name}"
        for module in modules
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_row_names_a_test_that_exists() -> None:
    there = named_in(*E2E.rglob("test_*.py"))

    assert len(ROWS) > 20
    assert [row for row, named in zip(ROWS, NAMED, strict=True) if not named or not set(named) <= there] == []


def test_every_chaos_test_is_named_by_a_row() -> None:
    chaos = named_in(E2E / "test_rough_day.py", *E2E.glob("chaos/test_*.py"), *E2E.glob("cluster/test_*.py"))

    assert chaos - {name for names in NAMED for name in names} == set()
