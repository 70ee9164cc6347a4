"""Which shorts a run selects: complete lists, missing scores, and max_map_length."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest

from klap_provider.errors import KlapInputError, KlapNoShortsError
from klap_provider.operators import ListShortsOperator, ReviewShortsOperator, SubmitShortsOperator, SubmitVideoOperator
from klap_provider.rules import list_complete
from tests.support.airflow_context import all_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.triggers import ShortsListTrigger
    from tests.support.airflow_context import Played
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    MakeShorts = Callable[..., list[dict[str, Any]]]

TALK = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
LIST = "^/projects/[^/]+$"

either_way = pytest.mark.parametrize("deferrable", [True, False])
MOST = "AIRFLOW__CORE__MAX_MAP_LENGTH"


@pytest.fixture
def interval(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds between the polls that have to agree: a minute, for tests."""
    monkeypatch.setattr(list_complete, "MAX_LIST_INTERVAL", 0.4)
    return 0.4


def listing(folder_id: str, **fields: Any) -> Callable[[], ListShortsOperator]:
    return lambda: ListShortsOperator(task_id="list", folder_id=folder_id, **fields)


@either_way
def test_a_list_that_fills_gradually_needs_two_equal_polls(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float, deferrable: bool
) -> None:
    made = make_shorts(5)
    for shorts, polls in ((2, 1), (4, 1)):
        klap.fault("GET", LIST, "partial_list", shorts=shorts, times=polls)
    task = airflow(listing(made[0]["folder_id"], deferrable=deferrable))
    assert {short["project_id"] for short in task.run()} == {short["id"] for short in made}
    assert task.workers == (2 if deferrable else 1)
    polls = [request["at"] for request in klap.requests("GET", LIST)][1:]  # the first request is that of make_shorts
    assert all(later - earlier > interval - 0.1 for earlier, later in pairwise(polls[:4]))
    assert len(polls) <= 5


def test_a_list_that_fills_slowly_is_read_completely(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    klap.set(fill_seconds=0)
    made = make_shorts(5)
    klap.set(fill_seconds=1.2)
    task = airflow(listing(made[0]["folder_id"]))
    assert len(task.run()) == 5


@either_way
def test_late_scores_are_waited_for(klap: Sandbox, airflow: Airflow, interval: float, deferrable: bool) -> None:
    for scores in ([None, None], [None, 40], [90, 40], [90, 40]):
        body = [{"id": name, "virality_score": score} for name, score in zip("ab", scores, strict=True)]
        klap.fault("GET", LIST, "status", code=200, body=body, times=1 if scores != [90, 40] else None)
    task = airflow(listing("folder01", max_clip_count=2, limit=1, deferrable=deferrable))
    assert [short["project_id"] for short in task.run()] == ["a"]


@pytest.mark.parametrize(
    "fields",
    [{"max_clip_count": 3}, {"max_clip_count": "{{ 3 }}"}, {"max_clip_count": 2}],
)
def test_a_list_with_the_maximum_of_shorts_needs_one_poll(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float, fields: dict[str, Any]
) -> None:
    task = airflow(listing(make_shorts(3)[0]["folder_id"], **fields))
    assert len(task.run()) == 3
    assert (task.workers, len(klap.requests("GET", LIST))) == (1, 2)


def test_a_list_with_all_requested_project_ids_needs_one_poll(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    first, *_, last = made = make_shorts(3)
    for wanted, workers in ((last, 2), (first, 1)):
        klap.fault("GET", LIST, "partial_list", shorts=2)
        task = airflow(listing(made[0]["folder_id"], project_ids=[wanted["id"]]))
        assert [short["project_id"] for short in task.run()] == [wanted["id"]]
        assert task.workers == workers
        task.supervisor.ledger.clear()


def test_a_list_is_used_as_it_is_at_its_timeout(klap: Sandbox, airflow: Airflow, interval: float) -> None:
    for count in range(1, 30):  # another one at every poll
        klap.fault("GET", LIST, "status", code=200, body=[{"id": f"p{number}"} for number in range(count)])
    taken = airflow(listing("folder01", list_timeout=1)).run()
    assert 0 < len(taken) < 29, "not only after the list has stopped changing"


def test_a_list_that_is_empty_or_fails_in_between_is_polled_again(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    made = make_shorts(3)
    klap.fault("GET", LIST, "late_list", polls=1)
    klap.fault("GET", LIST, "partial_list", shorts=1)
    klap.fault("GET", LIST, "status", code=503)
    task = airflow(listing(made[0]["folder_id"]))
    assert len(task.run()) == 3


def test_a_clear_waits_for_no_second_poll(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    task = airflow(listing(make_shorts(3)[0]["folder_id"], limit=2))
    task.run()
    task.clear()
    assert len(task.run()) == 2
    assert task.workers == 1


def test_the_review_has_the_complete_list(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    made = make_shorts(3)
    klap.fault("GET", LIST, "partial_list", shorts=1)
    task = airflow(lambda: ReviewShortsOperator(task_id="list", folder_id=made[0]["folder_id"]))
    assert len(task.run()) == 3
    assert len(task.supervisor.questions) == 1


def test_the_wait_for_a_list_continues_after_a_triggerer_restart(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    task = airflow(listing(make_shorts(2)[0]["folder_id"]))
    task.run()
    [(_, kwargs)] = task.triggers
    assert kwargs["target"]["interval"] == interval
    assert kwargs["seen"]
    again = cast("ShortsListTrigger", task.rebuilt_trigger())
    assert (again.state.seen, again.state.seen_since) == (kwargs["seen"], kwargs["seen_since"])


def test_a_wait_of_an_older_version_ends_at_the_first_shorts(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, interval: float
) -> None:
    task = airflow(listing(make_shorts(2)[0]["folder_id"]))
    task.run()
    path, kwargs = task.triggers[-1]
    old = {name: value for name, value in kwargs.items() if name not in ("seen", "seen_since")}
    old["target"] = {name: kwargs["target"][name] for name in ("folder_id", "project_id")}
    task.triggers.append((path, old))
    [event] = asyncio.run(all_events(task.rebuilt_trigger()))
    assert "seen" not in event.payload


@pytest.mark.parametrize(("poll_interval", "seconds"), [(None, 60), (300, 60), (30, 60), (20, 40), (2, 4)])
def test_equal_polls_are_at_most_a_minute_apart(
    monkeypatch: pytest.MonkeyPatch, poll_interval: float | None, seconds: float
) -> None:
    monkeypatch.undo()
    assert list_complete.list_interval(poll_interval) == seconds


@either_way
def test_an_empty_list_is_waited_for_until_the_timeout(
    klap: Sandbox, airflow: Airflow, interval: float, deferrable: bool
) -> None:
    klap.fault("GET", LIST, "status", times=None, code=200, body=[])
    with pytest.raises(KlapNoShortsError):
        airflow(listing("folder01", list_timeout=0.3, deferrable=deferrable)).run()


@pytest.fixture
def select(klap: Sandbox, airflow: Airflow) -> Callable[..., Played]:
    """Make the task that lists shorts with these scores, called a, b, c and so on."""

    def task(scores: list[float | None], **fields: Any) -> Played:
        listed = [{"id": name, "virality_score": score} for name, score in zip("abcdefgh", scores, strict=False)]
        klap.fault("GET", LIST, "status", code=200, body=listed, times=None)
        return airflow(lambda: ListShortsOperator(task_id="list", folder_id="folder01", **fields))

    return task


def reasons(task: Played) -> dict[str, str | None]:
    return {short["project_id"]: short["reason"] for short in task.xcom("klap_shorts")}


@pytest.mark.parametrize(
    ("scores", "fields", "expected"),
    [
        ([None, None], {}, {"a": None, "b": None}),
        ([None, None], {"min_virality_score": 0}, {"a": None, "b": None}),
        ([None, None], {"min_virality_score": 50}, {"a": "no_score", "b": "no_score"}),
        ([None, None], {"min_virality_score": 50, "without_score": "leave_out"}, {"a": "no_score", "b": "no_score"}),
        ([None, None], {"min_virality_score": 50, "without_score": "{{ 'export' }}"}, {"a": None, "b": None}),
        ([None, 90, 10], {"min_virality_score": 50}, {"b": None, "c": "below_minimum", "a": "no_score"}),
        (
            [None, 90, 10],
            {"min_virality_score": 50, "without_score": "export"},
            {"b": None, "c": "below_minimum", "a": None},
        ),
        (
            [None, 90, 60],
            {"min_virality_score": 50, "without_score": "export", "limit": 2},
            {"b": None, "c": None, "a": "beyond_limit"},
        ),
        ([None, 0], {"limit": 1}, {"b": None, "a": "beyond_limit"}),
    ],
)
def test_the_meaning_of_a_missing_score_is_a_setting(
    select: Callable[..., Played],
    capsys: pytest.CaptureFixture[str],
    scores: list[float | None],
    fields: dict[str, Any],
    expected: dict[str, str | None],
) -> None:
    task = select(scores, **fields)
    assert [short["project_id"] for short in task.run()] == [name for name in expected if expected[name] is None]
    assert list(reasons(task).items()) == list(expected.items())
    left_out = [name for name in expected if expected[name] == "no_score"]
    warning = f"Klap gave {len(left_out)} of {len(scores)} shorts no virality score"
    assert (warning in capsys.readouterr().out) is bool(left_out)


@pytest.mark.parametrize("scores", ["null", "absent"])
def test_klap_may_leave_a_score_out_or_give_none(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, scores: str
) -> None:
    klap.set(scores=scores)
    folder_id = make_shorts(2)[0]["folder_id"]
    task = airflow(lambda: ListShortsOperator(task_id="list", folder_id=folder_id, min_virality_score=1))
    assert task.run() == []
    assert set(reasons(task).values()) == {"no_score"}


def test_an_invalid_value_for_missing_scores_is_refused(klap: Sandbox, airflow: Airflow) -> None:
    with pytest.raises(ValueError, match=r"without_score.*'leave_out' or 'export'"):
        ListShortsOperator(task_id="list", folder_id="folder01", without_score="maybe")
    with pytest.raises(KlapInputError, match="without_score"):
        airflow(lambda: ListShortsOperator(task_id="list", folder_id="x", without_score="{{ 'maybe' }}")).run()
    assert klap.requests() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"max_clip_count": 5},
        {"target_clip_count": 5, "max_clip_count": None},
        {"max_clip_count": 5, "max_exports": 4},
        {"max_clip_count": "{{ 5 }}"},
    ],
)
def test_more_shorts_than_max_map_length_are_refused_before_the_post(
    klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setenv(MOST, "3")
    task = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK, **fields))
    with pytest.raises(KlapInputError, match=r"at most 3 \(\[core\] max_map_length\)\. Lower max_clip_count"):
        task.run()
    assert klap.ledger() == []
    assert [key for key in task.supervisor.ledger if not key.startswith("claim.")] == []


@pytest.mark.parametrize("fields", [{"max_clip_count": 3}, {"max_clip_count": 50, "max_exports": 3}])
def test_as_many_shorts_as_max_map_length_are_accepted(
    klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setenv(MOST, "3")
    airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK, **fields)).run()
    airflow(lambda: SubmitVideoOperator(task_id="submit_video", source_video_url=TALK)).run()
    assert len(klap.ledger("task")) == 2


def test_the_best_shorts_up_to_max_map_length_are_selected(
    select: Callable[..., Played], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(MOST, "2")
    task = select([10, 90, 50, 20], min_virality_score=15)
    for _ in range(2):  # a clear selects the same
        assert [short["project_id"] for short in task.run()] == ["b", "c"]
        assert reasons(task) == {"b": None, "c": None, "d": "beyond_map_length", "a": "below_minimum"}
        assert "best 2 of 3 selected shorts" in capsys.readouterr().out
        task.clear()


def test_a_review_selects_at_most_max_map_length_shorts(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MOST, "2")
    folder_id = make_shorts(4)[0]["folder_id"]
    task = airflow(lambda: ReviewShortsOperator(task_id="list", folder_id=folder_id))
    assert len(task.run()) == 2
    assert [short["reason"] for short in task.xcom("klap_shorts")] == [None, None, *["beyond_map_length"] * 2]


def test_project_ids_are_limited_by_max_map_length(
    select: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MOST, "1")
    task = select([10, 90, 50], project_ids=["a", "c"])
    assert [short["project_id"] for short in task.run()] == ["c"]
    assert reasons(task) == {"b": "not_selected", "c": None, "a": "beyond_map_length"}
