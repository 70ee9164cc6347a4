"""Tables of docs/ whose rows name tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
DOCS = TESTS.parent / "docs"


def rows_of(name: str, *, section: str | None = None) -> dict[str, list[str]]:
    """Return the rows of all tables of a page, or of a section of it, and which tests each names."""
    page = (DOCS / name).read_text(encoding="utf-8")
    if section is not None:
        page = page.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in page.splitlines() if line.startswith("|") and not line.endswith(("| test |", "|---|"))]
    return {row: re.findall(r"`(\S+\.py::test_\w+)`", row) for row in rows}


def names_in(folder: Path, *modules: Path) -> set[str]:
    """Return the tests of modules, or of all modules below the folder, in the format of rows."""
    return {
        f"{module.relative_to(folder)}::{node.name}"
        for module in modules or folder.rglob("test_*.py")
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def unproved(rows: dict[str, list[str]], there: set[str]) -> list[str]:
    """Return the rows that name no test, or a missing one."""
    return [row for row, named in rows.items() if not named or not set(named) <= there]
