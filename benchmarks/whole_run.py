"""3. A whole run, on a real Airflow: worker starts, CPU, API calls, and the time beyond what Klap itself takes."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.report import HERE, Bar, Section, Table, spread
from demo.airflow import ROOT, LocalAirflow
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Seconds that the sandbox takes for a task: half an interval less than one of those at which the others look, as a
#: look at a fixed interval is half of one late on average.
TASK_SECONDS = 15.0

#: Seconds that it takes for an export, by number of shorts; likewise. Klap takes some 330 s: the longer, the nearer.
EXPORT_SECONDS = {1: 22.5, 10: 67.5, 50: 22.5}

#: Seconds between looks of the others, as in Klap's documents.
TASK_INTERVAL, EXPORT_INTERVAL = 30.0, 15.0


OURS, RESCHEDULE, POKE, SCRIPT = (
    "this project",
    "HttpOperator, HttpSensor in reschedule mode",
    "HttpOperator, HttpSensor in poke mode",
    "the script of Klap's documents",
)
DAGS = {OURS: "klap_generate_shorts", RESCHEDULE: "http_flow_reschedule", POKE: "http_flow_poke"}


@dataclass(frozen=True)
class Cost:
    """What one run cost: starts of workers, seconds of CPU, API calls, and seconds beyond the sandbox's own."""

    starts: int
    cpu: float
    calls: int
    beyond: float


def run() -> Section:
    """Measure."""
    costs: dict[tuple[int, str], list[Cost]] = defaultdict(list)

    def script_for(count: int) -> None:
        costs[count, SCRIPT].append(run_script(count))

    scripts = [threading.Thread(target=script_for, args=[count]) for count in EXPORT_SECONDS]
    for script in scripts:
        script.start()  # they sleep nearly all the time
    with tempfile.TemporaryDirectory(prefix="klap-bench-") as name, standing(Path(name)) as stage:
        for count in EXPORT_SECONDS:
            for contender in DAGS:
                if (
                    contender != POKE or count == 10
                ):  # its waits hold a worker each, four at a time: minutes, for no bar
                    costs[count, contender].append(stage.run(contender, count))
    for script in scripts:
        script.join()
    exports = " or ".join(f"{seconds:g}" for seconds in sorted(set(EXPORT_SECONDS.values())))
    order = [OURS, RESCHEDULE, POKE, SCRIPT]
    rows = [
        [
            str(count),
            contender,
            spread(cost.starts for cost in found),
            spread(cost.cpu for cost in found),
            spread(cost.calls for cost in found),
            spread(cost.beyond for cost in found),
        ]
        for (count, contender), found in sorted(costs.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    ]

    def beyond(contender: str) -> float:
        return statistics.median(cost.beyond for cost in costs[10, contender])

    return Section(
        name="whole_run",
        title="3. A whole run",
        said=(
            "A real Airflow (LocalExecutor, four tasks at a time) and a sandbox that takes "
            f"{TASK_SECONDS:g} s for the task and {exports} s for each export, the longer time with ten shorts. "
            f"The others look every {TASK_INTERVAL:g} and {EXPORT_INTERVAL:g} s, as Klap's documents do, and are half "
            "an interval late, as one is on average. Klap's own exports take five times as long and more, and cost "
            "reschedule mode as many more starts. "
            "CPU is that of all parts of Airflow and of its workers, less what it takes when idle. Beyond the "
            "sandbox's own: the run's time less one task and one export."
        ),
        table=Table(("shorts", "", "worker starts", "CPU, s", "API calls", "beyond the sandbox's own, s"), rows),
        bars=[
            *(
                Bar(
                    f"worker starts for {count} shorts",
                    max(cost.starts for cost in costs[count, OURS]),
                    4 + 3 * count,
                )
                for count in EXPORT_SECONDS
            ),
            Bar(
                "wall time beyond the sandbox's own, 10 shorts, against the HttpOperator flow in reschedule mode",
                beyond(OURS) / beyond(RESCHEDULE),
                0.5,
            ),
        ],
    )


class Stage:
    """An Airflow and a sandbox."""

    def __init__(self, airflow: LocalAirflow, sandbox: Sandbox, shorts: Path) -> None:
        self.airflow = airflow
        self.sandbox = sandbox
        self.shorts = shorts
        self.idle = 0.0

    def settle(self) -> None:
        """Wait until every DAG is there, let Airflow load what it loads once, and take what CPU it uses for nothing."""
        for dag_id in DAGS.values():
            self.airflow.wait_for(partial(self.airflow._has_dag, dag_id), seconds=180, what=dag_id)
        self.run(OURS, 1)
        before = self.cpu()
        time.sleep(20)
        self.idle = (self.cpu() - before) / 20

    def run(self, contender: str, count: int) -> Cost:
        """Run a DAG to its end."""
        self.sandbox.reset(task_seconds=TASK_SECONDS, export_seconds=EXPORT_SECONDS[count])
        starts, cpu, started = self.worker_starts(), self.cpu(), time.monotonic()
        dag_id = DAGS[contender]
        run_id = self.airflow.trigger(dag_id, self.conf(contender, count))
        state = self.airflow.wait_for_run(dag_id, run_id, seconds=900)
        cpu = self.cpu() - cpu - self.idle * (time.monotonic() - started)
        if state != "success" or len(self.sandbox.ledger("export")) != count:
            states = {each["task_id"]: each["state"] for each in self.airflow.task_instances(dag_id, run_id)}
            raise RuntimeError(f"{contender}, {count} shorts: {state}, {states}")
        times = self.airflow.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        took = datetime.fromisoformat(times["end_date"]) - datetime.fromisoformat(times["start_date"])
        beyond = took.total_seconds() - TASK_SECONDS - EXPORT_SECONDS[count]
        return Cost(self.worker_starts() - starts, cpu, len(self.sandbox.requests()), beyond)

    def conf(self, contender: str, count: int) -> Mapping[str, Any]:
        """Return what to trigger a run with."""
        if contender != OURS:
            return {"count": count}
        counts = {"max_clip_count": count, "target_clip_count": count, "limit": count, "max_duration": 1}
        return {"source_video_url": "https://example.com/talk.mp4", "destination": str(self.shorts), **counts}

    def worker_starts(self) -> int:
        """Return how many tasks were started on workers so far."""
        logs = (self.airflow.home / "logs").rglob("attempt=*.log")
        return sum(log.read_text(errors="replace").count("Worker startup parse complete") for log in logs)

    def cpu(self) -> float:
        """Return the seconds of CPU that all processes of this Airflow have taken so far."""
        total = 0.0
        for component in self.airflow.processes.values():
            root = psutil.Process(component.pid)
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    total += times.user + times.system + times.children_user + times.children_system
        return total


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Stage]:
    """Start an Airflow with all DAGs, and a sandbox."""
    dags = folder / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / "klap_generate_shorts.py", dags)
    shutil.copy(HERE / "dags" / "http_flow.py", dags)
    with Sandbox() as sandbox:
        connections: dict[str, dict[str, Any]] = {
            "klap_default": {"conn_type": "klap", "host": sandbox.url, "password": "kak_bench"},
            "klap_http": {"conn_type": "http", "host": sandbox.url, "extra": {"Authorization": "Bearer kak_bench"}},
        }
        with LocalAirflow(folder / "home", connections=connections, dags=dags) as airflow:
            stage = Stage(airflow, sandbox, folder / "shorts")
            stage.settle()
            yield stage


def run_script(count: int) -> Cost:
    """Run the script of Klap's documents, with a sandbox of its own."""
    with Sandbox(task_seconds=TASK_SECONDS, export_seconds=EXPORT_SECONDS[count]) as sandbox:
        started = time.monotonic()
        arguments = [sandbox.url, str(count), str(TASK_INTERVAL), str(EXPORT_INTERVAL)]
        command = [sys.executable, "-m", "benchmarks.docs_script", *arguments]
        cpu = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        took = time.monotonic() - started
        return Cost(0, cpu, len(sandbox.requests()), took - TASK_SECONDS - EXPORT_SECONDS[count])
