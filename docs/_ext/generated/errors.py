"""The exceptions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from generated.markdown import code, markdown, markdown_table, require_same, table
from klap_provider import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Exceptions that are only raised as one of their subclasses.
BASES = ("KlapError", "KlapTransportError", "KlapResponseError", "KlapJobError")


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
def error_list(described: Mapping[str, str]) -> str:
    """What each exception means, and what to do."""
    kinds = [kind for kind, _depth in _subclasses(errors.KlapError) if kind.__name__ not in BASES]
    require_same(described, [kind.__name__ for kind in kinds])
    rows = []
    for kind in kinds:
        what = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
        rows.append(
            [code(kind.__name__), markdown(what), _attribute(kind, "transient"), markdown(described[kind.__name__])]
        )
    return markdown_table(("error", "meaning", "retried", "what to do"), rows)
