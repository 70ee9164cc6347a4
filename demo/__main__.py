"""
``make demo``: from nothing to finished MP4 files, with progress. ``make up``: the same Airflow, left running.
``make cluster``: several machines' worth of it.

Without ``KLAP_API_KEY`` a sandbox takes Klap's place, and its sample video that of ``VIDEO_URL``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from demo.airflow import FINISHED, ROOT, LocalAirflow, kill_group
from demo.cluster import DESTINATION, SHORTS_BUCKET, Cluster
from demo.servers import S3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What ``make demo`` runs unless ``DAG`` names another one of those in dags/.
DAG_ID = "klap_generate_shorts"
HOME = ROOT / ".airflow"
SHORTS = ROOT / "shorts"
ADDRESS = re.compile(r"^Klap sandbox: (\S+)\s+\(sample video: (\S+)\)")

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

started = time.monotonic()


def say(text: str) -> None:
    """Print a line with the minutes and seconds since the start."""
    seconds = int(time.monotonic() - started)
    print(f"{seconds // 60:02}:{seconds % 60:02}  {text}", flush=True)


@contextmanager
def sandbox() -> Iterator[tuple[str, str]]:
    """Run a sandbox and give the addresses of its API and of its sample video."""
    command = [sys.executable, "-m", "klap_sandbox", "--port", "0", "--task-seconds", "5", "--export-seconds", "3"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    try:
        line = process.stdout.readline().decode() if process.stdout else ""
        address = ADDRESS.match(line)
        if address is None:
            raise RuntimeError(f"the sandbox did not start: {line!r}")
        yield address[1], address[2]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        kill_group(process)


def run(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any]) -> str:
    """Trigger a DAG, print each change of its tasks, and return the run's id."""
    run_id = airflow.trigger(dag_id, conf)
    say(f"Run {run_id}: {airflow.url}/dags/{dag_id}/runs/{run_id}")
    shown: dict[str, str] = {}
    while True:
        state = airflow.run_state(dag_id, run_id)
        states: dict[str, Counter[str]] = {}
        for ti in sorted(airflow.task_instances(dag_id, run_id), key=lambda ti: ti["start_date"] or ""):
            if ti["state"] not in (None, "scheduled", "queued", "removed"):
                states.setdefault(ti["task_id"], Counter())[ti["state"]] += 1
        for step, count in states.items():
            text = ", ".join(f"{number} {word}" if "." in step else word for word, number in count.items())
            if shown.get(step) != text:
                shown[step] = text
                say(f"  {step.rpartition('.')[2]:<16}{text}")
        if state in FINISHED:
            say(f"The run ended: {state}")
            return run_id
        time.sleep(1)


def watch(cluster: Cluster) -> None:
    """Print what runs where, and whatever dies; start that again, as who runs a service does."""
    servers = {"PostgreSQL": cluster.postgres, "Redis": cluster.redis}
    for name, process in cluster.processes.items():
        print(f"  {name:<16}{process.pid:>8}   {cluster.components[name].home}")
    for name, server in servers.items():
        print(f"  {name:<16}{server.pid:>8}   {server.url}")
    print("\nKill what you like. Ctrl+C stops it all.\n", flush=True)
    while True:
        time.sleep(1)
        for name, process in list(cluster.processes.items()):
            if process.poll() is not None:
                kill_group(process)  # what it has left
                cluster.start_component(name)
                say(f"{name} ({process.pid}) has died; started again: {cluster.processes[name].pid}")
        for name, server in servers.items():
            if server.has_died():
                server.stop()
                server.start()
                say(f"{name} has died; started again: {server.pid}")


def report(manifest: Path) -> bool:
    """Print what was delivered and what is missing; return whether all is there."""
    found = json.loads(manifest.read_text())
    print(f"\n{'score':>5}  {'MB':>6}  short")
    for short in found["delivered"]:
        score = "–" if short["virality_score"] is None else short["virality_score"]
        print(f"{score:>5}  {short['size'] / 1e6:>6.1f}  {short['short_name']}")
        print(f"{'':15}{short['path'].removeprefix('file://')}")
    for short in found["missing"]:
        print(f"      missing  {short['short_name']}: {short['step']}: {short['error']}")
    print(f"\nManifest: {manifest}")
    return bool(found["delivered"]) and not found["missing"]


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", choices=("demo", "up", "cluster"), help="demo: one run, then stop; else: go on")
    command = parser.parse_args().command
    api_key, video_url = os.environ.get("KLAP_API_KEY"), os.environ.get("VIDEO_URL")
    dag_id = os.environ.get("DAG", DAG_ID)
    with ExitStack() as stack:
        if api_key:
            if command == "demo" and not video_url:
                parser.error("with KLAP_API_KEY, which costs money, VIDEO_URL says which video to use")
            connection: dict[str, Any] = {"conn_type": "klap", "password": api_key}
        else:
            url, sample = stack.enter_context(sandbox())
            video_url = video_url or sample
            site = url.removesuffix("/v2")
            pages = {"player_url": f"{site}/player", "embed_url": f"{site}/player", "app_url": f"{site}/spaces"}
            connection = {"conn_type": "klap", "host": url, "password": "kak_sandbox", "extra": pages}
            say(f"The sandbox is up: {url}")
        home = HOME / command  # so that a demo does not disturb what make up left running
        shutil.rmtree(home, ignore_errors=True)
        say("Airflow is starting, which takes about a minute …")
        if command == "cluster":
            s3 = stack.enter_context(S3(home / "s3.log"))
            connection["extra"] = {**connection.get("extra", {}), "destination": DESTINATION}
            cluster = stack.enter_context(Cluster(home, s3=s3, connections={"klap_default": connection}))
            print(f"\nOpen {cluster.url} and trigger {dag_id} with a video URL such as\n{video_url or 'your own'}\n")
            print(f"Its shorts go to {DESTINATION}; what is there: {s3.url}/{SHORTS_BUCKET}\n")
            watch(cluster)
        airflow = stack.enter_context(LocalAirflow(home, connections={"klap_default": connection}))
        say(f"Airflow is up: {airflow.url}")
        if command == "up":
            print(f"\nOpen {airflow.url} and trigger {dag_id} with a video URL such as\n{video_url or 'your own'}\n")
            print("Ctrl+C stops it.", flush=True)
            while True:
                time.sleep(3600)
        conf = {"source_video_url": video_url, "destination": str(SHORTS)}
        run_id = run(airflow, dag_id, conf)
        task = airflow.xcom(dag_id, run_id, "submit")
        return 0 if report(SHORTS / task["klap_task_id"] / "manifest.json") else 1


def leave(signal_number: int, _frame: object) -> None:
    """End the program by way of its cleaning up, which no further signal is to interrupt."""
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    print("\nStopping …", flush=True)
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    for ending in ENDINGS:
        signal.signal(ending, leave)
    sys.exit(main())
