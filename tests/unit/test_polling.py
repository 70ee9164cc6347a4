"""When to look next, and what a look means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.api import calls
from klap_provider.api.answers import Export, Project, Task
from klap_provider.errors import (
    KlapAnswerError,
    KlapAuthError,
    KlapConnectionError,
    KlapCreditsError,
    KlapError,
    KlapJobFailedError,
    KlapNoAnswerError,
    KlapNoShortsError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapServerError,
    KlapTimeoutError,
    KlapUnknownStatusError,
)
from klap_provider.rules.pace import Pace
from klap_provider.rules.polling import (
    UNKNOWN_GRACE,
    ExportTarget,
    Ready,
    ShortsTarget,
    TaskTarget,
    Wait,
    Watch,
    judge_job,
)

START = 1_700_000_000.0
STEADY = Pace(shortest=12, longest=10)  # the jitter is below the cap: always 10 s
AUTH = KlapAuthError("x", status=401)
GONE = KlapNotFoundError("x", status=404)
DOWN = KlapServerError("x", status=500)


def watch(timeout: float = 3600.0, pace: Pace = STEADY) -> Watch:
    return Watch(START, START + timeout, pace)


def task(status: str, **fields: Any) -> Task:
    return Task(id="t1", status=status, **{"output_id": "f1" if status == "ready" else None, **fields})


def export(status: str, **fields: Any) -> Export:
    return Export(id="e1", status=status, **{"src_url": "https://x/v.mp4" if status == "ready" else None, **fields})


def follow(looks: list[Any], *, step: float = 10.0, timeout: float = 3600.0) -> str:
    """Judge look after look, ``step`` seconds apart; return how it ended: ready, waiting, or the error's name."""
    state, now = watch(timeout), START
    for look in looks:
        try:
            verdict = judge_job(look, state, now=now)
        except KlapError as failure:
            return type(failure).__name__
        if isinstance(verdict, Ready):
            assert verdict.value is look
            return "ready"
        state, now = verdict.watch, now + step
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
def test_a_sequence_of_status_words_ends_as_it_should(job: Any, statuses: list[str], end: str) -> None:
    assert follow([job(status) for status in statuses]) == end


@pytest.mark.parametrize(
    "job", [task("ready", output_id=None), export("ready", src_url=None), task("ready", output_id="")]
)
def test_a_job_that_is_ready_without_its_output_is_waited_for(job: Task | Export) -> None:
    assert follow([job] * 50) == "waiting"
    assert follow([job] * 50, timeout=100) == "KlapTimeoutError"


def test_a_job_that_is_ready_without_its_output_is_a_known_word() -> None:
    queued, almost = task("queued"), task("ready", output_id=None)
    assert follow([queued] * 12 + [almost] + [queued] * 12) == "waiting"


@pytest.mark.parametrize(
    "look",
    [
        DOWN,
        KlapConnectionError("x"),
        KlapNoAnswerError("x"),
        KlapRateLimitError("x", status=429),
        KlapAnswerError("x", status=200),
    ],
    ids=repr,
)
def test_a_look_that_failed_in_passing_is_looked_past(look: KlapError) -> None:
    assert follow([look] * 20 + [task("ready")]) == "ready"
    assert follow([look] * 20, timeout=100) == "KlapTimeoutError"


@pytest.mark.parametrize("look", [AUTH, GONE, KlapCreditsError("x", status=402)], ids=repr)
def test_a_failure_that_waiting_does_not_mend_ends_the_wait_as_itself(look: KlapError) -> None:
    with pytest.raises(type(look)) as ended:
        judge_job(look, watch(), now=START)
    assert ended.value is look


def test_a_failed_look_neither_extends_nor_forgets_the_grace_of_an_unknown_word() -> None:
    assert follow([task("done"), *[DOWN] * 11, task("done")]) == "KlapUnknownStatusError"


@pytest.mark.parametrize(
    ("look", "next_step"), [(task("error"), "start a new run"), (export("error"), "clear the task that ordered it")]
)
def test_a_failed_job_says_what_can_be_done_and_what_that_costs(look: Task | Export, next_step: str) -> None:
    with pytest.raises(KlapJobFailedError, match=next_step) as failed:
        judge_job(look, watch(), now=START)
    assert "once more" in str(failed.value)
    assert "pay" in str(failed.value)


def test_a_failed_job_is_reported_in_klaps_words() -> None:
    look = task("error", error_code="no_speech", message="Nobody speaks.")
    with pytest.raises(KlapJobFailedError, match=r"^Klap task t1 failed: no_speech · Nobody speaks\.") as failed:
        judge_job(look, watch(), now=START)
    assert failed.value.error_code == "no_speech"


def test_an_unknown_word_is_reported_with_its_name_and_those_there_are() -> None:
    state = Watch(START, START + 3600, STEADY, unknown_since=START)
    with pytest.raises(KlapUnknownStatusError, match=r"'done' for 120 s.*processing, ready, error"):
        judge_job(export("done"), state, now=START + UNKNOWN_GRACE)


def test_a_job_that_is_ready_at_the_deadline_is_not_thrown_away() -> None:
    assert judge_job(task("ready"), watch(60), now=START + 61) == Ready(task("ready"))


def test_the_deadline_names_the_time_the_state_and_the_way_on() -> None:
    with pytest.raises(KlapTimeoutError) as ended:
        judge_job(task("processing"), watch(60), now=START + 61)
    for part in ("61 s after", "timeout 60 s", "t1 is 'processing'", "raise the timeout"):
        assert part in str(ended.value)


def test_a_wait_is_as_long_as_klap_asked_but_not_beyond_the_deadline() -> None:
    limited = KlapRateLimitError("x", status=429, retry_after=300)
    assert judge_job(limited, watch(3600), now=START) == Wait(300, watch(3600))
    assert judge_job(limited, watch(120), now=START) == Wait(120, watch(120))


def test_targets_ask_for_what_they_wait_for() -> None:
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
    assert TaskTarget("t1").xcom(Ready(task("ready", output_type="folder", message="hi"), 61.5)) == {
        "klap_task_id": "t1",
        "output_type": "folder",
        "output_id": "f1",
        "took": 61.5,
    }
    assert ExportTarget("e1", "p1", "f1").xcom(Ready(export("ready", descriptions="hi"))) == {
        "export_id": "e1",
        "project_id": "p1",
        "folder_id": "f1",
        "src_url": "https://x/v.mp4",
        "took": None,
    }
    assert ShortsTarget("f1").xcom(Ready([Project(id="p1")])) is None


def test_a_job_took_until_half_way_between_the_last_two_looks() -> None:
    first = judge_job(task("processing"), watch(), now=START + 40)
    assert isinstance(first, Wait)
    second = judge_job(DOWN, first.watch, now=START + 50)  # it tells nothing of the job
    assert isinstance(second, Wait)
    assert judge_job(task("ready"), second.watch, now=START + 60) == Ready(task("ready"), 50.0)
    assert judge_job(task("ready"), watch(), now=START + 60) == Ready(task("ready"), None)


def test_targets_judge_as_judge_job_does() -> None:
    assert TaskTarget("t1").judge(task("ready"), watch(), now=START) == Ready(task("ready"))
    assert ExportTarget("e1", "p1").judge(export("ready"), watch(), now=START) == Ready(export("ready"))
    with pytest.raises(KlapJobFailedError):
        ExportTarget("e1", "p1").judge(export("error"), watch(), now=START)


@pytest.mark.parametrize("look", [[], GONE, DOWN, KlapNoAnswerError("x")], ids=repr)
def test_a_list_that_is_late_is_waited_for(look: Any) -> None:
    assert ShortsTarget("f1").judge(look, watch(60), now=START) == Wait(10, watch(60))
    assert ShortsTarget("f1").judge(look, watch(60), now=START + 55) == Wait(5, watch(60))


def test_a_list_is_ready_when_it_has_shorts() -> None:
    shorts = [Project(id="p1")]
    assert ShortsTarget("f1").judge(shorts, watch(60), now=START) == Ready(shorts)
    assert ShortsTarget("f1").judge(shorts, watch(60), now=START + 99) == Ready(shorts)


def test_a_list_that_stays_empty_means_that_there_are_no_shorts() -> None:
    with pytest.raises(KlapNoShortsError, match=r"f1 is still empty 60 s .*allow_empty"):
        ShortsTarget("f1").judge([], watch(60), now=START + 60)


@pytest.mark.parametrize("look", [GONE, DOWN], ids=repr)
def test_a_list_that_keeps_failing_ends_with_that_failure_at_the_deadline(look: KlapError) -> None:
    with pytest.raises(type(look)) as ended:
        ShortsTarget("f1").judge(look, watch(60), now=START + 60)
    assert ended.value is look


@pytest.mark.parametrize("look", [AUTH, KlapCreditsError("x", status=402)], ids=repr)
def test_a_list_that_may_not_be_read_fails_at_once(look: KlapError) -> None:
    with pytest.raises(type(look)):
        ShortsTarget("f1").judge(look, watch(60), now=START)


def test_a_list_waits_as_long_as_klap_asked() -> None:
    limited = KlapRateLimitError("x", status=429, retry_after=40)
    assert ShortsTarget("f1").judge(limited, watch(60), now=START) == Wait(40, watch(60))


passing = st.sampled_from([DOWN, KlapNoAnswerError("x"), KlapAnswerError("x", status=200)]) | st.builds(
    KlapRateLimitError, st.just("x"), status=st.just(429), retry_after=st.none() | st.floats(0, 1e6)
)
words = st.sampled_from(["processing", "ready", "error", "done", "queued", ""])
paces = st.builds(Pace, shortest=st.floats(0.1, 60), longest=st.floats(0.1, 600))


@given(
    looks=st.lists(
        words.map(task)
        | words.map(export)
        | st.just(task("ready", output_id=None))
        | st.sampled_from([AUTH, GONE])
        | passing,
        max_size=30,
    ),
    forever=st.sampled_from([task("processing"), task("done"), export("ready", src_url=None), DOWN]) | passing,
    timeout=st.floats(0, 20_000),
    pace=paces,
    slowness=st.floats(0, 30),
)
def test_any_sequence_of_looks_ends_by_the_deadline(
    looks: list[Any], forever: Any, timeout: float, pace: Pace, slowness: float
) -> None:
    state, now, queue = watch(timeout, pace), START, list(looks)
    while True:
        asked_at = now
        try:
            verdict = judge_job(queue.pop(0) if queue else forever, state, now=now)
        except KlapError:
            break
        if isinstance(verdict, Ready):
            break
        assert asked_at < state.deadline
        assert 0 < verdict.seconds <= state.deadline - now
        assert (verdict.watch.started_at, verdict.watch.deadline) == (state.started_at, state.deadline)
        state, now = verdict.watch, now + verdict.seconds + slowness
    assert asked_at <= state.deadline + slowness + 1e-3
