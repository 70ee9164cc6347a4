"""The rows of the ledger."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from generated.markdown import TABLES, code, markdown_table, require_same, table
from generated.xcoms import shape_table
from klap_provider import xcoms
from klap_provider.rules import ledger_rows
from klap_provider.rules.ledger import Attempt, Requester

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The rows that are a shape, by the name of their table.
SHAPES = {
    "delivered-row": ledger_rows.DeliveredRow,
    "notice-row": xcoms.NoticeRow,
    "poll-row": ledger_rows.PollRow,
    "selection-row": ledger_rows.Selected,
    "source-row": ledger_rows.SourceRow,
    "watched-row": ledger_rows.WatchedRow,
}
TABLES.update({name: lambda _, shape=shape: shape_table(shape) for name, shape in SHAPES.items()})


def _attempt() -> Attempt:
    full = {each.name: each.default for each in fields(Attempt)}
    return Attempt(
        **{
            **full,
            "key": "export.pcmsagf6ujej.0",
            "id": "0198c2e5",
            "at": 1764000000.0,
            "requester": Requester("klap_generate_shorts manual__2026-11-24", 1, 3),
            "what": "export of From zero to hero",
            "video": "https://example.com/talk.mp4",
            "price": 0.48,
            "inputs": {"watermark": None},
            "fingerprint": "4be1",
            "known": ("a",),
            "budget": 5.0,
            "estimated": True,
            "settings": "Watermark: acme.png",
            "account": "a",
            "response_within": 30.0,
            "is_void": True,
            "link": "request.4be1",
            "job_id": "8sKq",
            "paid_by": "klap_generate_shorts manual__2026-11-24",
        }
    )


def _row(row: Mapping[str, Any], described: Mapping[str, str]) -> str:
    require_same(described, list(row))
    return markdown_table(("field", "meaning"), [[code(name), described[name]] for name in row])


@table
def attempt_row(described: Mapping[str, str]) -> str:
    """The ledger row of an attempt."""
    return _row(_attempt().to_row(), described)


@table
def payment_row(described: Mapping[str, str]) -> str:
    """The ledger row of a payment."""
    return _row(_attempt().payment("8sKq"), described)
