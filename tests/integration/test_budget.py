"""A budget stops a run before anything is paid, or limits its exports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.errors import KlapCreditsError, KlapInputError
from klap_provider.operators import (
    ExportShortOperator,
    ListShortsOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
    SubmitVideoOperator,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

TALK = "https://example.com/talk.mp4"
LIST = "^/projects/[^/]+$"
LISTED = [
    {"id": name, "name": name, "virality_score": score} for name, score in zip("abcd", (90, 70, 50, 30), strict=True)
]


def submit(**fields: Any) -> Callable[[], SubmitShortsOperator]:
    return lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK, **fields)


def video(**fields: Any) -> Callable[[], SubmitVideoOperator]:
    return lambda: SubmitVideoOperator(task_id="submit", source_video_url=TALK, **fields)


# Submit


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (submit(), "1 input video × $0.44 + 10 generated shorts × $0.32 + 10 exports × $0.48 = $8.44"),
        (
            submit(max_clip_count=5, max_exports="{{ 3 }}"),
            "1 input video × $0.44 + 5 generated shorts × $0.32 + 3 exports × $0.48 = $3.48",
        ),
        (
            submit(target_clip_count=12, max_exports=1),
            "1 input video × $0.44 + 12 generated shorts × $0.32 + 1 export × $0.48 = $4.76",
        ),
        (video(), "1 input video × $0.44 + 0 generated shorts × $0.32 + 1 export × $0.48 = $0.92"),
    ],
    ids=["as Klap does by default", "with limits", "with more clips wanted", "a whole video"],
)
def test_the_maximum_cost_is_logged_before_the_submission(
    klap: Sandbox, airflow: Airflow, capfd: pytest.CaptureFixture[str], make: Callable[[], Any], line: str
) -> None:
    airflow(make).run()
    log = capfd.readouterr().out
    assert f"up to {line} (estimated prices)" in log
    assert log.index("up to") < log.index("Klap accepted POST")


@pytest.mark.parametrize(("budget", "is_enough"), [(4.12, True), ("{{ 4.12 }}", True), (4.11, False), (0, False)])
def test_a_budget_must_cover_the_video_its_shorts_and_one_export(
    klap: Sandbox, airflow: Airflow, budget: Any, is_enough: bool
) -> None:
    task = airflow(submit(budget=budget))
    if is_enough:
        task.run()
    else:
        with pytest.raises(KlapInputError, match=r"Nothing was sent.*budget is .*10 generated.*= \$4\.12"):
            task.run()
        assert task.store == {}
    assert len(klap.requests("POST")) == is_enough


@pytest.mark.parametrize(
    ("make", "way_on"),
    [
        (submit(budget=2), r"Lower max_clip_count \(Maximum number of shorts\) to 3, or raise the budget\.$"),
        (submit(budget=1), r"prices\)\. Raise the budget\.$"),
        (video(budget=0.9), r"= \$0\.92 \(estimated prices\)\. Raise the budget\.$"),
    ],
)
def test_the_refusal_names_what_to_lower_if_that_helps(
    klap: Sandbox, airflow: Airflow, make: Callable[[], Any], way_on: str
) -> None:
    with pytest.raises(KlapInputError, match=way_on):
        airflow(make).run()
    assert klap.requests() == []


def test_the_number_in_the_refusal_is_enough(klap: Sandbox, airflow: Airflow) -> None:
    airflow(submit(budget=2, max_clip_count=3)).run()
    assert len(klap.ledger("task")) == 1


def test_a_budget_uses_the_prices_of_the_connection(
    klap: Sandbox, connect: Callable[..., None], airflow: Airflow
) -> None:
    connect(klap.url, price_input_video=1, price_generated_short=0.1, price_export="0.25")
    with pytest.raises(KlapInputError, match=r"10 generated shorts × \$0\.10.*= \$2\.25 \(the connection's prices\)"):
        airflow(submit(budget=2.24)).run()
    airflow(submit(budget=2.25)).run()


@pytest.mark.parametrize("wrong", [{"budget": -1}, {"budget": "much"}, {"max_exports": 0}, {"budget": float("nan")}])
def test_an_invalid_budget_is_refused_at_parse_time(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        submit(**wrong)()


@pytest.mark.parametrize("wrong", [{"budget": "{{ -1 }}"}, {"max_exports": "{{ 0 }}"}])
def test_a_template_of_an_invalid_budget_is_refused_before_the_post(
    klap: Sandbox, airflow: Airflow, wrong: dict[str, Any]
) -> None:
    (name,) = wrong
    with pytest.raises(KlapInputError, match=name):
        airflow(submit(**wrong)).run()
    assert klap.requests() == []


def test_a_given_task_continues_whatever_the_budget(klap: Sandbox, airflow: Airflow) -> None:
    given = airflow(submit()).run()["klap_task_id"]
    assert airflow(submit(klap_task_id=given, budget=0)).run()["paid"] == 0
    assert len(klap.ledger()) == 1


def test_a_clear_with_a_smaller_budget_reattaches_to_what_was_paid(klap: Sandbox, airflow: Airflow) -> None:
    task = airflow(submit())
    first = task.run()
    task.make = submit(budget=0)
    assert task.run() == first
    assert len(klap.ledger()) == 1


def test_a_second_submission_must_fit_beside_the_first(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("POST", "^/tasks/", "job_error", times=2)
    task = airflow(submit(budget=4.6))
    assert task.run()["paid"] == 1
    assert task.run()["paid"] == 2, "$4.12 and the first $0.44 are $4.56"
    with pytest.raises(KlapInputError, match="3 input videos"):
        task.run()
    assert len(klap.ledger()) == 2
    assert task.xcom("klap_error")["paid"] == 2, "the manifest counts both payments"


# Export


def test_a_repeated_export_returns_how_often_it_was_paid(
    klap: Sandbox, airflow: Airflow, make_shorts: Callable[..., list[dict[str, Any]]]
) -> None:
    (short,) = make_shorts()
    klap.fault("POST", "/exports$", "job_error")
    task = airflow(lambda: ExportShortOperator(task_id="export", project_id=short["id"], folder_id=short["folder_id"]))
    assert [task.run()["paid"] for _ in range(3)] == [1, 2, 2]
    assert len(klap.ledger("export")) == 2


def test_a_failed_repetition_of_an_export_records_the_first_payment(
    klap: Sandbox, airflow: Airflow, make_shorts: Callable[..., list[dict[str, Any]]]
) -> None:
    (short,) = make_shorts()
    klap.fault("POST", "/exports$", "job_error")
    task = airflow(lambda: ExportShortOperator(task_id="export", project_id=short["id"], folder_id=short["folder_id"]))
    task.run()
    klap.fault("POST", "/exports$", "status", code=402)
    with pytest.raises(KlapCreditsError):
        task.run()
    assert task.xcom("klap_error")["paid"] == 1


# Select


@pytest.fixture
def select(klap: Sandbox, airflow: Airflow) -> Callable[..., Played]:
    """Make a selection of four shorts. Klap bills $1.72 for them and their video."""
    klap.fault("GET", LIST, "status", times=None, code=200, body=LISTED)

    def task(kind: type[ListShortsOperator] = ListShortsOperator, **fields: Any) -> Played:
        return airflow(lambda: kind(task_id="select", folder_id="folder01", **fields))

    return task


def reasons(task: Played) -> dict[str, str | None]:
    return {short["project_id"]: short["reason"] for short in task.xcom("klap_shorts")}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"budget": None}, "abcd"),
        ({"budget": 100}, "abcd"),
        ({"budget": 3.16}, "abc"),
        ({"budget": 3.15}, "ab"),
        ({"budget": "{{ 2.20 }}"}, "a"),
        ({"budget": 0}, ""),
        ({"budget": 3.11, "submissions": "{{ 2 }}"}, "a"),
        ({"budget": 1, "submissions": 0}, "ab"),
    ],
)
def test_the_best_exports_are_kept_that_fit_into_the_budget(
    select: Callable[..., Played], fields: dict[str, Any], kept: str
) -> None:
    task = select(**fields)
    assert "".join(short["project_id"] for short in task.run()) == kept
    assert reasons(task) == {name: None if name in kept else "beyond_budget" for name in "abcd"}


def test_shorts_excluded_by_limit_or_minimum_are_not_beyond_budget(select: Callable[..., Played]) -> None:
    task = select(budget=2.2, limit=2, min_virality_score=40)
    task.run()
    assert reasons(task) == {"a": None, "b": "beyond_budget", "c": "beyond_limit", "d": "below_minimum"}


def test_a_cut_is_logged_with_its_numbers(select: Callable[..., Played], capfd: pytest.CaptureFixture[str]) -> None:
    select(budget=2.7).run()
    log = capfd.readouterr().out
    assert "The budget of $2.70 covers the best 2 of 4 exports" in log
    assert "1 input video × $0.44 + 4 generated shorts × $0.32" in log


def test_a_whole_video_has_no_generated_shorts_to_pay_for(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("GET", LIST, "status", times=None, code=200, body=LISTED[0])
    task = airflow(lambda: ListShortsOperator(task_id="select", project_id="a", budget=0.92))
    assert len(task.run()) == 1


@pytest.mark.parametrize("wrong", [{"budget": -1}, {"budget": 1, "submissions": -1}])
def test_a_selection_with_an_invalid_budget_is_refused_at_parse_time(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        ListShortsOperator(task_id="select", folder_id="folder01", **wrong)


def test_the_review_says_how_many_exports_the_budget_covers(
    select: Callable[..., Played], capfd: pytest.CaptureFixture[str]
) -> None:
    task = select(ReviewShortsOperator, budget=2.7)
    task.answer = ["2. b (70)", "3. c (50)", "4. d (30)"], "Ada"
    assert [short["project_id"] for short in task.run()] == ["b", "c"]
    assert reasons(task) == {"a": "not_selected", "b": None, "c": None, "d": "beyond_budget"}
    (question,) = task.supervisor.questions
    assert question.defaults == ["1. a (90)", "2. b (70)"]
    assert "The budget covers **2** of them" in str(question.body)
    assert task.xcom("klap_offer")["covered"] == 2
    assert task.xcom("klap_review")["selected"] == ["b", "c", "d"]
    assert "covers the best 2 of 3 exports" in capfd.readouterr().out


def test_the_review_does_not_mention_a_budget_that_covers_all(select: Callable[..., Played]) -> None:
    task = select(ReviewShortsOperator, budget=20)
    task.run()
    assert "budget" not in str(task.supervisor.questions[0].body)


def test_the_ledger_row_of_a_paid_video_has_its_budget(klap: Sandbox, supervisor: Supervisor, airflow: Airflow) -> None:
    airflow(submit(budget=4.5)).run()
    (line,) = [json.loads(value) for name, value in supervisor.ledger.items() if name.startswith("paid.")]
    assert line["budget"] == 4.5
    supervisor.ledger.clear()
    airflow(submit()).run()
    (line,) = [json.loads(value) for name, value in supervisor.ledger.items() if name.startswith("paid.")]
    assert "budget" not in line
