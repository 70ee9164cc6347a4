"""What stands in the ledger, under which name, and what counts as the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klap_provider.api.requests import ExportRequest, build_request
from klap_provider.rules.asked import differences, in_words
from klap_provider.rules.ledger import (
    LONGEST_NAME,
    Asker,
    Submission,
    Work,
    export_entry,
    paid_entry,
    request_entry,
    submission_entry,
    video_of_line,
)


def look(**watermark: Any) -> dict[str, Any]:
    return build_request(ExportRequest, {"watermark": watermark or None}).model_dump(mode="json", exclude_none=True)


MARK = {"src_url": "https://a.example/logo.png"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (look(), {}, True),
        (look(), look(**MARK), False),
        (look(**MARK), look(**MARK, pos_x=0.5, pos_y=0.5, scale=1), True),
        (look(**MARK, scale=1), look(**MARK, scale=1.0), True),
        (look(**MARK, scale=1), look(**MARK, scale=2), False),
        (look(**MARK), look(src_url="https://a.example/logo.png?X-Amz-Signature=1"), True),
        (look(**MARK), look(src_url="https://b.example/logo.png"), False),
    ],
)
def test_an_export_is_the_same_if_it_looks_the_same(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (export_entry("p", one) == export_entry("p", other)) is same
    assert export_entry("p", one) != export_entry("q", one)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("d", "r", "t", None), ("d", "r", "t", -1), True),
        (("d", "r", "t", -1), ("d", "r", "t", 0), False),
        (("d", "r", "t", -1), ("d", "s", "t", -1), False),
        (("d", "r", "t", -1), ("e", "r", "t", -1), False),
    ],
)
def test_a_submission_is_that_of_its_run_and_task(one: Any, other: Any, same: bool) -> None:
    assert (submission_entry(*one) == submission_entry(*other)) is same


def test_a_request_is_the_same_in_whatever_order_and_however_its_address_is_signed() -> None:
    one = {"source_video_url": "https://b.example/v.mp4?X-Amz-Signature=1", "max_clip_count": 3}
    other = {"max_clip_count": 3, "source_video_url": "https://B.example/v.mp4?X-Amz-Signature=2"}
    assert request_entry("/x", one) == request_entry("/x", other)
    assert request_entry("/x", one) != request_entry("/x", {**one, "max_clip_count": 4})
    assert request_entry("/x", one) != request_entry("/y", one)


def test_a_name_is_never_longer_than_airflow_takes_and_stays_one_of_its_own() -> None:
    names = {submission_entry("d" * 250, f"{'r' * 250}{end}", "t" * 250, 7) for end in "ab"}
    names |= {paid_entry("https://a.example/" + "v" * 900, job_id) for job_id in ("1", "2")}
    assert [len(name) for name in names] == [LONGEST_NAME] * 4


def test_the_lines_of_a_video_stand_together() -> None:
    lines = [paid_entry("https://a", "9"), paid_entry("https://b", "5"), paid_entry("https://a", "1")]
    assert sorted(lines) == ["paid https://a 1", "paid https://a 9", "paid https://b 5"]


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
    ("now", "by_itself"),
    [
        (Asker("run", 3, 3), True),
        (Asker("run", 2, 3), True),  # the same try, started twice
        (Asker("run", 3, 5), False),  # cleared
        (Asker("run", 1, 3), False),  # deleted, and there again
    ],
)
def test_a_retry_is_told_from_a_clear_and_from_a_run_that_was_deleted(now: Asker, by_itself: bool) -> None:
    assert now.goes_on_from(Asker("run", 2, 3)) is by_itself


def test_a_row_survives_json() -> None:
    work = Work("export p plain", "https://a", "export of p", 0.48, {"language": "en"}, "request x")
    submission = Submission(
        1234.567891, Asker("d r", 2, 3), work, "job-1", ("a", "b"), ({"id": "job-1", "run": "d r"},)
    )
    assert Submission.from_row(json.loads(json.dumps(submission.to_row())), work) == submission


def test_settings_are_said_in_words() -> None:
    asked = {"language": "en", "dimensions": {"width": 1080, "height": 1350}, "editing_options": {"emojis": False}}
    assert in_words(asked) == "Language: English, Width: 1080 px, Height: 1350 px, Emojis: no"
    assert in_words(look()) == ""
    clips = {
        "max_clip_count": 10,
        "min_duration": 1,
        "max_duration": 90.0,
        "editing_options": {"remove_silences": True},
    }
    assert in_words(clips) == "Clips at most: 10, Shortest clip: 1 s, Longest clip: 90 s, Remove silences: yes"
    assert in_words({"language": "xx", "of_tomorrow": 1}) == "Language: xx, of tomorrow: 1"
    assert in_words({"transcription_context": "x" * 1000}) == f"Names and jargon: {'x' * 60}…"


def test_of_the_address_of_a_watermark_which_may_be_a_secret_the_name_of_its_file_is_said() -> None:
    mark = look(src_url="https://user:secret@a.example/brand/logo.png?token=secret", pos_y=0.1)
    assert in_words(mark) == "Watermark: logo.png, Horizontal position: 0.5, Vertical position: 0.1, Size: 1"
    assert in_words(look(src_url="https://a.example?secret")).startswith("Watermark: a picture, ")


def test_a_line_tells_its_video() -> None:
    assert video_of_line(paid_entry("https://a.example/two words.mp4", "x3Fp")) == "https://a.example/two words.mp4"
