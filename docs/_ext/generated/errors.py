"""The exceptions."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from generated.markdown import code, markdown, markdown_table, table
from klap_provider import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def _subclasses(kind: type[BaseException], depth: int = 0) -> Iterator[tuple[type[BaseException], int]]:
    """Return the published exceptions in the order of their definition, with their depth in the tree."""
    if not kind.__name__.startswith("_"):
        yield kind, depth
        depth += 1
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _subclasses(each, depth)


def _attribute(kind: type[BaseException], name: str) -> str:
    found = inspect.getattr_static(kind, name)
    if issubclass(kind, errors._TransferError) and kind is not errors.KlapNotServedError:
        return "if transient"
    return "yes" if found else "no"


@table
def error_tree(_: Mapping[str, str]) -> str:
    """The exceptions as a tree."""
    lines = [f"{'    ' * depth}{kind.__name__}" for kind, depth in _subclasses(errors.KlapError)]
    return "```text\n" + "\n".join(lines) + "\n```"


@table
def error_list(_: Mapping[str, str]) -> str:
    """What each exception means, and what to do."""
    rows = []
    for kind, _depth in _subclasses(errors.KlapError):
        what, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
        action = re.search(r"What to do: (.+?)(?:\n\n|$)", rest, re.DOTALL)
        has_subclasses = any(each.__module__ == errors.__name__ for each in kind.__subclasses__())
        if action is None and not has_subclasses:
            raise ValueError(f"the docstring of {kind.__name__} has no 'What to do:'")
        if action is not None:
            do = markdown(action[1])
            rows.append([code(kind.__name__), markdown(what), _attribute(kind, "transient"), do[:1].upper() + do[1:]])
    return markdown_table(("error", "meaning", "retried", "what to do"), rows)
