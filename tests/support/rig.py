"""The environment of the chaos tests: an Airflow, a sandbox, and a count of faults and paid requests."""

from __future__ import annotations

import hashlib
import json
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.airflow import FINISHED, LocalAirflow, kill_group
from klap_provider.rules.ledger_keys import submission_log
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox import Sandbox
    from tests.support.tcp_proxy import TcpProxy

DAG_ID = "klap_chaos"


def first_attempt(run_id: str) -> str:
    """Return the ledger's key of a run's first attempt to submit its video."""
    return f"{submission_log(DAG_ID, run_id, 'submit', -1)}.0"


#: With these settings Airflow notices a failed process within seconds instead of minutes.
SHORT_HEARTBEATS = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
}

#: Airflow parses a Dag file rarely, except when a test requests it, as parsing needs much CPU. A new version counts at
#: once; by default, Airflow drops one that comes within 30 s of the last one.
RARE_PARSING = {
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
}


@dataclass
class Tally:
    """
    The tally of a test.

    :ivar faults: requests that got a fault.
    :ivar kills: processes killed.
    :ivar outages: number of outages of Klap.
    :ivar due: expected number of paid POSTs, for tasks and for exports.
    :ivar paid: actual number of paid POSTs.
    :ivar unknown: runs that stopped because a POST was in doubt.
    :ivar shorts: number of selected, delivered and missing shorts, by run.
    """

    test: str
    faults: int = 0
    kills: int = 0
    outages: int = 0
    due: tuple[int, int] = (0, 0)
    paid: tuple[int, int] = (0, 0)
    unknown: int = 0
    shorts: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def figures(self) -> list[int]:
        """Return the figures of a line of the report."""
        shorts = [sum(numbers) for numbers in zip(*self.shorts.values(), strict=True)] or [0, 0, 0]
        events = [self.faults, self.kills, self.outages]
        return [*events, self.due[0], self.paid[0], self.due[1], self.paid[1], self.unknown, *shorts]


def ledger_id(airflow: LocalAirflow) -> int:
    """Return Airflow's id of the ledger."""
    (asset,) = airflow.api("GET", "/assets", params={"name_pattern": LEDGER})["assets"]
    return int(asset["id"])


def ledger_rows(airflow: LocalAirflow) -> dict[str, Any]:
    """Return the rows of the ledger."""
    rows: dict[str, Any] = {}
    path = f"/assets/{ledger_id(airflow)}/state-store"
    while True:
        answer = airflow.api("GET", path, params={"limit": 100, "offset": len(rows)})
        rows |= {row["key"]: row["value"] for row in answer["asset_state_store"]}
        if len(rows) >= answer["total_entries"]:
            return rows


@dataclass
class Rig:
    """
    The environment of a chaos test.

    :ivar wire: the proxy between Airflow and the sandbox; the test connects directly.
    :ivar failpoints: the folder that ``failpoints/sitecustomize.py`` reads.
    :ivar shorts: the folder of the deliveries.
    :ivar started: the ids of all runs, including those of earlier tests.
    """

    airflow: LocalAirflow
    sandbox: Sandbox
    wire: TcpProxy
    api_key: str
    failpoints: Path
    shorts: Path
    tally: Tally = field(default_factory=lambda: Tally("none"))
    started: list[str] = field(default_factory=list)
    lines_before: set[str] = field(default_factory=set)

    def start(self, *, run_id: str | None = None, **conf: Any) -> str:
        """Start a run of two shorts, and return its id."""
        run_id = self.airflow.trigger(
            DAG_ID,
            {"source_video_url": self.sandbox.sample, "limit": 2, "destination": self.destination, **conf},
            run_id=run_id,
        )
        self.started.append(run_id)
        return run_id

    @property
    def destination(self) -> str:
        """The destination of the runs."""
        return str(self.shorts)

    def delete(self, run_id: str) -> None:
        """Delete a run that has ended."""
        self.airflow.api("DELETE", f"/dags/{DAG_ID}/dagRuns/{run_id}")
        self.started.remove(run_id)

    def clear(self, run_id: str, *, only_failed: bool = False) -> None:
        """Clear a run that has ended, as a user would."""
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/clear"
        self.airflow.api("POST", path, json={"dry_run": False, "only_failed": only_failed})
        self.airflow.wait_for(lambda: not self.has_ended(run_id), seconds=30, what="the clear")

    def ledger(self) -> dict[str, Any]:
        """Return the rows of Airflow's own ledger."""
        return ledger_rows(self.airflow)

    def record_decision(self, word: str, entry: str, value: Any) -> None:
        """Record a decision, as the user does in the state store of the ledger."""
        self.write_row(f"{word}.{entry}", value)

    def write_row(self, key: str, value: Any) -> None:
        """Write a row of the ledger."""
        self.airflow.api("PUT", f"/assets/{ledger_id(self.airflow)}/state-store/{key}", json={"value": value})

    def resolve_submission(self, run_id: str) -> None:
        """Resolve the submission in doubt of a run by the jobs of the sandbox, and clear the run."""
        error, entry = self.error_of(run_id, "submit")["error"], first_attempt(run_id)
        assert f"adopt.{entry}" in error
        assert f"resend.{entry}" in error
        found = [billed["id"] for billed in self.sandbox.ledger("task")]
        self.record_decision("adopt", entry, found[0]) if found else self.record_decision("resend", entry, value=True)
        self.clear(run_id)

    def delete_decision(self, word: str, entry: str) -> None:
        """Delete a decision."""
        self.airflow.api("DELETE", f"/assets/{ledger_id(self.airflow)}/state-store/{word}.{entry}")

    def check_run(
        self,
        run_id: str,
        state: str = "success",
        *,
        due: tuple[int, int],
        delivered: int,
        missing: int = 0,
        unknown: bool = False,
    ) -> dict[str, Any]:
        """
        Wait for the end of a run, check its paid requests and shorts, and return its manifest.

        :param state: the run's final state.
        :param due: expected number of paid POSTs of the test so far, for tasks and for exports.
        :param delivered: shorts in storage.
        :param missing: shorts that the manifest names as missing.
        :param unknown: the run stopped because its POST is in doubt.
        """
        assert self.airflow.wait_for_run(DAG_ID, run_id, seconds=300) == state
        self.tally.due, self.tally.paid = due, self.paid()
        assert self.tally.paid == due
        if unknown:
            self.tally.unknown += 1
            assert self.error_of(run_id, "submit")["type"] == "KlapSubmitUncertainError"
        selected = {short["project_id"] for short in self.returned(run_id, "select_shorts") or []}
        manifest = self._manifest(run_id)
        accounted = [short["project_id"] for short in manifest["delivered"] + manifest["missing"]]
        assert sorted(selected) == sorted(accounted), "every selected short is delivered or named"
        assert (len(manifest["delivered"]), len(manifest["missing"])) == (delivered, missing)
        self.tally.shorts[run_id] = len(selected), delivered, missing
        return manifest

    def _manifest(self, run_id: str) -> dict[str, Any]:
        """Return the manifest, if there is one, and check the files beside it."""
        submitted = self.returned(run_id, "submit")
        if submitted is None:
            return {"delivered": [], "missing": []}
        files = self.files(submitted["klap_task_id"])
        manifest: dict[str, Any] = json.loads(files["manifest.json"])
        digests = {
            name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name.endswith(".mp4")
        }
        beside = {name.replace(".mp4", ".json") for name in digests}
        others = {name for name in files.keys() - digests.keys() if not name.startswith("runs/")}
        assert others <= {*beside, "manifest.json"}
        assert len(set(digests.values())) <= 1, "whole files: the sandbox's videos are all the same"
        for short in manifest["delivered"]:
            assert digests[Path(short["path"]).name] == short["sha256"]
        return manifest

    def files(self, folder: str) -> dict[str, bytes]:
        """Return the files below a folder of the destination."""
        there = self.shorts / folder
        return {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()}

    def has_ended(self, run_id: str) -> bool:
        """Return whether the run is in a final state."""
        return self.airflow.run_state(DAG_ID, run_id) in FINISHED

    def forget_task_state(self, run_id: str) -> None:
        """Empty the state stores of all task instances of a run, as a clear does from Airflow 3.4 on."""
        for ti in self.airflow.task_instances(DAG_ID, run_id):
            path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{ti['task_id']}/state-store"
            self.airflow.api("DELETE", path, params={"map_index": ti["map_index"]})

    def deploy(self, **defaults: Any) -> None:
        """Deploy the Dag with these form defaults (none = as shipped), and return when Airflow has it."""
        file = self.failpoints / "deployed"
        before = self._version()
        file.write_text(json.dumps(defaults)) if defaults else file.unlink()
        self._have_the_dag_read()
        self.airflow.wait_for(lambda: self._version() != before, seconds=120, what="the new version of the DAG")

    def _have_the_dag_read(self) -> None:
        token = self.airflow.api("GET", f"/dags/{DAG_ID}")["file_token"]
        self.airflow.api("PUT", f"/parseDagFile/{token}")

    def _version(self) -> int:
        return int(self.airflow.api("GET", f"/dags/{DAG_ID}/details")["latest_dag_version"]["version_number"])

    def wait_until(self, run_id: str, task_id: str, state: str, count: int = 1) -> None:
        """Wait until this number of instances of the task are in the state."""

        def reached() -> bool:
            found = [(ti["task_id"], ti["state"]) for ti in self.airflow.task_instances(DAG_ID, run_id)]
            return found.count((task_id, state)) >= count

        self.airflow.wait_for(reached, seconds=120, what=f"{task_id} to be {state}")

    def wait_until_triggered(self, run_id: str, task_id: str, triggerers: int = 1) -> None:
        """Wait until this number of triggerers, one after the other, have run the wait of a task."""
        self.airflow.wait_for(
            lambda: len({log.name for log in self._logs(run_id, task_id) if ".trigger." in log.name}) >= triggerers,
            seconds=120,
            what=f"triggerer {triggerers} for {task_id}",
        )

    def wait_until_logged(self, run_id: str, task_id: str, words: str) -> None:
        """Wait until a task has logged these words."""
        self.airflow.wait_for(
            lambda: any(words in log.read_text() for log in self._logs(run_id, task_id)),
            seconds=60,
            what=f"{task_id} to log {words!r}",
        )

    def _logs(self, run_id: str, task_id: str) -> Iterator[Path]:
        folder = Path("logs", f"dag_id={DAG_ID}", f"run_id={run_id}", f"task_id={task_id}")
        for home in {component.home for component in self.airflow.components.values()}:
            yield from (home / folder).rglob("*.log")

    def paid(self) -> tuple[int, int]:
        """Return the paid POSTs: for tasks, for exports."""
        return len(self.sandbox.ledger("task")), len(self.sandbox.ledger("export"))

    def returned(self, run_id: str, task_id: str) -> Any:
        """Return what a task returned, or None if it has not."""
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        entries = self.airflow.api("GET", path)["xcom_entries"]
        if all(entry["key"] != "return_value" for entry in entries):
            return None
        return self.airflow.xcom(DAG_ID, run_id, task_id)

    def error_of(self, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the recorded error of a failed task."""
        error: dict[str, Any] = self.airflow.xcom(DAG_ID, run_id, task_id, key="klap_error")
        return error

    def arm(self, *moments: str) -> None:
        """Have a worker killed at each of these moments, as ``failpoints/sitecustomize.py`` names them."""
        for moment in moments:
            (self.failpoints / moment).touch()
        self.tally.kills += len(moments)

    def meet_refusal_at_the_post(self, run_id: str, task_id: str, kind: str) -> None:
        """Have Klap refuse connections from just before a worker's POST until the worker has logged the refusal."""
        hold, held = self.failpoints / f"{kind}.hold", self.failpoints / f"{kind}.held"
        hold.touch()
        self.airflow.wait_for(held.exists, seconds=60, what=f"the POST of {task_id}")
        with self.outage():
            hold.unlink()
            self.wait_until_logged(run_id, task_id, "cannot be reached")
        held.unlink()

    @contextmanager
    def unfinished(self, kind: str) -> Iterator[None]:
        """Let Klap finish no task, or no export, before the end: a wait lasts as long as the test needs it."""
        path = {"task": "^/tasks/", "export": "/exports/"}[kind]
        unfinished = {"id": "unfinished", "status": "processing"}
        self.sandbox.fault("GET", path, "status", times=None, code=200, body=unfinished)
        yield
        self.sandbox.clear_faults()
        self.tally.faults -= self._met_faults()  # these were none

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let Klap refuse connections, and accept them again at the end."""
        self.tally.outages += 1
        self.wire.cut()
        try:
            yield
        finally:
            self.wire.restore()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Let Klap accept connections without a response."""
        self.tally.outages += 1
        self.sandbox.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.sandbox.process.send_signal(signal.SIGCONT)

    def kill(self, component: str) -> None:
        """Kill -9 a component of Airflow with its children."""
        self.tally.kills += 1
        kill_group(self.airflow.processes[component])

    def restart(self, component: str) -> None:
        """Start a killed component, and return when Airflow is healthy."""
        self.airflow.start_component(component)
        self.airflow.wait_for(self.airflow.healthy, seconds=120, what=f"a new {component}")

    def revive(self) -> None:
        """Restart components that have ended, as a service manager does, and return when Airflow is healthy."""
        self.airflow.wait_for(self._is_revived, seconds=120, what="Airflow to be healthy")

    def _is_revived(self) -> bool:
        for name, process in self.airflow.processes.items():
            if process.poll() is not None:
                self.airflow.start_component(name)
        return self.airflow.healthy()

    def _met_faults(self) -> int:
        return sum(request["fault"] is not None for request in self.sandbox.requests())

    @contextmanager
    def month_of(self, now: str) -> Iterator[None]:
        """Let a time, in ISO 8601, decide which month it is for monthly limits."""
        file = self.failpoints / "now"
        file.write_text(now)
        yield
        file.unlink()

    def patience(self, seconds: float | None) -> None:
        """Set the timeout of the waits that begin or resume from now on; None = as shipped."""
        file = self.failpoints / "patience"
        if seconds is None:
            file.unlink()
        else:
            file.write_text(str(seconds))

    def begin(self, test: str) -> Tally:
        """Reset the environment for a test, and return its tally."""
        leftovers = list(self.failpoints.iterdir())
        for leftover in leftovers:
            leftover.unlink()
        self.revive()
        self.sandbox.reset(task_seconds=1, export_seconds=1)
        self.airflow.wait_for(lambda: self.airflow.has_dag(DAG_ID), seconds=120, what="the DAG")
        if leftovers:
            self._have_the_dag_read()
        self.lines_before = self._lines()
        self.tally = Tally(test)
        return self.tally

    def end(self) -> None:
        """Complete the tally, and check that all faults of the test were applied."""
        self.tally.faults += self._met_faults()
        for run_id in self.started:
            if not self.has_ended(run_id):
                path = f"/dags/{DAG_ID}/dagRuns/{run_id}"
                self.airflow.api("PATCH", path, json={"state": "failed"})
        assert list(self.failpoints.iterdir()) == [], "armed, but it never went off"
        new = self._lines() - self.lines_before
        assert new == {billed["id"] for billed in self.sandbox.ledger()}, "the ledger says what Klap bills"

    def _lines(self) -> set[str]:
        """Return the ids of the POSTs that Airflow's ledger has a line for."""
        return {row["id"] for name, row in self.ledger().items() if name.startswith("paid.") and "entry" in row}
