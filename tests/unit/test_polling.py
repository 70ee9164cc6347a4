"""What the result of a poll means, and when a worker takes over."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.api import calls
from klap_provider.api.responses import Export, Project, Task
from klap_provider.errors import (
    KlapAuthError,
    KlapConnectionError,
    KlapCreditsError,
    KlapError,
    KlapInvalidResponseError,
    KlapJobFailedError,
    KlapNoResponseError,
    KlapNoShortsError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapServerError,
    KlapTimeoutError,
    KlapUnknownStatusError,
)
from klap_provider.rules.job_targets import ExportTarget, TaskTarget
from klap_provider.rules.list_complete import LIST_TIMEOUT, ShortsTarget
from klap_provider.rules.poll_schedule import PollSchedule
from klap_provider.rules.polling import UNKNOWN_GRACE, Done, PollAgain, PollState, decide_job

START = 1_700_000_000.0
STEADY = PollSchedule(interval=10, first=0)
AUTH = KlapAuthError("x", status=401)
GONE = KlapNotFoundError("x", status=404)
DOWN = KlapServerError("x", status=500)


def waiting(timeout: float = 3600.0, schedule: PollSchedule = STEADY, **more: Any) -> PollState:
    return PollState(START, START + timeout, schedule, **more)


def task(status: str, **fields: Any) -> Task:
    return Task(id="t1", status=status, **{"output_id": "f1" if status == "ready" else None, **fields})


def export(status: str, **fields: Any) -> Export:
    return Export(id="e1", status=status, **{"src_url": "https://x/v.mp4" if status == "ready" else None, **fields})


def follow(results: list[Any], *, step: float = 10.0, timeout: float = 3600.0) -> str:
    """Decide on each result, ``step`` seconds apart, and return the end: ready, waiting, or the error's name."""
    state, now = waiting(timeout), START
    for result in results:
        try:
            decision = decide_job(result, state, now=now)
        except KlapError as failure:
            return type(failure).__name__
        if isinstance(decision, Done):
            assert decision.value is result
            return "ready"
        state, now = decision.state, now + step
    return "waiting"


@pytest.mark.parametrize("job", [task, export], ids=["task", "export"])
@pytest.mark.parametrize(
    ("statuses", "end"),
    [
        (["processing"], "waiting"),
        (["ready"], "ready"),
        (["processing", "processing", "ready"], "ready"),
        (["processing", "error"], "KlapJobFailedError"),
        (["error"], "KlapJobFailedError"),
        (["done"], "waiting"),
        (["done"] * 12, "waiting"),
        (["done"] * 13, "KlapUnknownStatusError"),
        (["queued", "paused"] * 7, "KlapUnknownStatusError"),
        (["queued"] * 12 + ["processing"] + ["queued"] * 12, "waiting"),
        (["queued"] * 12 + ["ready"], "ready"),
        (["queued"] * 12 + ["error"], "KlapJobFailedError"),
        (["READY", "ready"], "ready"),
        (["", "ready"], "ready"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_sequence_of_statuses_has_the_expected_result(job: Any, statuses: list[str], end: str) -> None:
    assert follow([job(status) for status in statuses]) == end


@pytest.mark.parametrize(
    "job", [task("ready", output_id=None), export("ready", src_url=None), task("ready", output_id="")]
)
def test_a_job_that_is_ready_without_its_output_is_waited_for(job: Task | Export) -> None:
    assert follow([job] * 50) == "waiting"
    assert follow([job] * 50, timeout=100) == "KlapTimeoutError"


def test_a_ready_job_without_its_output_is_not_an_unknown_status() -> None:
    queued, almost = task("queued"), task("ready", output_id=None)
    assert follow([queued] * 12 + [almost] + [queued] * 12) == "waiting"


@pytest.mark.parametrize(
    "result",
    [
        DOWN,
        KlapConnectionError("x"),
        KlapNoResponseError("x"),
        KlapRateLimitError("x", status=429),
        KlapInvalidResponseError("x", status=200),
    ],
    ids=repr,
)
def test_a_transient_error_is_retried_until_the_deadline(result: KlapError) -> None:
    assert follow([result] * 20 + [task("ready")]) == "ready"
    assert follow([result] * 20, timeout=100) == "KlapTimeoutError"


@pytest.mark.parametrize("result", [AUTH, GONE, KlapCreditsError("x", status=402)], ids=repr)
def test_a_permanent_error_ends_the_wait(result: KlapError) -> None:
    with pytest.raises(type(result)) as ended:
        decide_job(result, waiting(), now=START)
    assert ended.value is result


def test_failed_polls_do_not_change_the_grace_of_an_unknown_status() -> None:
    assert follow([task("done"), *[DOWN] * 11, task("done")]) == "KlapUnknownStatusError"


@pytest.mark.parametrize(
    ("target", "result", "next_step"),
    [
        (TaskTarget("t1"), task("error"), "start a new run"),
        (ExportTarget("e1", "p1"), export("error"), "clear the task 'export'"),
    ],
)
def test_a_failed_job_names_the_action_and_its_cost(target: Any, result: Any, next_step: str) -> None:
    with pytest.raises(KlapJobFailedError, match=next_step) as failed:
        target.decide(result, waiting(), now=START)
    assert re.search("pays? for it again", str(failed.value))


def test_a_failed_job_is_reported_with_klaps_message() -> None:
    result = task("error", error_code="no_speech", message="Nobody speaks.")
    with pytest.raises(KlapJobFailedError, match=r"^Klap task t1 failed: no_speech · Nobody speaks\.") as failed:
        decide_job(result, waiting(), now=START)
    assert failed.value.error_code == "no_speech"


def test_an_unknown_status_is_reported_with_the_known_ones() -> None:
    state = PollState(START, START + 3600, STEADY, unknown_since=START)
    with pytest.raises(KlapUnknownStatusError, match=r"'done' for 120 s.*processing, ready, error"):
        decide_job(export("done"), state, now=START + UNKNOWN_GRACE)


def test_a_job_that_is_ready_at_the_deadline_succeeds() -> None:
    assert decide_job(task("ready"), waiting(60), now=START + 61) == Done(task("ready"))


def test_the_timeout_error_names_the_time_the_status_and_the_action() -> None:
    with pytest.raises(KlapTimeoutError) as ended:
        decide_job(task("processing"), waiting(60), now=START + 61)
    for part in ("61 s after", "timeout 60 s", "t1 is 'processing'", "raise the timeout"):
        assert part in str(ended.value)


def test_a_delay_follows_retry_after_up_to_the_deadline() -> None:
    limited = KlapRateLimitError("x", status=429, retry_after=300)
    assert decide_job(limited, waiting(3600), now=START) == PollAgain(300, waiting(3600))
    assert decide_job(limited, waiting(120), now=START) == PollAgain(120, waiting(120))


def test_targets_make_the_call_for_their_job() -> None:
    assert str(TaskTarget("t1").call()) == "GET /tasks/t1"
    assert str(ExportTarget("e1", "p1", "f1").call()) == "GET /projects/f1/p1/exports/e1"
    assert str(ExportTarget("e1", "p1").call()) == "GET /projects/p1/exports/e1"
    assert str(ShortsTarget("f1").call()) == str(calls.list_projects("f1"))
    assert str(ShortsTarget(project_id="p1").call()) == "GET /projects/p1"


def test_targets_have_names_for_the_log() -> None:
    targets = TaskTarget("t1"), ExportTarget("e1", "p1", "f1"), ShortsTarget("f1"), ShortsTarget(project_id="p1")
    assert [*map(str, targets)] == ["task t1", "export e1 of project p1", "folder f1", "project p1"]


def test_a_project_is_judged_as_a_list_of_one() -> None:
    project = ShortsTarget(project_id="p1").call().parse({"id": "p1", "folder_id": None})
    assert project == [Project(id="p1", folder_id=None)]


def test_targets_return_ids_and_nothing_else() -> None:
    assert TaskTarget("t1").xcom(Done(task("ready", output_type="folder", message="hi"))) == {
        "klap_task_id": "t1",
        "output_type": "folder",
        "output_id": "f1",
    }
    assert ExportTarget("e1", "p1", "f1").xcom(Done(export("ready", descriptions="hi"))) == {
        "export_id": "e1",
        "project_id": "p1",
        "folder_id": "f1",
        "src_url": "https://x/v.mp4",
    }
    assert ShortsTarget("f1").xcom(Done([Project(id="p1")])) is None


@pytest.mark.parametrize("target", [TaskTarget("t1"), ExportTarget("e1", "p1", "f1"), ShortsTarget(project_id="p1")])
def test_a_target_is_rebuilt_from_ids_of_other_versions(target: Any) -> None:
    assert type(target).from_ids({**asdict(target), "of_a_later_version": 1}) == target
    known = {name: value for name, value in asdict(target).items() if value is not None}
    assert type(target).from_ids(known) == target


HOURS = 24 * 3600.0


def handovers(results: Any, state: PollState, *, polls: int) -> list[int]:
    """Poll this number of times as the trigger does, and return the polls after which it hands over."""
    found = []
    for number, result in zip(range(1, polls + 1), results, strict=False):
        decision = decide_job(result, state, now=START)
        assert isinstance(decision, PollAgain)
        state = decision.state
        if state.hands_over:
            found.append(number)
            state = state.handed_over()
    return found


@pytest.mark.parametrize(
    "failure",
    [DOWN, KlapConnectionError("x"), KlapNoResponseError("x"), KlapInvalidResponseError("x", status=403)],
    ids=repr,
)
def test_a_worker_takes_over_after_5_failed_polls_and_then_every_20(failure: KlapError) -> None:
    assert handovers(repeat(failure), waiting(HOURS), polls=100) == [5, 25, 45, 65, 85]


def test_a_successful_poll_resets_the_count_of_failures() -> None:
    flaky = [*[DOWN] * 4, task("processing")] * 10
    assert handovers(flaky, waiting(HOURS), polls=50) == []


def test_a_429_does_not_hand_over_to_a_worker() -> None:
    assert handovers(repeat(KlapRateLimitError("x", status=429)), waiting(HOURS), polls=100) == []


def test_a_triggerer_that_cannot_poll_hands_over_later_each_time() -> None:
    state, waits = waiting(HOURS), []
    for _ in range(4):
        waits.append(state.seconds_before_hand_over)
        state = state.handed_over()
    assert waits == [0, 200, 200, 200]  # in polls of 10 s


def test_targets_decide_as_decide_job_does() -> None:
    assert TaskTarget("t1").decide(task("ready"), waiting(), now=START) == Done(task("ready"))
    assert ExportTarget("e1", "p1").decide(export("ready"), waiting(), now=START) == Done(export("ready"))
    with pytest.raises(KlapJobFailedError):
        ExportTarget("e1", "p1").decide(export("error"), waiting(), now=START)


@pytest.mark.parametrize("result", [[], GONE, DOWN, KlapNoResponseError("x")], ids=repr)
def test_a_list_that_is_late_is_waited_for(result: Any) -> None:
    again = ShortsTarget("f1").decide(result, waiting(60), now=START)
    assert isinstance(again, PollAgain)
    assert 10 <= again.seconds <= 11
    assert again.state == waiting(60, failures=int(isinstance(result, KlapError)))
    again = ShortsTarget("f1").decide(result, waiting(60), now=START + 55)
    assert isinstance(again, PollAgain)
    assert again.seconds == 5


def test_a_list_is_ready_when_it_has_shorts() -> None:
    shorts = [Project(id="p1")]
    assert ShortsTarget("f1").decide(shorts, waiting(60), now=START) == Done(shorts)
    assert ShortsTarget("f1").decide(shorts, waiting(60), now=START + 99) == Done(shorts)


@pytest.mark.parametrize(("poll_interval", "interval"), [(0.5, 1), (10, 20), (30, 60), (600, 60)])
def test_equal_polls_of_a_list_have_the_list_interval(poll_interval: float, interval: float) -> None:
    ready, schedule = task("ready", output_type="folder"), PollSchedule(poll_interval)
    following = TaskTarget("t1").following(Done(ready), waiting(HOURS, schedule), now=START)
    assert following is not None
    target, state = following
    again = target.decide([Project(id="p1")], state, now=START)
    assert isinstance(again, PollAgain)
    assert again.seconds == pytest.approx(interval)
    assert (again.state.deadline, again.state.schedule) == (waiting(HOURS).deadline, schedule)
    done = target.decide([Project(id="p1")], again.state, now=START + interval)
    assert done == Done([Project(id="p1")])
    assert target.xcom(done)["listed_ids"] == ["p1"]


@pytest.mark.parametrize(
    ("fields", "follows"),
    [
        ({"output_type": "folder"}, True),
        ({"type": "video-to-shorts"}, True),
        ({"output_type": "project"}, False),
        ({"output_type": "project", "type": "video-to-shorts"}, False),
        ({"type": "video-to-video"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_the_list_is_polled_for_a_task_that_made_a_folder(fields: dict[str, Any], follows: bool) -> None:
    following = TaskTarget("t1").following(Done(task("ready", **fields)), waiting(), now=START)
    assert (following is not None) is follows


@pytest.mark.parametrize(
    "result", [DOWN, AUTH, GONE, [], KlapRateLimitError("x", status=429, retry_after=9e9)], ids=repr
)
def test_the_list_of_a_ready_task_ends_at_its_deadline_without_failing(result: Any) -> None:
    ready = task("ready", output_type="folder")
    following = TaskTarget("t1").following(Done(ready), waiting(1000), now=START)
    assert following is not None
    (target, state), now = following, START
    while isinstance(decision := target.decide(result, state, now=now), PollAgain):
        state, now = decision.state, now + decision.seconds
    assert decision == Done([] if result == [] else None)
    assert now == pytest.approx(START if result is AUTH else START + LIST_TIMEOUT)


def test_a_list_that_stays_empty_means_that_there_are_no_shorts() -> None:
    with pytest.raises(KlapNoShortsError, match=r"f1 is still empty 60 s .*allow_empty"):
        ShortsTarget("f1").decide([], waiting(60), now=START + 60)


@pytest.mark.parametrize("result", [GONE, DOWN], ids=repr)
def test_a_list_that_keeps_failing_ends_with_that_failure_at_the_deadline(result: KlapError) -> None:
    with pytest.raises(type(result)) as ended:
        ShortsTarget("f1").decide(result, waiting(60), now=START + 60)
    assert ended.value is result


@pytest.mark.parametrize("result", [AUTH, KlapCreditsError("x", status=402)], ids=repr)
def test_a_list_with_a_refused_key_fails_at_once(result: KlapError) -> None:
    with pytest.raises(type(result)):
        ShortsTarget("f1").decide(result, waiting(60), now=START)


def test_a_list_follows_retry_after() -> None:
    limited = KlapRateLimitError("x", status=429, retry_after=40)
    assert ShortsTarget("f1").decide(limited, waiting(60), now=START) == PollAgain(40, waiting(60))


transient = st.sampled_from([DOWN, KlapNoResponseError("x"), KlapInvalidResponseError("x", status=200)]) | st.builds(
    KlapRateLimitError, st.just("x"), status=st.just(429), retry_after=st.none() | st.floats(0, 1e6)
)
words = st.sampled_from(["processing", "ready", "error", "done", "queued", ""])
schedules = st.builds(PollSchedule, interval=st.floats(0.1, 60), first=st.none() | st.floats(0, 600))


@given(
    results=st.lists(
        words.map(task)
        | words.map(export)
        | st.just(task("ready", output_id=None))
        | st.sampled_from([AUTH, GONE])
        | transient,
        max_size=30,
    ),
    forever=st.sampled_from([task("processing"), task("done"), export("ready", src_url=None), DOWN]) | transient,
    timeout=st.floats(0, 20_000),
    schedule=schedules,
    slowness=st.floats(0, 30),
)
def test_any_sequence_of_results_ends_by_the_deadline(
    results: list[Any], forever: Any, timeout: float, schedule: PollSchedule, slowness: float
) -> None:
    state, now, queue = waiting(timeout, schedule), START, list(results)
    while True:
        asked_at = now
        try:
            decision = decide_job(queue.pop(0) if queue else forever, state, now=now)
        except KlapError:
            break
        if isinstance(decision, Done):
            break
        assert asked_at < state.deadline
        assert 0 < decision.seconds <= state.deadline - now
        assert (decision.state.started_at, decision.state.deadline) == (state.started_at, state.deadline)
        state, now = decision.state, now + decision.seconds + slowness
    assert asked_at <= state.deadline + slowness + 1e-3


@pytest.mark.parametrize("job", [task, export])
def test_an_error_quotes_at_most_a_line_of_klaps_response(job: Any) -> None:
    for answer, word in (
        (job("error", message="x" * 10_000, error_code="y" * 10_000), "error"),
        (job("z" * 10_000), ""),
    ):
        state = waiting(unknown_since=START)
        with pytest.raises(KlapError) as failure:
            decide_job(answer, state, now=START + UNKNOWN_GRACE)
        assert len(str(failure.value)) < 1000, word


@pytest.mark.parametrize("status", [3, True, ["done"], {"done": 1}])
def test_a_status_that_is_not_a_text_is_unknown(status: Any) -> None:
    assert follow([calls.get_task("t1").parse({"id": "t1", "status": status})] * 20) == "KlapUnknownStatusError"
