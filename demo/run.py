"""Run a Dag for one video and print its progress and its result; and the sandbox that stands in for Klap."""

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

from demo.airflow import FINISHED, ROOT, ApiError, LocalAirflow, free_ports, kill_group, listen_error, without_proxy
from klap_provider.xcoms import ERROR_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = re.compile(r"^Klap sandbox: (\S+)\s+\(sample video: (\S+)\)")
#: What is printed for a state of a task instance where Airflow's own word would not tell.
WORDS = {
    "deferred": "waiting",
    "upstream_failed": "not reached",
    "awaiting_input": "waiting for an answer",
    "up_for_retry": "failed, will be retried",
}
#: Seconds without a change after which a line says what the run waits for.
SILENCE = 60

started = time.monotonic()


def say(text: str) -> None:
    """Print a line with the minutes and seconds since the start."""
    seconds = int(time.monotonic() - started)
    print(f"{seconds // 60:02}:{seconds % 60:02}  {text}", flush=True)


@contextmanager
def sandbox(*, keep: Path | None = None, port: int = 0) -> Iterator[tuple[str, str]]:
    """
    Run a sandbox, and yield the addresses of its API and of its sample video.

    :param keep: the folder that it keeps its jobs in; None: it forgets them when it ends.
    :param port: its port; 0: a free one.
    """
    command = [sys.executable, "-m", "klap_sandbox", "--task-seconds", "5", "--export-seconds", "3"]
    command += ["--port", str(port), *(["--keep", str(keep)] if keep else [])]
    environ = {**os.environ, **without_proxy(os.environ)}
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, start_new_session=True)
    try:
        line = process.stdout.readline().decode() if process.stdout else ""
        address = ADDRESS.match(line)
        if address is None:
            raise RuntimeError("The sandbox did not start. What it printed is above.")
        yield address[1], address[2]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        kill_group(process)


def kept_port(folder: Path) -> int:
    """Return the port that a sandbox with this folder had before; a free one if there is none, or it is taken."""
    file = folder / "sandbox.port"
    port = int(file.read_text(encoding="utf-8")) if file.exists() else 0
    if not port or listen_error(port):
        (port,) = free_ports(1)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(str(port))
    return port


def run(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any]) -> str:
    """
    Trigger a Dag, print each change of its tasks until the run has ended, and return the run's id.

    :raises RuntimeError: the Dag is paused, so the run would never start; or a component of Airflow has ended.
    """
    airflow.wait_for(lambda: airflow.has_dag(dag_id), seconds=300, what=f"the Dag {dag_id}")
    if airflow.api("GET", f"/dags/{dag_id}")["is_paused"]:
        raise RuntimeError(f"The Dag {dag_id} is paused. Unpause it in the UI of make up, then run this command again.")
    run_id = airflow.trigger(dag_id, conf)
    say(f"Run {run_id}: {airflow.url}/dags/{dag_id}/runs/{run_id}")
    shown: dict[str, str] = {}
    told: set[str] = set()
    changed = time.monotonic()
    while True:
        airflow.require_alive()
        state = airflow.run_state(dag_id, run_id)
        found = sorted(airflow.task_instances(dag_id, run_id), key=lambda ti: ti["start_date"] or "")
        for step, text in states(found).items():
            if shown.get(step) != text:
                shown[step] = text
                changed = time.monotonic()
                say(f"  {step:<16}{text}")
        for ti in found:
            reason = reason_of(airflow, ti) if ti["state"] == "up_for_retry" else None
            if reason and reason not in told:
                told.add(reason)
                say(f"  {label(ti)}: {reason}")
        if state in FINISHED:
            say(f"The run ended: {state}")
            return run_id
        if time.monotonic() > changed + SILENCE:
            changed = time.monotonic()
            open_steps = [f"{step} ({text})" for step, text in states(found, ended=False).items()]
            say(f"  still running: {', '.join(open_steps) or 'the scheduler starts the next task'}")
        time.sleep(1)


def states(found: list[dict[str, Any]], *, ended: bool = True) -> dict[str, str]:
    """
    Return what to print for each task that has started.

    :param found: task instances, in the order of their start.
    :param ended: whether to include those that have ended.
    """
    hidden = {None, "scheduled", "queued", "removed", *(() if ended else ("success", "failed", "skipped"))}
    counts: dict[str, Counter[str]] = {}
    for ti in found:
        if ti["state"] not in hidden:
            counts.setdefault(ti["task_id"], Counter())[WORDS.get(ti["state"], ti["state"])] += 1
    return {
        task_id.rpartition(".")[2]: ", ".join(
            f"{number} {word}" if "." in task_id else word for word, number in count.items()
        )
        for task_id, count in counts.items()
    }


def label(ti: dict[str, Any]) -> str:
    """Return what a task instance is called in a line of text: its task, and its short if it has one."""
    step = str(ti["task_id"]).rpartition(".")[2]
    return f"{step} of {ti['rendered_map_index']!r}" if ti["map_index"] >= 0 and ti["rendered_map_index"] else step


def reason_of(airflow: LocalAirflow, ti: dict[str, Any]) -> str | None:
    """Return the error that a task instance left for users, or None if it left none."""
    try:
        where = ti["dag_id"], ti["dag_run_id"], ti["task_id"]
        return str(airflow.xcom(*where, key=ERROR_KEY, map_index=ti["map_index"])["error"])
    except (ApiError, TypeError, KeyError):
        return None


def report(airflow: LocalAirflow, dag_id: str, run_id: str) -> bool:
    """Print what a run delivered, or why it failed and what to do; return whether all is there."""
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
    tally = f"Delivered: {len(delivered)}. The others are missing." if delivered else "Nothing was delivered."
    print(f"\nThe run {'succeeded' if success else 'failed'}. {tally}")
    for reason in reasons(airflow, dag_id, run_id):
        print(f"\n{reason}")
    print(f"\nThe logs of its tasks: {airflow.home / 'logs' / f'dag_id={dag_id}' / f'run_id={run_id}'}", flush=True)
    return False


def reasons(airflow: LocalAirflow, dag_id: str, run_id: str) -> list[str]:
    """Return why tasks of a run failed, each reason once."""
    failed = [ti for ti in airflow.task_instances(dag_id, run_id) if ti["state"] == "failed"]
    failed.sort(key=lambda ti: (ti["end_date"] or "", ti["map_index"]))
    by_reason: dict[str, list[str]] = {}
    for ti in failed:
        by_reason.setdefault(reason_of(airflow, ti) or "The task left no reason. Its log has one.", []).append(
            label(ti)
        )
    # What comes last sums up what failed before it.
    texts = list(by_reason)
    texts = texts if len(texts) == 1 else [text for text in texts if by_reason[text] != ["publish"]]
    return [f"{', '.join(by_reason[text])}: {text}" for text in texts]


def manifest_of(airflow: LocalAirflow, dag_id: str, run_id: str) -> Path | None:
    """Return the manifest that a run wrote to a folder of this machine, or None if it wrote none."""
    with suppress(ApiError, TypeError, KeyError):
        task = airflow.xcom(dag_id, run_id, "submit")
        file: Path = Path(task["destination"]) / task["klap_task_id"] / "manifest.json"
        if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["run_id"] == run_id:
            return file
    return None
