"""An Airflow with a sandbox, for the benchmarks of whole runs and of the tab."""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.report import HERE
from demo.airflow import ROOT, LocalAirflow
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

OURS, ALONE, RESCHEDULE, DEFERRABLE = (
    "this project",
    "Airflow alone, tasks that do nothing",
    "HttpOperator, HttpSensor in reschedule mode",
    "HttpOperator, HttpSensor(deferrable=True)",
)
DAGS = {
    OURS: "klap_generate_shorts",
    ALONE: "airflow_alone_run",
    RESCHEDULE: "http_flow_reschedule",
    DEFERRABLE: "http_flow_deferrable",
}

#: Poll interval of all contenders, in seconds. The documented intervals are too long for the sandbox's jobs.
POLL_INTERVAL = 5


@dataclass(frozen=True)
class Times:
    """Durations of the sandbox's jobs, in seconds."""

    task: float
    export: float


@dataclass(frozen=True)
class Cost:
    """
    Cost of a run.

    :param starts: number of worker starts.
    :param cpu: CPU time in seconds.
    :param calls: number of API calls.
    :param overhead: duration without the sandbox's jobs, in seconds.
    :param kinds: number of calls by method and path without ids.
    :param poll_delay: the part of ``overhead`` from the end of a job to the poll that finds it, in seconds.
    """

    starts: int
    cpu: float
    calls: int
    overhead: float
    kinds: Counter[str] = field(default_factory=Counter)
    poll_delay: float = 0.0

    @property
    def own(self) -> float:
        """Duration without the sandbox's jobs and without the poll delay, in seconds."""
        return self.overhead - self.poll_delay

    @property
    def polls(self) -> int:
        """Number of polls of tasks and exports."""
        lists = self.kinds["GET /exports"] - 1  # one of them is not a poll, but of the select task
        return self.kinds["GET /tasks/…"] + self.kinds["GET /projects/…/…/exports/…"] + max(0, lists)


class Stage:
    """
    An Airflow and a sandbox.

    :param contender: the flow that runs on it.
    """

    def __init__(self, airflow: LocalAirflow, sandbox: Sandbox, shorts: Path, contender: str) -> None:
        self.airflow = airflow
        self.sandbox = sandbox
        self.shorts = shorts
        self.contender = contender
        self.idle = 0.0

    def warm_up(self) -> None:
        """Wait for the Dag, run it once so that modules are loaded, and measure the idle CPU."""
        dag_id = DAGS[self.contender]
        self.airflow.wait_for(partial(self.airflow.has_dag, dag_id), seconds=180, what=dag_id)
        self.run(1, Times(0, 0))
        before = self.cpu()
        time.sleep(10)
        self.idle = (self.cpu() - before) / 10

    def run(self, count: int, times: Times) -> Cost:
        """Run the Dag, and return its cost."""
        self.sandbox.reset(task_seconds=times.task, export_seconds=times.export)
        starts, cpu, started = self.worker_starts(), self.cpu(), time.monotonic()
        dag_id = DAGS[self.contender]
        run_id = self.airflow.trigger(dag_id, self.conf(count, times))
        state = self.airflow.wait_for_run(dag_id, run_id, seconds=900)
        cpu = self.cpu() - cpu - self.idle * (time.monotonic() - started)
        exports = len(self.sandbox.ledger("export"))
        if state != "success" or exports != (0 if self.contender == ALONE else count):
            states = {each["task_id"]: each["state"] for each in self.airflow.task_instances(dag_id, run_id)}
            raise RuntimeError(f"{self.contender}, {count} shorts: {state}, {states}")
        run = self.airflow.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        took = datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])
        overhead = took.total_seconds() - times.task - times.export
        calls = [call for call in self.sandbox.requests() if not call["path"].startswith("/renders")]
        kinds = Counter(kind_of(call["method"], call["path"]) for call in calls)
        delay = poll_delay(self.sandbox.ledger(), calls, times)
        return Cost(self.worker_starts() - starts, cpu, len(calls), overhead, kinds, delay)

    def conf(self, count: int, times: Times | None = None) -> Mapping[str, Any]:
        """
        Return the conf of a run.

        :param times: durations of the waits of Airflow alone. Default: none.
        """
        if self.contender == ALONE:
            times = times or Times(0, 0)
            return {"count": count, "task_seconds": times.task, "export_seconds": times.export}
        if self.contender != OURS:
            return {"count": count, "destination": str(self.shorts)}
        counts = {"max_clip_count": count, "target_clip_count": count, "limit": count, "max_duration": 1}
        return {"source_video_url": "https://example.com/talk.mp4", "destination": str(self.shorts), **counts}

    def worker_starts(self) -> int:
        """Return the number of worker starts so far."""
        logs = (self.airflow.home / "logs").rglob("attempt=*.log")
        return sum(log.read_text(errors="replace").count("Worker startup parse complete") for log in logs)

    def cpu(self) -> float:
        """Return the CPU time of this Airflow so far, in seconds."""
        return cpu_of(component.pid for component in self.airflow.processes.values())


def cpu_of(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and their children so far, in seconds."""
    total = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def kind_of(method: str, path: str) -> str:
    """Return method and path of a call without ids."""
    return f"{method} {re.sub(r'/(?!projects|exports|tasks|video-to)[^/]+', '/…', path)}"


def poll_delay(paid: Sequence[Mapping[str, Any]], calls: Sequence[Mapping[str, Any]], times: Times) -> float:
    """
    Return the seconds from the end of the task, and of the last export, to the polls that find them.

    :param paid: the sandbox's ledger.
    :param calls: the calls that the sandbox received, oldest first.
    """
    delay = 0.0
    for kind, seconds in (("task", times.task), ("export", times.export)):
        if seconds and (jobs := [job for job in paid if job["kind"] == kind]):
            ready_at = jobs[-1]["at"] + seconds
            polls = (call["at"] for call in calls if call["method"] == "GET" and is_poll(call["path"], jobs[-1]["id"]))
            delay += next(at for at in polls if at >= ready_at) - ready_at
    return delay


def is_poll(path: str, job_id: str) -> bool:
    """Return whether a GET is a poll of this job, or the list that has all exports of a folder."""
    return path == "/exports" or path.endswith(f"/{job_id}")


@contextlib.contextmanager
def running_airflow(folder: Path, contender: str) -> Iterator[Stage]:
    """Run an Airflow with all Dags, and a sandbox."""
    dags = folder / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / "klap_generate_shorts.py", dags)
    for name in ("http_flow", "same_shape"):
        shutil.copy(HERE / "dags" / f"{name}.py", dags)
    with Sandbox() as sandbox:
        connections: dict[str, dict[str, Any]] = {
            "klap_default": {
                "conn_type": "klap",
                "host": sandbox.url,
                "password": "kak_bench",
                "extra": {"poke_interval": POLL_INTERVAL},
            },
            "klap_http": {"conn_type": "http", "host": sandbox.url, "extra": {"Authorization": "Bearer kak_bench"}},
        }
        env = {
            "HTTP_FLOW_POLL_INTERVAL": str(POLL_INTERVAL),
            "PYTHONPATH": str(ROOT),  # with the operators of Airflow alone
            # Airflow 3.3.2 misses the end of about every fifth task process, and keeps its slot until the next
            # heartbeat.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # Otherwise parsing of Dag files would be part of the idle CPU at random.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        }
        with LocalAirflow(folder / "home", connections=connections, dags=dags, env=env) as airflow:
            stage = Stage(airflow, sandbox, folder / "shorts", contender)
            stage.warm_up()
            yield stage


@functools.cache
def shared(contender: str) -> Stage:
    """Return this process's stage for a contender, which is stopped when the process ends."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="klap-bench-"))
    return stack.enter_context(running_airflow(Path(folder), contender))
