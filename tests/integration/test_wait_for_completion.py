"""``wait_for_completion``: the operators that pay also wait, and still pay once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout

from klap_provider.errors import KlapJobFailedError
from klap_provider.operators import ExportShortOperator, SubmitShortsOperator, SubmitVideoOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator

    from tests.support.airflow_context import Played
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    MakeShorts = Callable[..., list[dict[str, Any]]]

TALK = "https://example.com/talk.mp4"

pytestmark = pytest.mark.usefixtures("in_doubt_window_over")

either_mode = pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "on a worker"])
of_each = pytest.mark.parametrize("kind", ["shorts", "video", "export"])


@pytest.fixture
def klap(sandbox: Sandbox, connect: Callable[..., None]) -> Sandbox:
    """The sandbox, with a short poll interval."""
    connect(sandbox.url, poke_interval=0.1, first_poll=1)
    return sandbox


@pytest.fixture
def operator(make_shorts: MakeShorts) -> Callable[..., Callable[[], BaseOperator]]:
    """Make an operator of a kind, which waits."""

    def make(kind: str, **fields: Any) -> Callable[[], BaseOperator]:
        fields = {"task_id": kind, "wait_for_completion": True, **fields}
        if kind == "export":
            [short] = make_shorts()
            return lambda: ExportShortOperator(project_id=short["id"], folder_id=short["folder_id"], **fields)
        operator_type = SubmitShortsOperator if kind == "shorts" else SubmitVideoOperator
        return lambda: operator_type(source_video_url=TALK, **fields)

    return make


def jobs(klap: Sandbox, kind: str) -> int:
    """Return the number of jobs of this kind that Klap has accepted, without the task of an export's short."""
    return len(klap.ledger("export" if kind == "export" else "task"))


def without_ids(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if not name.endswith(("_at", "_id", "_ids", "_url", "entry"))}


@either_mode
@of_each
def test_the_result_has_the_fields_of_operator_and_sensor(
    kind: str, deferrable: bool, klap: Sandbox, airflow: Airflow, operator: Any
) -> None:
    task = airflow(operator(kind, deferrable=deferrable))
    result = task.run()

    added = {"src_url"} if kind == "export" else {"output_type", "output_id"} | ({"listed_ids"} & result.keys())
    assert ("listed_ids" in added) == (kind == "shorts")
    assert all(result[name] for name in added)
    assert bool(task.triggers) == deferrable

    alone = airflow(operator(kind, wait_for_completion=False)).run()
    assert alone.keys() == result.keys() - added
    assert without_ids(alone).keys() <= without_ids(result).keys()
    assert task.run() == result
    assert task.workers == 1 or deferrable


@either_mode
@of_each
def test_a_job_that_failed_is_paid_again_only_after_a_clear(
    kind: str, deferrable: bool, klap: Sandbox, airflow: Airflow, operator: Any
) -> None:
    make = operator(kind, deferrable=deferrable)
    klap.fault("POST", "/exports$" if kind == "export" else "^/tasks/", "job_error", message="Out of luck.")
    before = jobs(klap, kind)
    task = airflow(make)
    for _ in range(2):
        with pytest.raises(KlapJobFailedError, match="Out of luck"):
            task.run()
    assert jobs(klap, kind) == before + 1

    task.clear()
    task.run()
    assert jobs(klap, kind) == before + 2


@either_mode
@of_each
def test_the_wait_ends_at_its_timeout(
    kind: str, deferrable: bool, klap: Sandbox, airflow: Airflow, operator: Any
) -> None:
    make = operator(kind, deferrable=deferrable, timeout=1.5)
    klap.set(task_seconds=60, export_seconds=60)
    with pytest.raises(AirflowSensorTimeout, match="raise the timeout"):
        airflow(make).run()


@of_each
def test_the_worker_waits_if_the_triggerer_failed(kind: str, klap: Sandbox, airflow: Airflow, operator: Any) -> None:
    task = airflow(operator(kind, deferrable=True))
    result = task.run()
    paid = jobs(klap, kind)

    assert task.resume_stranded() == result
    assert task.resume_stranded("Trigger timeout") == result
    assert jobs(klap, kind) == paid


@of_each
def test_a_killed_task_logs_what_is_still_billed(
    kind: str, klap: Sandbox, airflow: Airflow, operator: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    task = airflow(operator(kind, deferrable=False, wait_for_completion=False))
    ended, *_ = task._start(0)
    ended.on_kill()
    assert "still billed" not in capsys.readouterr().out

    result = task.run()
    assert task._last is not None
    task._last[0].on_kill()

    output = capsys.readouterr().out
    job_id = result["export_id" if kind == "export" else "klap_task_id"]
    assert "still billed" in output
    assert f"Request: {job_id} (ledger entry {result.get('entry', 'submission.')}" in output
