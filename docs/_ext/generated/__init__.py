"""
Tables of the reference pages, made from the code at each build, so that they cannot differ from it.

A page includes a table with the directive ``generated`` and the table's name:

.. code-block:: markdown

    ```{generated} metrics
    ```

Where the code has names without a description, the directive's content gives one per line, as ``name: description``.
The build fails if a name is missing there or does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective

from generated import (  # noqa: F401  # they register tables
    api,
    errors,
    ledger,
    metrics,
    package,
    parameters,
    upstream,
    xcoms,
)
from generated.markdown import TABLES

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


class Generated(SphinxDirective):
    """The directive ``generated``."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        name = self.arguments[0]
        described = dict(line.split(": ", 1) for line in self.content if line.strip())
        try:
            text = TABLES[name](described)
        except (KeyError, ValueError) as wrong:
            raise SphinxError(f"{self.env.docname}: the table {name!r} cannot be made: {wrong}") from wrong
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "env_version": 1}
