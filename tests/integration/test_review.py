"""A reviewer selects the shorts to export."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.errors import KlapInputError
from klap_provider.operators import (
    ExportShortOperator,
    ListShortsOperator,
    PublishShortsOperator,
    ReviewShortsOperator,
)
from klap_provider.rules.review_form import NONE_OF_THEM
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

LIST = "^/projects/[^/]+$"
LISTED = [
    {"id": "c", "name": "Third", "virality_score": 40},
    {"id": "a", "name": "First", "virality_score": 90, "virality_score_explanation": "A hook.", "duration": 31.5},
    {"id": "b", "name": "Second", "virality_score": 70},
]
FIRST, SECOND, THIRD = "1. First (90)", "2. Second (70)", "3. Third (40)"


@pytest.fixture
def review(klap: Sandbox, airflow: Airflow) -> Callable[..., Played]:
    """Make a review of a folder with these shorts."""

    def task(listed: list[dict[str, Any]] = LISTED, **fields: Any) -> Played:
        klap.fault("GET", LIST, "status", times=None, code=200, body=listed)
        return airflow(lambda: ReviewShortsOperator(task_id="review", folder_id="folder01", **fields))

    return task


def ids(shorts: list[dict[str, Any]]) -> list[str]:
    return [short["project_id"] for short in shorts]


def test_a_disabled_review_returns_the_plain_list_without_a_wait(
    review: Callable[..., Played], airflow: Airflow, supervisor: Supervisor
) -> None:
    task = review(review=False, limit=2)
    plain = airflow(lambda: ListShortsOperator(task_id="plain", folder_id="folder01", limit=2))
    assert task.run() == plain.run()
    assert task.xcom("klap_shorts") == plain.xcom("klap_shorts")
    assert task.xcom("klap_review") is None
    assert supervisor.questions == []
    assert (task.workers, task.triggers) == (1, [])


def test_the_review_shows_all_shorts_and_preselects_the_default(
    review: Callable[..., Played], supervisor: Supervisor
) -> None:
    task = review(limit=2, response_timeout="{{ 2 * 3600 }}", assigned_users={"id": "1", "name": "Ada"})
    task.run()
    [question] = supervisor.questions
    assert question.options == [FIRST, SECOND, THIRD, NONE_OF_THEM]
    assert question.defaults == [FIRST, SECOND]
    assert question.multiple
    assert [user.name for user in question.assigned_users or []] == ["Ada"]
    body = str(question.body)
    assert "score 90" in body
    assert "A hook" in body
    assert "https://klap.app/player/a" in body
    assert task.response_timeout == timedelta(hours=2)


def test_reviewers_are_notified_once(review: Callable[..., Played], supervisor: Supervisor) -> None:
    sent: list[str] = []
    task = review(limit=2, notifiers=Recorder(sent))
    task.run()
    task.run()
    (text,) = sent
    title, body, url = text.splitlines()
    assert title == "Klap: Which shorts of folder01 should be exported?"
    assert body.startswith("3 shorts, 2 selected in advance, $0.48 per export. Answer until 20")
    assert url.endswith("/dags/videos/runs/monday/plugin/shorts")


def test_a_disabled_review_notifies_nobody(review: Callable[..., Played]) -> None:
    sent: list[str] = []
    review(review=False, notifiers=[Recorder(sent)]).run()
    assert sent == []


def test_the_review_names_the_video_the_price_and_earlier_exports(
    airflow: Airflow, make_shorts: Callable[..., list[dict[str, Any]]], supervisor: Supervisor
) -> None:
    one, other = make_shorts(2)
    folder = one["folder_id"]
    airflow(lambda: ExportShortOperator(task_id="export", project_id=other["id"], folder_id=folder)).run()
    fields = {"budget": 0.5, "submissions": 0, "video_name": "Town hall", "source_video_url": "https://a.example/v.mp4"}
    task = airflow(lambda: ReviewShortsOperator(task_id="review", folder_id=folder, **fields))
    assert sorted(ids(task.run())) == sorted([one["id"], other["id"]]), "the budget covers one, the other one is free"
    [question] = supervisor.questions
    assert question.subject == "Which shorts of Town hall should be exported?"
    body = str(question.body)
    assert "Each export costs $0.48 (estimated prices)" in body
    assert body.count("exported before, no cost") == 1
    assert {short["project_id"]: short["exported"] for short in task.xcom("klap_shorts")} == {
        one["id"]: False,
        other["id"]: True,
    }
    offer = task.xcom("klap_offer")
    assert (offer["price"], offer["estimated"], offer["covered"]) == (0.48, True, 1)
    task = airflow(
        lambda: ReviewShortsOperator(
            task_id="other", folder_id=folder, watermark={"src_url": "https://a.example/x.png"}
        )
    )
    task.run()
    assert {short["exported"] for short in task.xcom("klap_shorts")} == {False}, "exported with other settings"


def test_a_run_with_project_ids_lists_which_shorts_were_exported(
    airflow: Airflow, make_shorts: Callable[..., list[dict[str, Any]]]
) -> None:
    one, other = make_shorts(2)
    folder = one["folder_id"]
    airflow(lambda: ExportShortOperator(task_id="export", project_id=other["id"], folder_id=folder)).run()
    chosen = {"review": False, "project_ids": [one["id"]]}
    task = airflow(lambda: ReviewShortsOperator(task_id="review", folder_id=folder, **chosen))
    assert ids(task.run()) == [one["id"]]
    shorts = {short["project_id"]: (short["reason"], short["exported"]) for short in task.xcom("klap_shorts")}
    assert shorts == {one["id"]: (None, False), other["id"]: ("not_selected", True)}


def test_texts_of_reviewed_shorts_are_requested_later(
    klap: Sandbox, airflow: Airflow, make_shorts: Callable[..., list[dict[str, Any]]]
) -> None:
    folder = make_shorts(2)[0]["folder_id"]
    reviewed = airflow(lambda: ReviewShortsOperator(task_id="reviewed", folder_id=folder))
    unreviewed = airflow(lambda: ReviewShortsOperator(task_id="unreviewed", folder_id=folder, review=False, limit=1))
    reviewed.run()
    assert [short["project_id"] for short in unreviewed.run()] == [
        each["project_id"] for each in unreviewed.xcom("klap_facts")
    ]
    assert reviewed.xcom("klap_facts") == []


def test_a_review_of_a_video_without_a_name_has_its_address(
    review: Callable[..., Played], supervisor: Supervisor
) -> None:
    review(source_video_url="https://a.example/v.mp4?token=secret").run()
    [question] = supervisor.questions
    assert str(question.subject).startswith("Which shorts of a.example/v.mp4")
    assert "secret" not in str(question.subject)


@pytest.mark.parametrize(
    ("chosen", "selected"),
    [([THIRD, FIRST], ["a", "c"]), ([THIRD], ["c"]), ([FIRST, SECOND, THIRD], ["a", "b", "c"])],
)
def test_a_reviewer_may_select_any_number_of_shorts(
    review: Callable[..., Played], chosen: list[str], selected: list[str]
) -> None:
    task = review(limit=1, min_virality_score=80)
    task.answer = chosen, "Ada"
    before = datetime.now(timezone.utc)
    assert ids(task.run()) == selected
    reasons = {short["project_id"]: short["reason"] for short in task.xcom("klap_shorts")}
    assert reasons == {name: None if name in selected else "not_selected" for name in ("a", "b", "c")}
    saved = task.xcom("klap_review")
    assert before <= datetime.fromisoformat(saved.pop("answered_at")) <= datetime.now(timezone.utc)
    assert saved == {"selected": selected, "by": "Ada", "timed_out": False}


def test_a_review_returns_the_form_of_the_plain_list(review: Callable[..., Played], airflow: Airflow) -> None:
    task = review(limit=1)
    task.answer = [FIRST, SECOND, THIRD], "Ada"
    plain = airflow(lambda: ListShortsOperator(task_id="plain", folder_id="folder01"))
    assert task.run() == plain.run()


def test_a_review_without_an_answer_exports_the_default_selection(review: Callable[..., Played]) -> None:
    task = review(limit=2)
    assert ids(task.run()) == ["a", "b"]
    saved = task.xcom("klap_review")
    assert (saved["selected"], saved["by"], saved["timed_out"]) == (["a", "b"], None, True)
    assert task.response_timeout == timedelta(days=1)


def test_a_default_selection_can_be_empty(review: Callable[..., Played], supervisor: Supervisor) -> None:
    task = review(min_virality_score=99)
    assert task.run() == []
    assert supervisor.questions[0].defaults == [NONE_OF_THEM]


@pytest.mark.parametrize("chosen", [[NONE_OF_THEM], [FIRST, NONE_OF_THEM]])
def test_a_review_that_selects_none_succeeds_and_is_reopened_by_a_clear(
    review: Callable[..., Played], supervisor: Supervisor, chosen: list[str]
) -> None:
    task = review()
    task.answer = chosen, "Ada"
    assert task.run() == []
    assert task.xcom("klap_review")["selected"] == []
    assert {short["reason"] for short in task.xcom("klap_shorts")} == {"not_selected"}
    task.answer = [SECOND], "Ada"
    assert ids(task.run()) == ["b"]
    assert len(supervisor.questions) == 2


def test_shorts_of_the_same_name_and_score_are_separate_choices(
    review: Callable[..., Played], supervisor: Supervisor
) -> None:
    twins = [{"id": name, "name": "Twin", "virality_score": 50} for name in ("a", "b")]
    task = review(twins)
    task.answer = ["1. Twin (50)", "2. Twin (50)"], "Ada"
    assert ids(task.run()) == ["a", "b"]
    assert len(set(supervisor.questions[0].options)) == 3


def test_a_clear_does_not_reopen_the_review_of_the_same_shorts(
    review: Callable[..., Played], supervisor: Supervisor
) -> None:
    task = review(limit=1)
    task.answer = [THIRD], "Ada"
    first, saved = task.run(), task.xcom("klap_review")
    task.answer = None
    assert task.run() == first
    assert task.xcom("klap_review") == saved
    assert task.workers == 1
    assert len(supervisor.questions) == 1


def test_a_selected_short_that_is_not_listed_is_kept_if_it_was_paid(
    review: Callable[..., Played], airflow: Airflow, supervisor: Supervisor, klap: Sandbox
) -> None:
    task = review()
    task.answer = [FIRST, SECOND], "Ada"
    first = ids(task.run())
    klap.fault("POST", "/exports$", "status", code=200, body={"id": "export1"})
    airflow(lambda: ExportShortOperator(task_id="export", project_id=first[1], folder_id="folder01")).run()
    klap.clear_faults()
    klap.fault("GET", LIST, "status", times=None, code=200, body=[each for each in LISTED if each["id"] != first[1]])
    assert ids(task.run()) == first
    assert len(supervisor.questions) == 1


def test_generated_shorts_are_recorded_once_before_the_review_opens(
    review: Callable[..., Played], supervisor: Supervisor
) -> None:
    known: list[tuple[int, float]] = []

    class Noted(list[Any]):
        def append(self, question: Any) -> None:
            known.append((len(generated_lines(supervisor)), supervisor.xcom("review", "klap_offer")["spent"]))
            super().append(question)

    supervisor.questions = Noted()
    task = review()
    task.answer = [NONE_OF_THEM], "Ada"
    task.run()
    [line] = generated_lines(supervisor)
    task.clear()
    task.run()
    assert known == [(1, 1.40), (1, 1.40)], "a video for $0.44 and three shorts for $0.32"
    assert generated_lines(supervisor) == [line]


def test_generated_shorts_are_recorded_even_if_project_ids_are_missing(
    review: Callable[..., Played], supervisor: Supervisor
) -> None:
    with pytest.raises(KlapInputError, match="does not have these shorts: gone"):
        review(project_ids=["gone"]).run()
    assert [line["what"] for line in generated_lines(supervisor)] == ["3 generated shorts"]


def generated_lines(supervisor: Supervisor) -> list[dict[str, Any]]:
    lines = [json.loads(value) for name, value in supervisor.ledger.items() if name.startswith("paid.")]
    return [line for line in lines if line["what"].endswith("generated shorts")]


def test_a_clear_reopens_the_review_if_the_shorts_differ(
    review: Callable[..., Played], supervisor: Supervisor, klap: Sandbox
) -> None:
    task = review()
    task.answer = [THIRD], "Ada"
    task.run()
    klap.reset()
    klap.fault("GET", LIST, "status", times=None, code=200, body=LISTED[:2])
    task.answer = ["2. Third (40)"], "Ada"
    assert ids(task.run()) == ["c"]
    assert len(supervisor.questions) == 2


def test_a_late_list_is_waited_for_before_the_review_opens(
    klap: Sandbox, airflow: Airflow, make_shorts: Callable[..., list[dict[str, Any]]], supervisor: Supervisor
) -> None:
    [short] = make_shorts(1)
    klap.fault("GET", LIST, "late_list", polls=1)
    task = airflow(lambda: ReviewShortsOperator(task_id="review", folder_id=short["folder_id"]))
    assert ids(task.run()) == [short["id"]]
    assert len(supervisor.questions) == 1
    assert task.workers == 3, "poll the list, list and open the review, resume"


def test_a_review_without_shorts_is_not_opened(review: Callable[..., Played], supervisor: Supervisor) -> None:
    assert review([], allow_empty=True, list_timeout=0.3).run() == []
    assert supervisor.questions == []


@pytest.mark.parametrize("given", ["soon", "1e11", "-1", "nan", "None"])
def test_an_invalid_response_timeout_is_refused(review: Callable[..., Played], given: str) -> None:
    with pytest.raises(ValueError, match=f"response_timeout is '{given}'"):
        ReviewShortsOperator(task_id="review", folder_id="folder01", response_timeout=given)
    task = review(response_timeout=f"{{{{ '{given}' }}}}")
    with pytest.raises(KlapInputError, match=f"response_timeout is '{given}'"):
        task.run()
    assert task.xcom("klap_error")["type"] == "KlapInputError"


def test_the_answer_of_the_review_is_in_the_manifest(
    review: Callable[..., Played], airflow: Airflow, tmp_path: Path
) -> None:
    task = review()
    task.answer = [NONE_OF_THEM], "Ada"
    publish = {"steps": [], "shorts": task.run(), "source_video_url": "https://example.com/talk.mp4"}
    where = {"klap_task_id": "task01", "folder_id": "folder01", "destination": str(tmp_path)}
    airflow(lambda: PublishShortsOperator(task_id="publish", review_task_id="review", **publish, **where)).run()
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["review"] == task.xcom("klap_review")
    assert (written["delivered"], written["missing"]) == ([], [])
