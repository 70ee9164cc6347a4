"""Machines of the cluster tests, which can be frozen, killed and disconnected."""

from __future__ import annotations

import signal
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import psycopg2

from demo.airflow import kill_group, signal_session
from demo.cluster import DESTINATION, MACHINE_COMPONENTS, MACHINES, SHORTS_BUCKET, Cluster
from tests.support.rig import DAG_ID, Rig, first_attempt
from tests.support.tcp_proxy import TcpProxy  # noqa: TC001  # NamedTuple resolves it

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.object_storage import ObjectStorage


class Lines(NamedTuple):
    """The proxies of a machine to Klap and to the API server."""

    klap: TcpProxy
    api: TcpProxy


@dataclass
class Machines(Rig):
    """
    The environment of a cluster test.

    :ivar s3: the storage of the deliveries.
    :ivar lines: the proxies of each machine.
    """

    s3: ObjectStorage = field(kw_only=True)
    lines: dict[str, Lines] = field(kw_only=True)

    @property
    def cluster(self) -> Cluster:
        """The Airflow."""
        return cast("Cluster", self.airflow)

    @property
    def destination(self) -> str:
        """Where runs deliver to."""
        return DESTINATION

    def files(self, folder: str) -> dict[str, bytes]:
        """Return what lies in a folder of the destination."""
        keys = [key for key in self.s3.keys(SHORTS_BUCKET) if key.startswith(f"{folder}/")]
        return {key.removeprefix(f"{folder}/"): self.s3.get(key, SHORTS_BUCKET) for key in keys}

    def machine_of(self, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Return where the latest try of a task ran."""
        (found,) = (
            ti["hostname"]
            for ti in self.airflow.task_instances(DAG_ID, run_id)
            if (ti["task_id"], ti["map_index"]) == (task_id, map_index)
        )
        return str(found)

    def talk(self, number: int) -> str:
        """Return the address of a video that no other run uses."""
        return f"{self.sandbox.sample}?talk={number}"

    def submit_review(self, run_id: str, count: int) -> None:
        """Submit a review with the first shorts."""
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/select_shorts/-1/hitlDetails"
        chosen = self.airflow.api("GET", path)["options"][:count]
        self.airflow.api("PATCH", path, json={"chosen_options": chosen, "params_input": {}})

    def answer(self, run_id: str) -> None:
        """Resolve an in-doubt submission from the sandbox's ledger, as a user does, and clear the run."""
        url = self.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}")["conf"]["source_video_url"]
        found = [billed["id"] for billed in self.sandbox.ledger("task") if billed["body"]["source_video_url"] == url]
        entry = first_attempt(run_id)
        self.record_decision("adopt", entry, found[0]) if found else self.record_decision("resend", entry, value=True)
        self.clear(run_id)

    @contextmanager
    def all_work_on(self, *machines: str) -> Iterator[None]:
        """Let the workers of the other machines take no further tasks before the end."""
        others = [other for other in MACHINES if other not in machines]
        self.take_no_tasks(*others)
        try:
            yield
        finally:
            self.take_tasks(*others)

    def take_no_tasks(self, *machines: str) -> None:
        """Let the workers of these machines take no further tasks."""
        self._control("cancel_consumer", machines)

    def take_tasks(self, *machines: str) -> None:
        """Let the workers of these machines take tasks again."""
        self._control("add_consumer", machines)

    def _control(self, command: str, machines: tuple[str, ...]) -> None:
        workers = [f"celery@{machine}" for machine in machines]

        def done() -> bool:
            answers = self.cluster.control_workers(command, {"queue": "default"}, destination=workers)
            return answers.keys() == set(machines)

        self.airflow.wait_for(done, seconds=60, what=f"{command} on {machines}")

    def arm_to_freeze(self, *moments: str) -> None:
        """Have a worker stopped at each of these moments."""
        for moment in moments:
            (self.failpoints / moment).write_text("freeze")

    def wait_until_frozen(self, *moments: str) -> str:
        """Return the machine on which the workers were stopped at these moments."""
        files = [self.failpoints / f"{moment}.frozen" for moment in moments]
        self.airflow.wait_for(lambda: all(file.exists() for file in files), seconds=240, what="the moments")
        (machine,) = {file.read_text() for file in files}
        for file in files:
            file.unlink()
        return machine

    @contextmanager
    def frozen_worker(self, machine: str) -> Iterator[None]:
        """Stop the worker of a machine with all its tasks. At the end, continue it until its tasks have ended."""
        worker = self.airflow.processes[f"worker@{machine}"]
        signal_session(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_session(worker, signal.SIGCONT)
        self.airflow.wait_for(lambda: self._is_idle(machine), seconds=90, what=f"worker@{machine} to be done")

    def _is_idle(self, machine: str) -> bool:
        return self.cluster.control_workers("active", destination=[f"celery@{machine}"]) == {machine: []}

    def hold(self, kind: str) -> None:
        """Have workers wait before their POSTs."""
        (self.failpoints / f"{kind}.hold").touch()

    def wait_until_held(self, kind: str) -> None:
        """Return when a worker waits before its POST."""
        held = self.failpoints / f"{kind}.held"
        self.airflow.wait_for(held.exists, seconds=120, what=f"the POST of the {kind}")

    def release(self, kind: str) -> None:
        """Let workers send their POSTs."""
        for word in ("hold", "held"):
            (self.failpoints / f"{kind}.{word}").unlink()

    @contextmanager
    def cut_off(self, wire: TcpProxy) -> Iterator[None]:
        """Cut a proxy, and restore it at the end."""
        self.tally.outages += 1
        wire.cut()
        try:
            yield
        finally:
            wire.restore()

    def check_runs(self, runs: list[str], *, due: tuple[int, int], delivered: int) -> None:
        """Wait until all runs have succeeded, and check them.

        :param due: paid POSTs of all runs.
        :param delivered: shorts of each run.
        """
        for run_id in runs:
            assert self.airflow.wait_for_run(DAG_ID, run_id, seconds=150) == "success"
        for run_id in runs:
            self.check_run(run_id, due=due, delivered=delivered)

    def end(self) -> None:
        """Complete the tally, and continue the processes that a failed test left frozen."""
        for machine in MACHINES:
            signal_session(self.airflow.processes[f"worker@{machine}"], signal.SIGCONT)
        super().end()

    def restart_gently(self, *names: str) -> None:
        """Restart components as a deployment does, and return when all are healthy."""
        processes = [self.airflow.processes[name] for name in names]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
            kill_group(process)
        self.revive()

    def waits(self) -> dict[str, int]:
        """Return the number of waits of each machine's triggerer."""
        query = "SELECT hostname, count(*) FROM trigger JOIN job ON job.id = triggerer_id GROUP BY hostname"
        return dict(self._query(query))

    def wait_for_heartbeats(self) -> None:
        """Wait until every running scheduler and triggerer has sent a heartbeat."""
        ((now,),) = self._query("SELECT now()")
        query = "SELECT lower(replace(job_type, 'Job', '')) || '@' || hostname FROM job WHERE latest_heartbeat > %s"

        def all_alive() -> bool:
            heard = {name for (name,) in self._query(query, now)}
            running = {name for name, process in self.airflow.processes.items() if process.poll() is None}
            return {name for name in running if name.startswith(("scheduler@", "triggerer@"))} <= heard

        self.airflow.wait_for(all_alive, seconds=60, what="heartbeats")

    def _query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.cluster.postgres.address())) as database, database.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def kill_machine(self, machine: str) -> None:
        """Kill all processes of a machine."""
        self.tally.kills += 1
        for name in MACHINE_COMPONENTS:
            signal_session(self.airflow.processes[f"{name}@{machine}"], signal.SIGKILL)
        for name in MACHINE_COMPONENTS:
            kill_group(self.airflow.processes[f"{name}@{machine}"])
