"""The metrics of a run, as a StatsD server receives them over UDP."""

from __future__ import annotations

import json
import re
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk._shared.observability.metrics.otel_logger import SafeOtelLogger
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from klap_provider.api import calls
from klap_provider.errors import KlapCreditsError, KlapIncompleteError
from klap_provider.hooks import KlapHook
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    ListShortsOperator,
    PublishShortsOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
)
from klap_provider.rules import list_complete
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

TALK = "https://example.com/talk.mp4"
LINE = re.compile(r"airflow\.(?P<name>klap[a-z_.]+)(?P<tags>(,\w+=\w+)*):(?P<value>[\d.]+)\|(?P<kind>c|ms)")


class StatsD:
    """A StatsD server that records what it receives."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.lines: list[str] = []

    def received(self) -> list[re.Match[str]]:
        """Return the lines about Klap since the last call."""
        self.lines.clear()
        while True:
            try:
                datagram = self.socket.recv(65536).decode()
            except TimeoutError:
                break
            self.lines += [line for line in datagram.splitlines() if "klap" in line]
        found = [LINE.fullmatch(line) for line in self.lines]
        assert None not in found, self.lines
        return [match for match in found if match]

    def sums(self) -> dict[str, float]:
        """Return the sums of the counters by name and tags."""
        total: defaultdict[str, float] = defaultdict(float)
        for line in self.received():
            if line["kind"] == "c":
                total[line["name"] + line["tags"]] += float(line["value"])
        return {name: round(value, 2) for name, value in total.items()}


def switch(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Configure Airflow's metrics from its configuration, as a worker does at its start."""
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", value)
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsD]:
    """A StatsD server that Airflow sends to, with tags."""
    server = StatsD()
    with pytest.MonkeyPatch.context() as patch:
        port = str(server.socket.getsockname()[1])
        switch(patch, statsd_on="True", statsd_host="127.0.0.1", statsd_port=port, statsd_influxdb_enabled="True")
        yield server
    switch(monkeypatch)
    server.socket.close()


@pytest.fixture
def tasks(airflow: Airflow, tmp_path: Path) -> dict[str, Played]:
    """The tasks of a run, with one short."""
    submitted, exported = "ti.xcom_pull('submit')", "ti.xcom_pull('export')"
    short = {
        "project_id": "{{ ti.xcom_pull('list')[0].project_id }}",
        "folder_id": "{{ ti.xcom_pull('wait').output_id }}",
    }
    steps: dict[str, Callable[[], Any]] = {
        "submit": lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK, target_clip_count=4),
        "wait": lambda: TaskStatusSensor(
            task_id="wait",
            klap_task_id=f"{{{{ {submitted}.klap_task_id }}}}",
            submitted_at=f"{{{{ {submitted}.submitted_at }}}}",
            poke_interval=0.2,
            end_from_trigger=True,
        ),
        "list": lambda: ListShortsOperator(task_id="list", folder_id=short["folder_id"], limit=1),
        "export": lambda: ExportShortOperator(task_id="export", **short),
        "finish": lambda: ExportStatusSensor(
            task_id="finish",
            export_id=f"{{{{ {exported}.export_id }}}}",
            submitted_at=f"{{{{ {exported}.submitted_at }}}}",
            poke_interval=0.2,
            **short,
        ),
        "deliver": lambda: DeliverShortOperator(
            task_id="deliver", export_id=f"{{{{ {exported}.export_id }}}}", destination=str(tmp_path), **short
        ),
    }
    return {name: airflow(make) for name, make in steps.items()}


def test_a_run_is_counted_and_a_clear_adds_its_requests_and_its_selection(
    klap: Sandbox, statsd: StatsD, tasks: dict[str, Played]
) -> None:
    klap.reset(task_seconds=1, export_seconds=1)
    results = {name: task.run() for name, task in tasks.items()}
    counted = statsd.sums()
    calls = {name: counted.pop(name) for name in list(counted) if name.startswith("klap.api")}
    assert counted == {
        "klap.cost,item=input_video": 0.44,
        "klap.cost,item=generated_short": 1.28,
        "klap.cost,item=export": 0.48,
        "klap.shorts.generated": 4,
        "klap.shorts.selected": 1,
        "klap.shorts.exported": 1,
        "klap.shorts.delivered": 1,
        "klap.delivered_bytes": results["deliver"]["size"],
    }
    assert {name.partition("endpoint=")[2] for name in calls} == {
        "submit_shorts,status=200",
        "get_task,status=200",
        "list_projects,status=200",
        "list_exports,status=200",
        "create_export,status=200",
        "get_export,status=200",
        "get_project,status=200",
    }
    assert sum(calls.values()) == len(klap.requests(path="^/(tasks/|projects/|exports)")), (
        "of the worker and of the triggerer"
    )

    for task in tasks.values():
        task.run()
    again = statsd.sums()
    assert again.pop("klap.shorts.selected") == 1
    assert again
    assert all(name.startswith("klap.api.calls") for name in again)


def test_a_wait_is_timed_once_from_the_submission(klap: Sandbox, statsd: StatsD, tasks: dict[str, Played]) -> None:
    klap.reset(task_seconds=1, export_seconds=1)
    for task in tasks.values():
        task.run()
    waits = [line for line in statsd.received() if line["name"] == "klap.wait"]
    assert [line["tags"] for line in waits] == [",job=task", ",job=export"]
    assert all(line["kind"] == "ms" and 1000 <= float(line["value"]) < 30_000 for line in waits)
    for name in ("wait", "finish"):
        tasks[name].run()
    assert [line for line in statsd.received() if line["name"] == "klap.wait"] == []


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_wait_on_a_worker_is_timed(klap: Sandbox, statsd: StatsD, airflow: Airflow, mode: str) -> None:
    klap.reset(task_seconds=1)
    result = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK)).run()
    waiting = {"klap_task_id": result["klap_task_id"], "submitted_at": result["submitted_at"]}
    airflow(lambda: TaskStatusSensor(task_id="wait", mode=mode, deferrable=False, poke_interval=0.3, **waiting)).run()
    assert [line["tags"] for line in statsd.received() if line["name"] == "klap.wait"] == [",job=task"]


@pytest.mark.parametrize(
    "mode",
    [
        {"mode": "poke", "deferrable": False},
        {"mode": "reschedule", "deferrable": False},
        {},
        {"end_from_trigger": True},
    ],
    ids=str,
)
def test_a_wait_with_a_list_is_timed_once_without_the_list(
    klap: Sandbox, statsd: StatsD, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any]
) -> None:
    monkeypatch.setattr(list_complete, "MAX_LIST_INTERVAL", 1.5)
    klap.reset(task_seconds=1)
    result = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK)).run()
    waiting = {"klap_task_id": result["klap_task_id"], "submitted_at": result["submitted_at"], "first_poll": 0}
    task = airflow(lambda: TaskStatusSensor(task_id="wait", poke_interval=0.3, **waiting, **mode))
    for expected in (1, 0):  # the second time as after a clear
        task.run()
        timed = [line for line in statsd.received() if line["name"] == "klap.wait"]
        assert len(timed) == expected
        assert all(1000 <= float(line["value"]) < 2400 for line in timed), "without the second and a half of the list"


def test_a_repeated_job_is_counted_again_and_a_refused_one_is_not(
    klap: Sandbox, statsd: StatsD, airflow: Airflow
) -> None:
    klap.fault("POST", "^/tasks/", "job_error")
    task = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK))
    for _ in range(3):
        task.run()
    klap.fault("POST", "^/tasks/", "status", code=402)
    with pytest.raises(KlapCreditsError):
        airflow(lambda: SubmitShortsOperator(task_id="other", source_video_url=TALK)).run()
    counted = statsd.sums()
    assert counted["klap.cost,item=input_video"] == 0.88
    assert counted["klap.api.calls,endpoint=submit_shorts,status=402"] == 1


def test_retries_and_lost_responses_are_counted_by_endpoint(klap: Sandbox, statsd: StatsD) -> None:
    klap.fault("GET", "^/exports", "drop")
    KlapHook().call(calls.list_exports())
    assert statsd.sums() == {
        "klap.api.calls,endpoint=list_exports,status=none": 1,
        "klap.api.retries,endpoint=list_exports": 1,
        "klap.api.calls,endpoint=list_exports,status=200": 1,
    }


def test_shorts_of_the_reviewer_count_as_selected(klap: Sandbox, statsd: StatsD, airflow: Airflow) -> None:
    listed = [{"id": name, "name": name, "virality_score": 50} for name in "abc"]
    klap.fault("GET", "^/projects/[^/]+$", "status", times=None, code=200, body=listed)
    task = airflow(lambda: ReviewShortsOperator(task_id="review", folder_id="folder01", limit=1))
    task.answer = ["1. a (50)", "3. c (50)"], "Ada"
    task.run()
    counted = statsd.sums()
    assert (counted["klap.shorts.generated"], counted["klap.shorts.selected"]) == (3, 2)


def test_a_missing_short_is_counted_when_publish_ends(
    statsd: StatsD, airflow: Airflow, supervisor: Supervisor, tmp_path: Path
) -> None:
    short = {"project_id": "p1", "short_name": "One"}
    supervisor.states["deliver_0"] = "failed"
    task = airflow(
        lambda: PublishShortsOperator(
            task_id="publish",
            steps=["deliver"],
            shorts=[short],
            source_video_url=TALK,
            klap_task_id="task1",
            destination=str(tmp_path),
        )
    )
    with pytest.raises(KlapIncompleteError):
        task.run()
    assert statsd.sums() == {"klap.shorts.missing": 1}


def test_no_tag_has_an_id_or_a_character_that_a_back_end_refuses(
    klap: Sandbox, statsd: StatsD, tasks: dict[str, Played]
) -> None:
    for task in tasks.values():
        task.run()
    lines = statsd.received()
    ids = {entry["id"] for entry in klap.ledger()}
    assert lines
    assert not [line[0] for line in lines if any(one in line[0] for one in ids)]


def test_opentelemetry_gets_the_same_with_tags_and_fractions_of_a_dollar(
    monkeypatch: pytest.MonkeyPatch, statsd: StatsD, klap: Sandbox, airflow: Airflow
) -> None:
    reader = InMemoryMetricReader()
    switch(monkeypatch, statsd_on="False", otel_on="True")
    stats.initialize(factory=lambda: SafeOtelLogger(MeterProvider([reader])), export_legacy_names=True)
    airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK)).run()
    data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]  # there was something to read
    found = {
        metric["name"]: [(point["attributes"], point["value"]) for point in metric["data"]["data_points"]]
        for metric in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]
        if "klap" in metric["name"]
    }
    assert found == {
        "airflow.klap.api.calls": [({"endpoint": "submit_shorts", "status": "200"}, 1)],
        "airflow.klap.cost": [({"item": "input_video"}, 0.44)],
    }


def test_no_metric_is_sent_while_airflows_metrics_are_off(
    monkeypatch: pytest.MonkeyPatch, statsd: StatsD, klap: Sandbox, airflow: Airflow
) -> None:
    switch(monkeypatch, statsd_on="False")
    airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK)).run()
    assert statsd.received() == []


def test_failing_metrics_do_not_fail_a_task(
    monkeypatch: pytest.MonkeyPatch, statsd: StatsD, klap: Sandbox, airflow: Airflow
) -> None:
    def break_down() -> Any:
        raise RuntimeError("no StatsD today")

    stats.initialize(factory=break_down, export_legacy_names=True)
    assert airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK)).run()["paid"] == 1
