"""Markdown that tables are made of, and the register of the tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Each table's name, and the function that returns it as Markdown.
TABLES: dict[str, Callable[[Mapping[str, str]], str]] = {}


def table(function: Callable[[Mapping[str, str]], str]) -> Callable[[Mapping[str, str]], str]:
    """Register a table under the name of the function that makes it, with dashes."""
    TABLES[function.__name__.replace("_", "-")] = function
    return function


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a ``|`` in a cell is escaped."""
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: Any) -> str:
    """Return a value as inline code."""
    return f"`{value}`"


def markdown(text: str) -> str:
    """Return a docstring or a comment as one line of Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return " ".join(text.replace("``", "`").split())


def require_same(described: Mapping[str, str], names: Sequence[str]) -> None:
    """
    Check that the page describes what the code has.

    :raises ValueError: it does not.
    """
    if missing := [name for name in names if name not in described]:
        raise ValueError(f"no description of {', '.join(missing)}")
    if unknown := [name for name in described if name not in names]:
        raise ValueError(f"the code has no {', '.join(unknown)}")
