"""Run a Dag for one video and print its progress and result. Run the sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.airflow import FINISHED, ROOT, ApiError, LocalAirflow, free_ports, kill_group, port_error, without_proxy
from klap_provider.xcoms import ERROR_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESSES = re.compile(r"^Klap sandbox: (\S+)\s+\(sample video: (\S+)\)")
#: Names of task states that are clearer than Airflow's.
STATE_NAMES = {
    "deferred": "waiting",
    "upstream_failed": "not reached",
    "awaiting_input": "waiting for a review",
    "up_for_retry": "failed, will be retried",
}
#: Seconds without a change after which the open tasks are printed.
REPORT_SECONDS = 60

started = time.monotonic()


def print_step(text: str) -> None:
    """Print a line with the time since the start."""
    seconds = int(time.monotonic() - started)
    print(f"{seconds // 60:02}:{seconds % 60:02}  {text}", flush=True)


@contextmanager
def sandbox(*, keep: Path | None = None, port: int = 0) -> Iterator[tuple[str, str]]:
    """
    Run a sandbox, and yield the addresses of its API and its sample video.

    :param keep: the folder for its jobs; None = they are not kept.
    :param port: its port; 0 = a free one.
    """
    command = [sys.executable, "-m", "klap_sandbox", "--task-seconds", "5", "--export-seconds", "3"]
    command += ["--port", str(port), *(["--keep", str(keep)] if keep else [])]
    environ = {**os.environ, **without_proxy(os.environ)}
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, start_new_session=True)
    try:
        line = process.stdout.readline().decode() if process.stdout else ""
        address = ADDRESSES.match(line)
        if address is None:
            raise RuntimeError("The sandbox did not start. See its output above.")
        yield address[1], address[2]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        kill_group(process)


def sandbox_port(folder: Path) -> int:
    """Return the port that the folder's sandbox had before; a free one if it had none or that is in use."""
    file = folder / "sandbox.port"
    port = int(file.read_text(encoding="utf-8")) if file.exists() else 0
    if not port or port_error(port):
        (port,) = free_ports(1)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(str(port))
    return port


def run(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any]) -> str:
    """
    Trigger a Dag, print the progress of its tasks until the run ends, and return the run id.

    :raises RuntimeError: the Dag is paused, or a component of Airflow has exited.
    """
    airflow.wait_for(lambda: airflow.has_dag(dag_id), seconds=300, what=f"the Dag {dag_id}")
    if airflow.api("GET", f"/dags/{dag_id}")["is_paused"]:
        raise RuntimeError(f"The Dag {dag_id} is paused. Unpause it in the UI of make up, and run this command again.")
    run_id = airflow.trigger(dag_id, conf)
    print_step(f"Run {run_id}: {airflow.url}/dags/{dag_id}/runs/{run_id}")
    shown: dict[str, str] = {}
    printed: set[str] = set()
    changed = time.monotonic()
    while True:
        airflow.require_alive()
        state = airflow.run_state(dag_id, run_id)
        found = sorted(airflow.task_instances(dag_id, run_id), key=lambda ti: ti["start_date"] or "")
        for step, text in states(found).items():
            if shown.get(step) != text:
                shown[step] = text
                changed = time.monotonic()
                print_step(f"  {step:<16}{text}")
        for ti in found:
            error = error_of(airflow, ti) if ti["state"] == "up_for_retry" else None
            if error and error not in printed:
                printed.add(error)
                print_step(f"  {label(ti)}: {error}")
        if state in FINISHED:
            print_step(f"The run ended: {state}")
            return run_id
        if time.monotonic() > changed + REPORT_SECONDS:
            changed = time.monotonic()
            open_steps = [f"{step} ({text})" for step, text in states(found, ended=False).items()]
            print_step(f"  still running: {', '.join(open_steps) or 'the scheduler has not started the next task yet'}")
        time.sleep(1)


def states(found: list[dict[str, Any]], *, ended: bool = True) -> dict[str, str]:
    """
    Return the text to print for each started task.

    :param found: task instances, in the order of their start.
    :param ended: whether to include tasks that have ended.
    """
    hidden = {None, "scheduled", "queued", "removed", *(() if ended else ("success", "failed", "skipped"))}
    counts: dict[str, Counter[str]] = {}
    for ti in found:
        if ti["state"] not in hidden:
            counts.setdefault(ti["task_id"], Counter())[STATE_NAMES.get(ti["state"], ti["state"])] += 1
    return {
        task_id.rpartition(".")[2]: ", ".join(
            f"{number} {word}" if "." in task_id else word for word, number in count.items()
        )
        for task_id, count in counts.items()
    }


def label(ti: dict[str, Any]) -> str:
    """Return the name of a task instance: its task, and its short if it has one."""
    step = str(ti["task_id"]).rpartition(".")[2]
    return f"{step} of {ti['rendered_map_index']!r}" if ti["map_index"] >= 0 and ti["rendered_map_index"] else step


def error_of(airflow: LocalAirflow, ti: dict[str, Any]) -> str | None:
    """Return the error that a task instance recorded, or None."""
    try:
        where = ti["dag_id"], ti["dag_run_id"], ti["task_id"]
        return str(airflow.xcom(*where, key=ERROR_KEY, map_index=ti["map_index"])["error"])
    except (ApiError, TypeError, KeyError):
        return None


def report(airflow: LocalAirflow, dag_id: str, run_id: str) -> bool:
    """Print the delivered shorts of a run and the errors of its tasks; return whether all shorts were delivered."""
    success = airflow.run_state(dag_id, run_id) == "success"
    manifest = manifest_of(airflow, dag_id, run_id)
    delivered = json.loads(manifest.read_text(encoding="utf-8"))["delivered"] if manifest else []
    if delivered:
        print(f"\n{'score':>5}  {'MB':>6}  short")
    for short in delivered:
        score = "–" if short["virality_score"] is None else short["virality_score"]
        print(f"{score:>5}  {short['size'] / 1e6:>6.1f}  {short['short_name']}")
        print(f"{'':15}{short['path'].removeprefix('file://')}")
    if delivered:
        print(f"\nManifest: {manifest}")
    if success and delivered:
        return True
    tally = f"Shorts delivered: {len(delivered)}. The others are missing." if delivered else "Nothing was delivered."
    print(f"\nThe run {'succeeded' if success else 'failed'}. {tally}")
    for error in errors_of(airflow, dag_id, run_id):
        print(f"\n{error}")
    print(f"\nTask logs: {airflow.home / 'logs' / f'dag_id={dag_id}' / f'run_id={run_id}'}", flush=True)
    return False


def errors_of(airflow: LocalAirflow, dag_id: str, run_id: str) -> list[str]:
    """Return the errors of a run's failed tasks, each text once."""
    failed = [ti for ti in airflow.task_instances(dag_id, run_id) if ti["state"] == "failed"]
    failed.sort(key=lambda ti: (ti["end_date"] or "", ti["map_index"]))
    tasks_by_error: dict[str, list[str]] = {}
    for ti in failed:
        tasks_by_error.setdefault(error_of(airflow, ti) or "The task recorded no error. See its log.", []).append(
            label(ti)
        )
    # The error of publish repeats the others.
    texts = list(tasks_by_error)
    texts = texts if len(texts) == 1 else [text for text in texts if tasks_by_error[text] != ["publish"]]
    return [f"{', '.join(tasks_by_error[text])}: {text}" for text in texts]


def manifest_of(airflow: LocalAirflow, dag_id: str, run_id: str) -> Path | None:
    """Return the manifest file of a run on this machine, or None."""
    with suppress(ApiError, TypeError, KeyError):
        task = airflow.xcom(dag_id, run_id, "submit")
        file: Path = Path(task["destination"]) / task["klap_task_id"] / "manifest.json"
        if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["run_id"] == run_id:
            return file
    return None
