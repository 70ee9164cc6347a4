"""GenerateShortsOperator pays once in all cases, and names every missing short."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import RetryDecision
from airflow.sdk.exceptions import AirflowSensorTimeout

from klap_provider.errors import KlapIncompleteError, KlapInputError, KlapJobFailedError
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    GenerateShortsOperator,
    ListShortsOperator,
)
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    Generate = Callable[..., Callable[[], BaseOperator]]

TALK = "https://example.com/talk.mp4"

pytestmark = pytest.mark.usefixtures("in_doubt_window_over")

either_mode = pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "on a worker"])


@pytest.fixture
def klap(sandbox: Sandbox, connect: Callable[..., None]) -> Sandbox:
    """The sandbox, with a short poll interval."""
    connect(sandbox.url, poke_interval=0.1, first_poll=1)
    return sandbox


@pytest.fixture
def generate(tmp_path: Path) -> Generate:
    """Make an operator that delivers three shorts."""

    def make(**fields: Any) -> Callable[[], BaseOperator]:
        three = {"source_video_url": TALK, "target_clip_count": 3, "destination": str(tmp_path)}
        return lambda: GenerateShortsOperator(task_id="generate", **{**three, **fields})

    return make


def is_there(path: str) -> bool:
    return Path(path.removeprefix("file://")).is_file()


def paid(klap: Sandbox) -> tuple[int, int]:
    """Return the number of videos and exports that Klap has accepted."""
    return len(klap.ledger("task")), len(klap.ledger("export"))


@either_mode
def test_it_delivers_the_shorts_and_returns_small_facts(
    deferrable: bool, klap: Sandbox, airflow: Airflow, generate: Generate
) -> None:
    task = airflow(generate(deferrable=deferrable))

    shorts = task.run()

    assert [is_there(short["path"]) for short in shorts] == [True] * 3
    assert paid(klap) == (1, 3)
    scores = [short["virality_score"] for short in shorts]
    assert scores == sorted(scores, reverse=True)
    assert all(short["duration"] and short["src_url"] and is_there(short["sidecar"]) for short in shorts)
    assert bool(task.triggers) == deferrable
    assert len(task.xcom("klap_shorts")) == 3
    assert task.links()["Open in Klap"].endswith(f"/{shorts[0]['folder_id']}")


def test_the_notifiers_get_the_result(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    sent: list[str] = []
    klap.fault("POST", "/exports$", "status", code=402, body={"message": "No credit."})
    task = airflow(generate(notifiers=Recorder(sent, "{{ klap.event }}: {{ klap.title }}")))
    with pytest.raises(KlapIncompleteError):
        task.run()
    task.clear()
    task.run()
    assert sent == [
        "credit_used_up: Klap: shorts are missing, example.com/talk.mp4",
        "run_finished: Klap: 3 delivered, example.com/talk.mp4",
    ]


def test_it_exports_only_what_is_selected(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    assert len(airflow(generate(limit=1)).run()) == 1
    assert paid(klap) == (1, 1)


def test_a_template_is_checked_before_anything_is_paid(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    for wrong in (
        {"limit": "{{ 0 }}"},
        {"watermark": {"src_url": "{{ 'logo' }}"}},
        {"min_virality_score": "{{ 101 }}"},
    ):
        with pytest.raises(KlapInputError, match=next(iter(wrong))):
            airflow(generate(**wrong)).run()
    assert paid(klap) == (0, 0)


def test_invalid_arguments_in_the_dag_file_are_refused_at_parse_time(generate: Generate) -> None:
    for wrong in ({"limit": 0}, {"watermark": {"pos_x": 2, "src_url": TALK}}, {"max_exports": 1}, {"budget": -1}):
        with pytest.raises(ValueError, match=r"limit|watermark|budget"):
            generate(**wrong)()


def test_a_destination_of_a_run_must_be_on_the_allowlist(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    with pytest.raises(KlapInputError, match="destination"):
        airflow(generate(destination="{{ '/etc/shorts' }}")).run()
    assert paid(klap) == (0, 0)


# The operators and sensors of the task's steps. Its process may die before and after each.
PARTS = [TaskStatusSensor, ListShortsOperator, ExportShortOperator, ExportStatusSensor, DeliverShortOperator]


class Died(BaseException):
    """The process died."""


@either_mode
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("part", PARTS)
def test_a_crash_between_two_steps_pays_nothing_again(
    part: type[Any],
    moment: str,
    deferrable: bool,
    klap: Sandbox,
    airflow: Airflow,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = airflow(generate(deferrable=deferrable))
    ended = 0

    execute = part.execute

    def then_die(operator: Any, context: Any, **event: Any) -> None:
        nonlocal ended
        if moment == "after" and not event:
            execute(operator, context)
        ended += 1
        raise Died

    with monkeypatch.context() as patched:
        waits = deferrable and part in (TaskStatusSensor, ExportStatusSensor)
        patched.setattr(part, "execute_complete" if waits and moment == "after" else "execute", then_die)
        with pytest.raises(Died):
            task.run()
    assert ended == 1

    shorts = task.run()

    assert len(shorts) == 3
    assert paid(klap) == (1, 3)


@either_mode
def test_a_failed_export_is_named_and_the_others_are_delivered(
    deferrable: bool, klap: Sandbox, airflow: Airflow, generate: Generate
) -> None:
    klap.fault("POST", "/exports$", "job_error", skip=1, message="Out of luck.")
    task = airflow(generate(deferrable=deferrable))

    with pytest.raises(KlapIncompleteError, match=r"2 of 3 shorts.*Wait for export of .*Out of luck") as incomplete:
        task.run()

    assert not incomplete.value.transient
    assert [is_there(short["path"]) for short in task.xcom()] == [True] * 2
    assert task.xcom("klap_error")["type"] == "KlapIncompleteError"

    with pytest.raises(KlapIncompleteError, match="2 of 3 shorts"):
        task.run()  # a retry does not pay for what failed at Klap
    assert paid(klap) == (1, 3)

    task.clear()
    assert len(task.run()) == 3
    assert paid(klap) == (1, 4)


def test_a_transient_failure_of_one_short_is_retried(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    klap.fault("POST", "/exports$", "accept_then_drop")
    task = airflow(generate())

    with pytest.raises(KlapIncompleteError, match=r"2 of 3 shorts.*Export of") as incomplete:
        task.run()

    assert KlapRetryPolicy().evaluate(incomplete.value, 1, 3) == RetryDecision.default()
    assert len(task.run()) == 3
    assert paid(klap) == (1, 3)


@either_mode
def test_a_failed_video_is_paid_again_only_after_a_clear(
    deferrable: bool, klap: Sandbox, airflow: Airflow, generate: Generate
) -> None:
    klap.fault("POST", "^/tasks/", "job_error", message="No speech.")
    task = airflow(generate(deferrable=deferrable))
    for _ in range(2):
        with pytest.raises(KlapJobFailedError, match="No speech"):
            task.run()
    assert paid(klap) == (1, 0)

    task.clear()
    assert len(task.run()) == 3


def test_a_task_that_takes_too_long_ends_the_wait(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    klap.set(task_seconds=60)
    with pytest.raises(AirflowSensorTimeout, match="raise the timeout"):
        airflow(generate(timeout=2)).run()


def test_the_worker_waits_if_the_triggerer_fails(klap: Sandbox, airflow: Airflow, generate: Generate) -> None:
    task = airflow(generate())
    task.run()

    assert len(task.resume_stranded()) == 3
    assert paid(klap) == (1, 3)


def test_each_of_three_mapped_videos_is_paid_once(
    klap: Sandbox, airflow: Airflow, generate: Generate, supervisor: Supervisor
) -> None:
    del supervisor
    tasks = [
        airflow(generate(source_video_url=f"https://example.com/{number}.mp4", limit=1), map_index=number)
        for number in range(3)
    ]
    for task in tasks:
        task.run()
        assert len(task.run()) == 1
    assert paid(klap) == (3, 3)
