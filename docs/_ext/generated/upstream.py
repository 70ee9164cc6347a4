"""The defects of Airflow that ``tests/upstream`` reproduces."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import textwrap
from typing import TYPE_CHECKING, Any

from generated.markdown import code, markdown, table
from tests.matrix import VERSIONS
from tests.upstream import test_core, test_sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ISSUES = "https://github.com/apache/airflow/issues"


def _linked(text: str) -> str:
    return re.sub(r"#(\d{5})", rf"[#\1]({ISSUES}/\1)", text)


def _reproduction(test: Callable[..., None]) -> str:
    """Return the code of a test, without its decorator and its docstring."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(test)))
    function: Any = ast.parse(source).body[0]
    lines, docstring = source.splitlines(), function.body[0]
    head = lines[function.lineno - 1 : docstring.lineno - 1]
    return "\n".join([*head, *lines[docstring.end_lineno :]])


def _section(test: Callable[..., None]) -> str:
    marked: Any = test.defect  # type: ignore[attr-defined]  # set by its decorator
    if marked.workaround is not None:
        try:
            pkgutil.resolve_name(marked.workaround)
        except (AttributeError, ImportError) as missing:
            raise ValueError(f"there is no {marked.workaround}: {missing}") from missing
    title, _, text = (inspect.getdoc(test) or "").partition("\n\n")
    versions = ", ".join(version for version in VERSIONS if marked.is_in(version))
    facts = [
        f"- **Versions**: {versions}",
        f"- **Reported**: {_linked(f'#{marked.issue}') if marked.issue else 'no'}",
        f"- **Workaround**: {code(marked.workaround) if marked.workaround else 'none'}",
    ]
    return "\n\n".join(
        [
            f"### {markdown(title)}",
            _linked(markdown(text)),
            "\n".join(facts),
            f"```python\n{_reproduction(test)}\n```",
        ]
    )


@table
def upstream_defects(_: Mapping[str, str]) -> str:
    """Each reproduced defect, with its code."""
    tests = [each for module in (test_sdk, test_core) for each in vars(module).values() if hasattr(each, "defect")]
    return "\n\n".join(map(_section, tests))
