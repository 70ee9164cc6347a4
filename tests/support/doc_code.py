"""The code blocks of Markdown pages."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """
    A code block.

    :param page: path of its page, below the checkout.
    :param line: the line of its fence.
    :param language: the first word behind the fence.
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(pages: Iterable[Path]) -> list[Block]:
    """Return the code blocks of pages, in their order."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            code = textwrap.dedent(match["code"])
            found.append(Block(str(page.relative_to(ROOT)), line, match["language"], code))
    return found


def commands_of(code: str) -> list[list[str]]:
    """Return the commands of a shell block, each as its words; a command can have several lines."""
    commands: list[list[str]] = []
    rest = ""
    for line in code.splitlines(keepends=True):
        rest += line
        if rest.endswith("\\\n"):
            continue
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:  # a quotation continues on the next line
            continue
        rest = ""
        if words:
            commands.append(words)
    if rest:
        raise ValueError(f"unfinished command: {rest}")
    return commands
