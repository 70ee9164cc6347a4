"""The rows of the ledger, their keys, and which requests are the same."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from klap_provider.api.requests import ExportRequest, ShortsRequest, build_request
from klap_provider.rules import ledger_keys
from klap_provider.rules.ledger import Attempt, Requester
from klap_provider.rules.request_fingerprint import describe_settings, differences, export_fingerprint, fingerprint


def export(**watermark: Any) -> ExportRequest:
    return build_request(ExportRequest, {"watermark": watermark or None})


def settings(**watermark: Any) -> dict[str, Any]:
    return export(**watermark).settings()


MARK = {"src_url": "https://a.example/logo.png"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (export(), build_request(ExportRequest, {}), True),
        (export(), export(**MARK), False),
        (export(**MARK), export(**MARK, pos_x=0.5, pos_y=0.5, scale=1), True),
        (export(**MARK, scale=1), export(**MARK, scale=1.0), True),
        (export(**MARK, scale=1), export(**MARK, scale=2), False),
        (export(**MARK), export(src_url="https://a.example/logo.png?X-Amz-Signature=1"), True),
        (export(**MARK), export(src_url="https://b.example/logo.png"), False),
    ],
)
def test_exports_with_the_same_settings_have_the_same_fingerprint(
    one: ExportRequest, other: ExportRequest, same: bool
) -> None:
    assert (export_fingerprint(one) == export_fingerprint(other)) is same


def test_fingerprints_do_not_change() -> None:
    """An export whose fingerprint changes is paid for again."""
    assert export_fingerprint(export()) == "e10808d43975dc40"
    assert export_fingerprint(export(**MARK, pos_y=0.1)) == "5a054ff9e3ff5921"


def test_a_field_with_a_default_that_is_added_changes_no_fingerprint() -> None:
    class Newer(ExportRequest):
        quality: str = "high"

    assert export_fingerprint(Newer()) == export_fingerprint(export())
    newer = {"source_video_url": "https://a.example/v.mp4", "min_duration": 1, "editing_options": {"captions": True}}
    assert build_request(ShortsRequest, newer).settings() == {"source_video_url": "https://a.example/v.mp4"}


def test_fingerprints_ignore_field_order_and_signatures() -> None:
    one = {"source_video_url": "https://b.example/v.mp4?X-Amz-Signature=1", "max_clip_count": 3}
    other = {"max_clip_count": 3, "source_video_url": "https://B.example/v.mp4?X-Amz-Signature=2"}
    assert fingerprint("/x", one) == fingerprint("/x", other)
    assert fingerprint("/x", one) != fingerprint("/x", {**one, "max_clip_count": 4})
    assert fingerprint("/x", one) != fingerprint("/y", one)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("d", "r", "t", None), ("d", "r", "t", -1), True),
        (("d", "r", "t", -1), ("d", "r", "t", 0), False),
        (("d", "r", "t", -1), ("d", "s", "t", -1), False),
        (("d", "r", "t", -1), ("e", "r", "t", -1), False),
        (("d r", "t", "t", -1), ("d", "r t", "t", -1), False),
    ],
)
def test_a_submission_is_keyed_by_run_and_task(one: Any, other: Any, same: bool) -> None:
    assert (ledger_keys.submission_log(*one) == ledger_keys.submission_log(*other)) is same


#: Ids and names as long and as odd as Airflow, Klap and people make them.
ODD = ["x", "AbC123", "abc123", "ABC123", "a/b", "../..", "日本語", "x" * 900, "a b", "a.b", "", "\ud800", "a-b", "a_b"]


def test_keys_are_short_distinct_ascii_file_names() -> None:
    keys = [
        key
        for odd in ODD
        for key in (
            f"claim.{ledger_keys.export_log(odd)}.12",
            f"resend.{ledger_keys.submission_log(odd, odd, odd, 7)}.12",
            ledger_keys.delivered_entry(odd, odd, odd),
            ledger_keys.selection_entry(odd, odd, odd, None),
            ledger_keys.generated_key(odd),
            ledger_keys.payment_key("2026-11-29T10:00:00+00:00", odd),
            ledger_keys.event_entry(odd, odd),
        )
    ]
    assert all(re.fullmatch(r"[a-z0-9._-]{1,110}", key) for key in keys), keys
    assert len(set(keys)) == len(keys)
    assert len({key.lower() for key in keys}) == len(keys)


def test_the_payments_of_a_month_share_a_prefix() -> None:
    assert ledger_keys.payment_key("2026-11-29T10:00:00+00:00", "0af3") == "paid.2026-11-29.0af3"


def test_every_difference_is_named() -> None:
    before = {"language": "en", "dimensions": {"width": 1080, "height": 1920}, "host": "https://a", "min_duration": 30}
    now = {"name": "Talk", "dimensions": {"width": 1080, "height": 1080}, "host": "https://b", "min_duration": 30.0}
    assert differences(before, before) == []
    assert differences(before, now) == [
        'language was "en" and is not set',
        "dimensions.height was 1920 and is 1080",
        'host was "https://a" and is "https://b"',
        'name was not set and is "Talk"',
    ]


@pytest.mark.parametrize(
    ("now", "is_retry"),
    [
        (Requester("run", 3, 3), True),
        (Requester("run", 2, 3), False),  # deleted, and triggered again; or another request of the same try
        (Requester("run", 3, 5), False),  # cleared
        (Requester("run", 1, 3), False),  # deleted, and triggered again
    ],
)
def test_a_retry_differs_from_a_clear_and_from_a_deleted_run(now: Requester, is_retry: bool) -> None:
    assert now.is_retry_of(Requester("run", 2, 3)) is is_retry


FULL = Attempt(
    "export.p.0",
    "0af3",
    1234.567891,
    Requester("d r", 2, 3),
    what="export of p",
    video="https://a",
    price=0.48,
    fingerprint="1",
    inputs={"language": "en"},
    known=("a", "b"),
    budget=2.0,
    estimated=True,
    settings="Language: English",
    account="klap_default https://a user-1",
    response_within=610.0,
    is_void=True,
    link="request.1",
)


def test_an_attempt_is_unchanged_by_json() -> None:
    assert Attempt.from_row(FULL.key, json.loads(json.dumps(FULL.to_row()))) == FULL


def test_a_row_with_unknown_or_without_optional_fields_is_read() -> None:
    row = {"version": 7, "id": "1", "submitted_at": "2026-11-29T10:00:00+00:00", "run": "d r", "of_tomorrow": [1]}
    attempt = Attempt.from_row("k", row)
    assert (attempt.requester, attempt.known, attempt.is_void, attempt.price) == (Requester("d r"), (), False, 0.0)


def test_settings_are_described() -> None:
    requested = {"language": "en", "dimensions": {"width": 1080, "height": 1350}, "editing_options": {"emojis": False}}
    assert describe_settings(requested) == "Language: English, Width: 1080 px, Height: 1350 px, Emojis: no"
    assert describe_settings(settings()) == ""
    clips = {
        "max_clip_count": 10,
        "min_duration": 1,
        "max_duration": 90.0,
        "editing_options": {"remove_silences": True},
    }
    assert (
        describe_settings(clips)
        == "Maximum number of shorts: 10, Minimum length: 1 s, Maximum length: 90 s, Remove silences: yes"
    )
    assert describe_settings({"language": "xx", "of_tomorrow": 1}) == "Language: xx, of tomorrow: 1"
    assert describe_settings({"transcription_context": "x" * 1000}) == f"Names and jargon: {'x' * 60}…"


def test_a_watermark_is_described_by_its_file_name() -> None:
    mark = settings(src_url="https://user:secret@a.example/brand/logo.png?token=secret", pos_y=0.1)
    assert describe_settings(mark) == "Watermark: logo.png, Vertical position: 0.1"
    assert describe_settings(settings(src_url="https://a.example?secret")) == "Watermark: a picture"
