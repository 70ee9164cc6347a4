"""The code blocks of the reference and operations pages work."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from airflow.sdk import Connection

from klap_provider.hooks.connection import KlapConnection
from tests.support.doc_code import ROOT, blocks_of

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

DOCS = ROOT / "docs"
PAGES = [*sorted((DOCS / "reference").glob("*.md")), *sorted((DOCS / "operations").glob("*.md"))]
CONNECTIONS = [
    pytest.param(found, id=f"{page.name}-{number}")
    for page in PAGES
    for number, found in enumerate(
        re.findall(r"""[='](\{"conn_type": "klap".*?\})'""", page.read_text(encoding="utf-8"))
    )
]


def test_the_python_blocks_run(klap: Sandbox) -> None:
    found = [block for block in blocks_of(PAGES) if block.language == "python"]
    assert found
    for block in found:
        exec(block.code.replace("…", "folder01"), {})


def test_the_pages_have_connections() -> None:
    assert len(CONNECTIONS) > 5


@pytest.mark.parametrize("text", CONNECTIONS)
def test_each_connection_of_the_pages_is_valid(text: str) -> None:
    fields = json.loads(text.replace("kak_…", "kak_test"))
    extra = json.dumps(fields.pop("extra", {}))
    connection = KlapConnection.read("klap_default", Connection(conn_id="klap_default", extra=extra, **fields))

    assert connection.api_key == "kak_test"
    assert connection.destination in (None, *re.findall(r"\w+://\w+/shorts", text))
