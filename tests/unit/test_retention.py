"""Which rows belong to an attempt, and what is read of the lines of an archive."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klap_provider.rules import retention
from klap_provider.rules.ledger import Attempt, Requester

ATTEMPT = Attempt(key="export.a.0", id="0198", at=1764000000.0, requester=Requester("dag run"))
BESIDE = ["door.export.a.0", "claim.export.a.0", "adopt.export.a.0", "resend.export.a.0"]


def test_the_rows_of_an_attempt_include_its_payment() -> None:
    assert retention.keys_beside(ATTEMPT.key, ATTEMPT.to_row()) == (BESIDE, ["paid.2025-11-24.0198"])


def test_a_payment_belongs_to_one_log_and_not_to_reuse_rows() -> None:
    reused = {**ATTEMPT.to_row(), "job_id": "task-1"}
    assert retention.keys_beside(ATTEMPT.key, reused) == (BESIDE, [])
    named = {"payment": "paid.2025-11-24.0198"}
    assert retention.payment_in("reuse.print", named) == []
    assert retention.payment_in("generated.folder", named) == ["paid.2025-11-24.0198"]


@pytest.mark.parametrize("odd", [None, "text", 7, [], {}, {"id": 1}, {"id": "a", "run": "b", "submitted_at": "never"}])
def test_a_malformed_row_has_no_payment(odd: Any) -> None:
    assert retention.keys_beside(ATTEMPT.key, odd) == (BESIDE, [])
    assert retention.payment_in("generated.a", odd) == []


def test_a_row_of_a_log_is_needed_by_the_next_attempt_or_by_its_own() -> None:
    assert retention.needed_by_row("export.a.9", {}) == "export.a.10"
    for key in ("door.export.a.0", "adopt.export.a.0", "resend.export.a.0"):
        assert retention.needed_by_row(key, True) == "export.a.0"
    assert retention.needed_by_row("paid.2025-11-24.0198", ATTEMPT.payment("job")) == "export.a.0"
    for key in ("claim.export.a.0", "door.month.2025-11.a.0", "paid.2025-11-24.folder", "export.a.x", "delivered.a.b"):
        assert retention.needed_by_row(key, {"entry": 1}) is None


def test_all_attempts_of_a_request_are_in_one_log() -> None:
    assert {retention.log_of(f"request.4be1.{number}") for number in range(12)} == {"request.4be1"}


def test_only_lines_of_an_archive_with_a_key_are_rows() -> None:
    lines = [
        retention.header("archive", "2026-01-01"),
        "\n",
        '{"key": "a", "new": 1}\n',
        "[]",
        '{"key": 1}',
        '{"key":"b"}',
    ]
    assert [row["key"] for row in retention.rows_in(lines)] == ["a", "b"]
    assert retention.time_of(lines[0]) == "2026-01-01"
    assert [retention.time_of(line) for line in ("", "[]", "{}", "no JSON")] == [""] * 4
    with pytest.raises(json.JSONDecodeError):
        [*retention.rows_in(['{"key": "a"'])]
