"""Requests are validated strictly, responses leniently."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from klap_provider.api.requests import (
    Dimensions,
    EditingOptions,
    ExportRequest,
    ShortsRequest,
    VideoRequest,
    Watermark,
    build_request,
)
from klap_provider.api.responses import Export, JobStatus, Project, Task, UserToken
from klap_provider.errors import KlapInputError
from klap_provider.rules.limits import Selection
from klap_provider.rules.selection import virality_percentages

VIDEO = "https://example.com/talk.mp4"
PICTURE = "https://example.com/logo.png"


def shorts(**fields: Any) -> ShortsRequest:
    return build_request(ShortsRequest, {"source_video_url": VIDEO, **fields})


def watermark(**fields: Any) -> ExportRequest:
    return build_request(ExportRequest, {"watermark": {"src_url": PICTURE, **fields}})


def test_a_body_has_only_fields_that_were_set() -> None:
    assert shorts().body() == {"source_video_url": VIDEO}
    assert build_request(VideoRequest, {"source_video_url": VIDEO}).body() == {"source_video_url": VIDEO}
    assert build_request(ExportRequest, {}).body() == {}
    assert watermark().body() == {"watermark": {"src_url": PICTURE}}


def test_a_field_that_was_set_is_sent_even_if_it_is_the_default() -> None:
    assert shorts(max_clip_count=10, editing_options={"captions": True}).body() == {
        "source_video_url": VIDEO,
        "max_clip_count": 10,
        "editing_options": {"captions": True},
    }


def test_every_field_of_the_api_can_be_sent() -> None:
    everything = {
        "source_video_url": VIDEO,
        "language": "en",
        "translate_to": "es",
        "transcription_context": "Ada Lovelace",
        "name": "Talk",
        "target_clip_count": 3,
        "max_clip_count": 5,
        "min_duration": 10,
        "max_duration": 90,
        "target_duration": 45,
        "dimensions": {"width": 720, "height": 1280},
        "style_preset_id": "abc",
        "editing_options": {
            "captions": False,
            "reframe": False,
            "emojis": False,
            "intro_title": False,
            "remove_silences": True,
        },
    }
    assert build_request(ShortsRequest, everything).body() == everything
    assert ShortsRequest.model_fields.keys() == everything.keys()


def test_none_is_not_sent_at_any_depth() -> None:
    request = shorts(
        name=None, max_clip_count=None, dimensions={"width": 720, "height": None}, editing_options={"captions": None}
    )
    assert request.body() == {"source_video_url": VIDEO, "dimensions": {"width": 720}, "editing_options": {}}
    assert watermark(scale=None).body() == {"watermark": {"src_url": PICTURE}}


@pytest.mark.parametrize("name", ["language", "translate_to", "transcription_context", "name", "style_preset_id"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_text_of_a_form_is_not_sent(name: str, empty: str) -> None:
    assert shorts(**{name: empty}).body() == {"source_video_url": VIDEO}


def test_blanks_around_an_address_are_dropped() -> None:
    assert shorts(source_video_url=f" {VIDEO}\n").source_video_url == VIDEO


@pytest.mark.parametrize(
    "address",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "http://127.0.0.1:8000/sample.mp4",
        "https://bucket.s3.amazonaws.com/a.mp4?X-Amz-Signature=ab%2Fcd",
        "https://example.com/vidéo.mp4",
        "s3://bucket/talk.mp4",
        "s3://conn_id@bucket/talks/The talk, 2nd take (東京).mp4",
        "gs://google_cloud_default@bucket/a.mp4",
        "abfs://container/a.mp4",
    ],
)
def test_web_and_storage_addresses_are_not_changed(address: str) -> None:
    assert shorts(source_video_url=address).body() == {"source_video_url": address}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"source_video_url": None}, "source_video_url"),
    ({"source_video_url": ""}, "source_video_url"),
    ({"source_video_url": "ftp://example.com/a.mp4"}, "source_video_url"),
    ({"source_video_url": "s3://bucket"}, "source_video_url"),
    ({"source_video_url": "s3://conn_id@/a.mp4"}, "source_video_url"),
    ({"source_video_url": "gs://bucket/folder/"}, "source_video_url"),
    ({"source_video_url": "file:///etc/passwd"}, "source_video_url"),
    ({"source_video_url": "example.com/a.mp4"}, "source_video_url"),
    ({"source_video_url": "https://"}, "source_video_url"),
    ({"source_video_url": "https:///a.mp4"}, "source_video_url"),
    ({"source_video_url": "https://[::1/a.mp4"}, "source_video_url"),
    ({"source_video_url": "https://example.com/my talk.mp4"}, "source_video_url"),
    ({"source_video_url": f"{VIDEO} {VIDEO}"}, "source_video_url"),
    ({"source_video_url": 7}, "source_video_url"),
    ({"language": ["en"]}, "language"),
    ({"transcription_context": "x" * 1001}, "transcription_context"),
    ({"target_clip_count": 0}, "target_clip_count"),
    ({"max_clip_count": 0}, "max_clip_count"),
    ({"max_clip_count": "many"}, "max_clip_count"),
    ({"max_clip_count": 2.5}, "max_clip_count"),
    ({"min_duration": 0}, "min_duration"),
    ({"min_duration": 121}, "min_duration"),
    ({"max_duration": 0}, "max_duration"),
    ({"max_duration": 181}, "max_duration"),
    ({"target_duration": 0}, "target_duration"),
    ({"target_duration": 121}, "target_duration"),
    ({"dimension": {"width": 1080, "height": 1920}}, "dimension"),
    ({"dimensions": "1080x1920"}, "dimensions"),
    ({"dimensions": {"width": 0}}, "dimensions.width"),
    ({"dimensions": {"height": -2}}, "dimensions.height"),
    ({"dimensions": {"depth": 3}}, "dimensions.depth"),
    ({"editing_options": {"caption": True}}, "editing_options.caption"),
    ({"editing_options": {"captions": "certainly"}}, "editing_options.captions"),
    ({"editing_options": True}, "editing_options"),
]


@pytest.mark.parametrize(("wrong", "named"), WRONG)
def test_a_wrong_field_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(KlapInputError, match=rf"^Nothing was sent to Klap\. {named}: "):
        shorts(**wrong)


def test_a_storage_address_without_bucket_or_name_is_refused() -> None:
    with pytest.raises(KlapInputError, match=r"must name a bucket and a file, such as s3://conn_id@bucket/path\.mp4"):
        shorts(source_video_url="s3://bucket")


@pytest.mark.parametrize("query", ["?…d7fa6356", "?token=***", "?***", "?a=1&…"])
def test_an_address_with_a_hidden_part_is_refused(query: str) -> None:
    with pytest.raises(KlapInputError, match="a part of it is hidden"):
        shorts(source_video_url=f"{VIDEO}{query}")
    with pytest.raises(KlapInputError, match="a part of it is hidden"):
        build_request(Watermark, {"src_url": f"https://example.com/mark.png{query}"})
    assert shorts(source_video_url="https://example.com/what…***.mp4?a=…b*").source_video_url


def test_all_invalid_fields_are_named_with_their_values() -> None:
    with pytest.raises(KlapInputError) as refused:
        shorts(max_clip_count=0, min_duration=500, dimension=1, dimensions={"width": "wide"})
    error = str(refused.value)
    for part in ("max_clip_count", "min_duration", "dimension:", "dimensions.width", "got 0", "got 500", "got 'wide'"):
        assert part in error


@pytest.mark.parametrize("bounds", [{"min_duration": 1}, {"min_duration": 120}, {"max_duration": 1}])
def test_the_bounds_of_a_duration_are_allowed(bounds: dict[str, int]) -> None:
    assert shorts(**bounds).body() == {"source_video_url": VIDEO, **bounds}


def test_a_context_of_a_thousand_characters_is_accepted() -> None:
    assert shorts(transcription_context="x" * 1000).body()["transcription_context"] == "x" * 1000


def test_a_shortest_clip_longer_than_the_longest_is_refused() -> None:
    with pytest.raises(KlapInputError, match=r"min_duration \(90 s\) is longer than max_duration \(60 s\)"):
        shorts(min_duration=90, max_duration=60)
    assert shorts(min_duration=60, max_duration=60).min_duration == 60


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (True, "watermark"),
        (False, "watermark"),
        (PICTURE, "watermark"),
        ({}, r"watermark\.src_url"),
        ({"src_url": None}, r"watermark\.src_url"),
        ({"src_url": "logo.png"}, r"watermark\.src_url"),
        ({"src_url": PICTURE, "pos_x": -0.1}, r"watermark\.pos_x"),
        ({"src_url": PICTURE, "pos_x": 1.1}, r"watermark\.pos_x"),
        ({"src_url": PICTURE, "pos_x": float("nan")}, r"watermark\.pos_x"),
        ({"src_url": PICTURE, "pos_y": -0.1}, r"watermark\.pos_y"),
        ({"src_url": PICTURE, "pos_y": 50}, r"watermark\.pos_y"),
        ({"src_url": PICTURE, "scale": 0}, r"watermark\.scale"),
        ({"src_url": PICTURE, "scale": float("inf")}, r"watermark\.scale"),
        ({"src_url": PICTURE, "position": "top"}, r"watermark\.position"),
    ],
)
def test_a_wrong_watermark_is_refused_by_name(wrong: Any, named: str) -> None:
    with pytest.raises(KlapInputError, match=named):
        build_request(ExportRequest, {"watermark": wrong})


def test_a_watermark_may_sit_in_any_corner() -> None:
    corner = {"src_url": PICTURE, "pos_x": 0, "pos_y": 1, "scale": 0.25}
    assert watermark(**corner).body() == {"watermark": corner}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"limit": 0}, "limit"), ({"min_virality_score": -1}, "min_virality_score"), ({"min_virality_score": 101}, "min")],
)
def test_an_invalid_selection_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(KlapInputError, match=named):
        build_request(Selection, wrong)


def test_defaults_are_those_that_klap_documents() -> None:
    assert Dimensions() == Dimensions(width=1080, height=1920)
    assert EditingOptions().model_dump() == {
        "captions": True,
        "reframe": True,
        "emojis": True,
        "intro_title": True,
        "remove_silences": False,
    }
    assert Watermark(src_url=PICTURE).model_dump() == {"src_url": PICTURE, "pos_x": 0.5, "pos_y": 0.5, "scale": 1}
    request = shorts()
    assert (request.max_clip_count, request.min_duration, request.max_duration) == (10, 1, 180)


def test_there_are_three_statuses() -> None:
    assert {word.value for word in JobStatus} == {"processing", "ready", "error"}


@pytest.mark.parametrize("word", ["processing", "done", "", "READY"])
def test_any_status_is_read_unchanged(word: str) -> None:
    assert Task.model_validate({"id": "a", "status": word}).status == word


def test_a_response_keeps_unknown_fields() -> None:
    project = Project.model_validate({"id": "a", "publication_captions": {"tiktok": "Hi"}, "duration": 12.5})
    assert project.model_dump()["publication_captions"] == {"tiktok": "Hi"}
    assert project.model_dump()["duration"] == 12.5


def test_a_response_needs_only_id_and_status() -> None:
    task = Task.model_validate({"id": "a", "status": "processing"})
    assert (task.type, task.output_type, task.output_id, task.output) == (None, None, None, None)
    export = Export.model_validate({"id": "a", "status": "processing"})
    assert (export.folder_id, export.created_at, export.src_url, export.output) == (None, None, None, None)
    assert Project.model_validate({"id": "a"}).virality_score is None


def test_a_folder_may_be_null() -> None:
    assert Project.model_validate({"id": "a", "folder_id": None}).folder_id is None
    assert Export.model_validate({"id": "a", "status": "ready", "folder_id": None}).folder_id is None


@pytest.mark.parametrize(
    "written", ["2023-10-01T12:00:00Z", "2023-10-01T12:00:00.000000+00:00", "2023-10-01T14:00:00+02:00"]
)
def test_both_time_formats_are_read(written: str) -> None:
    export = Export.model_validate({"id": "a", "status": "ready", "created_at": written})
    assert export.created_at == datetime(2023, 10, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("score", ["85", "high", True, [85], {"value": 85}, None])
def test_a_score_that_is_not_a_number_is_none(score: Any) -> None:
    assert Project.model_validate({"id": "a", "virality_score": score}).virality_score is None


def test_a_failed_job_has_each_message_of_klap_once() -> None:
    task = Task.model_validate(
        {"id": "a", "status": "error", "error_code": "no_speech", "error": "Silence.", "message": "Silence."}
    )
    assert task.failure == "no_speech · Silence."
    assert Task.model_validate({"id": "a", "status": "error"}).failure == "Klap gave no reason"


def test_a_failure_does_not_repeat_the_signature_of_an_address() -> None:
    words = "https://media.s3.amazonaws.com/a.mp4?X-Amz-Credential=me&X-Amz-Signature=ab12 answered with HTTP 403."
    task = Task.model_validate({"id": "a", "status": "error", "message": words, "error": {"url": words}})
    assert "https://media.s3.amazonaws.com/a.mp4?… answered with HTTP 403." in task.failure
    assert "ab12" not in task.failure


def test_the_error_of_a_failed_job_may_be_an_object() -> None:
    export = Export.model_validate({"id": "a", "status": "error", "error": {"reason": "codec"}})
    assert "codec" in export.failure


def test_a_failed_job_may_have_a_number_for_an_error_code() -> None:
    task = Task.model_validate({"id": "a", "status": "error", "error_code": 422})
    assert task.status == "error"
    assert "422" in task.failure


def test_a_token_is_not_in_its_representation() -> None:
    assert "s3cret" not in repr(UserToken.model_validate({"external_access_token": "s3cret"}))


@pytest.mark.parametrize(
    ("scores", "percentages"),
    [
        ([], []),
        ([None], [None]),
        ([0.85, 0.2, 0.0], [85, 20, 0]),
        ([1, 0.5], [100, 50]),
        ([85, 1, 0], [85, 1, 0]),
        ([99, 0.5], [99, 0]),
        ([85, None, 40], [85, None, 40]),
        ([0.85, None], [85, None]),
        ([8500, -3], [100, 0]),
        ([0, 0], [0, 0]),
        ([-1], [0]),
    ],
)
def test_scores_are_shown_from_0_to_100_for_both_scales(
    scores: list[float | None], percentages: list[int | None]
) -> None:
    assert virality_percentages(Project(id=str(n), virality_score=s) for n, s in enumerate(scores)) == percentages
