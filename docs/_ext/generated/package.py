"""The layers of the package, and the protocols of the idempotent submission."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from generated.api import arguments
from generated.markdown import code, markdown, markdown_table, require_same, table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping


@table
def protocols(_: Mapping[str, str]) -> str:
    """What the idempotent submission needs of its collaborators."""
    from klap_provider.rules.attempt_log import Clock, JobGateway
    from klap_provider.rules.ledger import Store

    rows = []
    for title, protocol in (("the store", Store), ("the API", JobGateway), ("the clock", Clock)):
        for name, member in vars(protocol).items():
            if name.startswith("_"):
                continue
            shown = name if isinstance(member, property) else f"{name}{arguments(member)}".replace("self, ", "")
            what = markdown((inspect.getdoc(member) or "").partition("\n\n")[0])
            rows.append([title, code(shown.replace("(self)", "()")), what])
    return markdown_table(("object", "method or attribute", "meaning"), rows)


@table
def layers(described: Mapping[str, str]) -> str:
    """The layers of the package, as import-linter checks them."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [re.split(" [|:] ", layer) for layer in project["tool"]["importlinter"]["contracts"][0]["layers"]]
    require_same(described, [name for group in groups for name in group])
    rows = [[str(number), code(name), described[name]] for number, group in enumerate(groups, 1) for name in group]
    return markdown_table(("layer", "module", "content"), rows)
