"""
The number of API calls of a run, with Klap's real durations and a faster clock.

Also the messages that the tasks of a short send to Airflow, besides Airflow's own: each is a request to its API server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from klap_provider.operators import DeliverShortOperator, ExportShortOperator, ListShortsOperator, SubmitShortsOperator
from klap_provider.rules.job_targets import ExportTarget, TaskTarget
from klap_provider.rules.poll_schedule import EXPORTS, TASKS, PollSchedule
from klap_provider.rules.polling import PollAgain, PollState
from klap_provider.sensors import ExportStatusSensor
from klap_provider.triggers import ExportStatusTrigger, TaskStatusTrigger
from tests.support.airflow_context import all_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.sdk import BaseOperator

    from klap_provider.triggers.status import KlapTrigger
    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

#: The factor by which the clock is faster.
FASTER = 60

#: Durations of Klap's jobs in seconds: the task, and the distribution of ten exports.
TASK = 480.0
EXPORT_SECONDS = (199, 240, 268, 293, 318, 343, 371, 406, 454, 547)


def waiting(schedule: PollSchedule) -> PollAgain:
    """Return the first poll of a job that was submitted just now, for the faster clock."""
    now, faster = time.time(), PollSchedule(schedule.interval / FASTER)
    return PollAgain(faster.until_first(0), PollState(now, now + 60, faster))


async def ended(triggers: list[KlapTrigger]) -> None:
    await asyncio.gather(*map(all_events, triggers))


def test_a_run_with_ten_shorts_makes_at_most_75_calls(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor, tmp_path: Path
) -> None:
    klap.reset(task_seconds=TASK / FASTER)

    def played(operator: type[BaseOperator], **fields: Any) -> Any:
        return airflow(lambda: operator(task_id=operator.__name__, **fields)).run()

    video = "https://example.com/talk.mp4"
    submitted = played(SubmitShortsOperator, source_video_url=video, target_clip_count=len(EXPORT_SECONDS))
    task = TaskTarget(submitted["klap_task_id"])
    asyncio.run(ended([TaskStatusTrigger.waiting(task, waiting(TASKS), klap_conn_id="klap_default")]))
    folder_id = klap.outcome(f"/tasks/{task.klap_task_id}")["output_id"]  # in a run, from the XCom of the trigger

    exports = []
    triggers = []
    for short, seconds in zip(played(ListShortsOperator, folder_id=folder_id), EXPORT_SECONDS, strict=True):
        klap.set(export_seconds=seconds / FASTER)
        ids = {"project_id": short["project_id"], "folder_id": folder_id}
        ids = {**ids, "export_id": played(ExportShortOperator, **ids)["export_id"]}
        exports.append(ids)
        trigger = ExportStatusTrigger.waiting(ExportTarget(**ids), waiting(EXPORTS), klap_conn_id="klap_default")
        triggers.append(trigger)
    asyncio.run(ended(triggers))

    for ids in exports:
        path = f"/projects/{folder_id}/{ids['project_id']}/exports/{ids['export_id']}"
        supervisor.put_xcom("wait", {**ids, "src_url": klap.outcome(path)["src_url"]})
        left = {"wait_task_id": "wait", "list_task_id": ListShortsOperator.__name__}
        played(DeliverShortOperator, **ids, destination=str(tmp_path), **left)
    assert len(list(tmp_path.glob("*.mp4"))) == len(EXPORT_SECONDS)

    calls = [call for call in klap.requests() if not call["path"].startswith("/renders")]
    own = 1 + len(EXPORT_SECONDS)  # calls of this test, which replace the XComs of the waits
    assert len(calls) - own <= 75, Counter((call["method"], call["path"]) for call in calls)


def test_the_tasks_of_a_short_send_few_messages_to_airflow(
    klap: Sandbox, airflow: Airflow, make_shorts: Callable[..., Any], supervisor: Supervisor, tmp_path: Path
) -> None:
    [short] = make_shorts(1)
    ids = {"project_id": short["id"], "folder_id": short["folder_id"]}
    airflow(lambda: ListShortsOperator(task_id="list", folder_id=short["folder_id"])).run()
    supervisor.put_xcom("list", [], "klap_facts")

    def asked(operator: type[BaseOperator], **fields: Any) -> tuple[Any, Counter[str]]:
        supervisor.messages.clear()
        result = airflow(lambda: operator(task_id="task", **ids, **fields)).run()
        return result, Counter(json.loads(message)["type"] for message in supervisor.messages)

    reads, writes = "GetAssetStateStoreByName", "SetAssetStateStoreByName"  # of the ledger
    exported, requests = asked(ExportShortOperator)
    assert requests == {reads: 2, writes: 4, "SetXCom": 1}

    export_id, submitted_at = exported["export_id"], exported["submitted_at"]
    klap.set(export_seconds=0)
    ready, requests = asked(ExportStatusSensor, export_id=export_id, submitted_at=submitted_at, end_from_trigger=True)
    assert requests == {"SetXCom": 1}

    supervisor.put_xcom("wait", ready)
    left = {"wait_task_id": "wait", "list_task_id": "list"}
    from_wait = "{{ ti.xcom_pull('wait', map_indexes=ti.map_index).export_id }}"
    _, requests = asked(DeliverShortOperator, export_id=from_wait, destination=str(tmp_path), **left)
    assert requests == {"GetXCom": 1, "GetXComSequenceSlice": 1, writes: 2, "SetXCom": 1}
