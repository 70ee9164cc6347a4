"""Follow-up runs: their conf and their names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from klap_provider.ui.follow_up import NewRun, can_follow_up, follow_up, prefix_of

FIELDS = ("klap_task_id", "project_ids", "review", "budget", "limit")
SECRET = "https://example.com/a.mp4?X-Amz-Signature=s3cr3t"
CONF = {"source_video_url": SECRET, "limit": 2, "review": True, "budget": 3, "destination": "/data"}


def order(conf: dict[str, Any] | None = None, **more: Any) -> NewRun:
    given = {"klap_task_id": "task01", "fields": FIELDS, "project_ids": ["b", "a"], "is_whole": False}
    return follow_up(CONF if conf is None else conf, **{**given, "name": "Böse Überraschung: Teil 1/2", **more})


def test_it_has_the_settings_of_the_run_without_review_and_budget() -> None:
    assert order().conf == {
        "source_video_url": SECRET,
        "limit": 2,
        "review": False,
        "budget": None,
        "destination": "/data",
        "klap_task_id": "task01",
        "project_ids": ["a", "b"],
    }


def test_a_scheduled_run_uses_the_defaults_of_the_dag() -> None:
    assert "source_video_url" not in order({}).conf


def test_fields_that_the_form_lacks_are_not_sent() -> None:
    assert order({}, fields=("klap_task_id", "project_ids")).conf == {
        "klap_task_id": "task01",
        "project_ids": ["a", "b"],
    }


def test_the_same_order_has_the_same_id() -> None:
    assert order() == order(project_ids=["a", "b"])
    others = [
        order(),
        order(project_ids=["a"]),
        order(project_ids=["a", "c"]),
        order(watermark={"pos_x": 0.1}),
        order({**CONF, "destination": "/other"}),
        order({**CONF, "nested": {"a": 1}}),
        order({**CONF, "nested": {"a": 2}}),
        order({**CONF, "source_video_url": "https://example.com/b.mp4"}),
    ]
    assert len({each.run_id for each in others}) == len(others)


def test_its_id_is_valid_and_begins_with_klaps_task() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", order().run_id)
    assert order().run_id.startswith(f"{prefix_of('task01')}B-se-berraschung:-Teil-1-2__")
    name = "~" * 9 + "Talk~1"
    assert order(name=name).run_id.startswith(f"{prefix_of('task01')}Talk~1__"), (
        "the database finds it in a range of ids"
    )
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", order(name="東京 " * 200, klap_task_id="a b/c").run_id)


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({}, "2 more shorts"),
        ({"project_ids": ["a"]}, "1 more short"),
        ({"watermark": {"src_url": "s3://aws@marks/acme.png?X-Amz-Signature=secret"}}, "another watermark, acme.png"),
        ({"watermark": {"src_url": "https://user:secret@example.com"}}, "another watermark"),
        ({"watermark": {"src_url": None}}, "no watermark"),
        ({"conf": {"watermark_src_url": "https://a/b.png"}, "watermark": {"pos_x": 0}}, "another watermark, b.png"),
    ],
)
def test_its_note_names_its_purpose_without_secrets(more: dict[str, Any], note: str) -> None:
    assert order(**more).note == f"Böse Überraschung: Teil 1/2: {note}"
    assert "secret" not in order(**more).run_id
    assert len(order(**more, name="x" * 2000).note) == 1000


def test_another_watermark_changes_only_its_fields() -> None:
    conf = {**CONF, "watermark_src_url": "https://a/b.png?sig=secret", "watermark_pos_x": 0.5}
    found = order(conf, watermark={"pos_x": 0.1, "scale": 2.0, "unknown": 1}).conf
    assert (found["watermark_src_url"], found["watermark_pos_x"], found["watermark_scale"]) == (
        "https://a/b.png?sig=secret",
        0.1,
        2.0,
    )
    assert "watermark_unknown" not in found


def test_a_follow_up_of_a_whole_video_names_no_shorts() -> None:
    assert "project_ids" not in order(is_whole=True).conf


def test_a_form_without_project_ids_has_no_follow_up() -> None:
    assert can_follow_up(FIELDS, is_whole=False)
    assert not can_follow_up(("klap_task_id",), is_whole=False)
    assert can_follow_up(("klap_task_id",), is_whole=True)
    assert not can_follow_up((), is_whole=True)
