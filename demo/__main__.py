"""
``make demo``: run a Dag for one video and stop. ``make up``: run Airflow's UI, and keep its state for the next start.
``make cluster``: run a cluster, and keep nothing.

Without ``KLAP_API_KEY``, they use a sandbox instead of Klap.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

from demo.state import FOLDER_VARIABLE, SHORTS, DemoError, kill_leftovers, load_secrets, lock_folder, set_up_process

if TYPE_CHECKING:
    from pathlib import Path

    from demo.options import Options

COMMANDS = ("demo", "up", "cluster")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", choices=COMMANDS, help="demo: one run, then stop; up, cluster: run until Ctrl+C")
    command = parser.parse_args().command
    # Imported here, as this takes a second in which Ctrl+C must work without a traceback.
    from demo.options import Options

    # Logs and file names contain all languages, whatever the terminal supports.
    os.environ.pop("PYTHONIOENCODING", None)
    os.environ["PYTHONUTF8"] = "1"
    try:
        options = Options.read(command, os.environ)
        url = f"http://127.0.0.1:{options.port}" if options.port else None
        with lock_folder(options.folder, command=f"make {command}", url=url) as folder:
            return start(options, folder)
    except DemoError as problem:
        print(problem, file=sys.stderr)
    except OSError as problem:  # such as timeouts and failed requests
        file = f": {problem.filename}" if problem.filename else ""
        print(f"\n{problem.strerror}{file}" if problem.strerror else f"\n{problem}", file=sys.stderr)
    except RuntimeError as problem:
        print(f"\n{problem}", file=sys.stderr)
    return 1


def start(options: Options, folder: Path) -> int:
    """
    Run the command, and return its exit code.

    :param folder: its locked folder.
    """
    from demo.airflow import LocalAirflow
    from demo.run import print_step, report, run

    kill_leftovers(folder)
    options.require_free_port()
    if not options.keeps_state:
        shutil.rmtree(folder, ignore_errors=True)
    # Child processes inherit the variable, which kill_leftovers searches for.
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ["SPT_NOENV"] = "1"  # keeps process titles from overwriting the environment
    with ExitStack() as stack:
        stack.callback(kill_leftovers, folder)
        if (folder / "airflow.db").exists():
            print_step(f"Using the runs, ledger and videos in {folder}")
        connection, video_url = connect(options, folder, stack)
        print_step("Starting Airflow, which takes about a minute …")
        if options.command == "cluster":
            watch_cluster(options, folder, connection, video_url, stack)
        airflow = LocalAirflow(
            folder,
            connections={"klap_default": connection},
            env=load_secrets(folder),
            port=options.port,
            on_progress=print_step,
        )
        stack.enter_context(airflow)
        print_step(f"Airflow is up: {airflow.url}")
        if options.command == "up":
            print_next_step(airflow.url, options, video_url)
            print(f"Ctrl+C stops it. The next start uses {folder} again. make reset deletes it.\n", flush=True)
            while True:
                time.sleep(1)
                airflow.require_alive()
        # With reuse, the same command does not pay for the same video again.
        conf = {"source_video_url": video_url, "destination": str(SHORTS), "reuse": options.api_key is not None}
        run_id = run(airflow, options.dag_id, conf)
        if report(airflow, options.dag_id, run_id):
            return 0
        reuse = " Finished shorts are not paid for again." if options.api_key else ""
        print(f"Fix the cause, and run the same command again.{reuse}", flush=True)
        return 1


def connect(options: Options, folder: Path, stack: ExitStack) -> tuple[dict[str, Any], str | None]:
    """Return the connection to Klap, and the source video. Without an API key, start a sandbox."""
    from demo.run import print_step, sandbox, sandbox_port

    if options.api_key:
        print_step("KLAP_API_KEY is set: using the real Klap, which bills you")
        return {"conn_type": "klap", "password": options.api_key}, options.video_url
    keep = folder / "sandbox" if options.keeps_state else None
    url, sample = stack.enter_context(sandbox(keep=keep, port=sandbox_port(folder) if keep else 0))
    print_step(f"KLAP_API_KEY is not set: using the sandbox, which bills nothing: {url}")
    site = url.removesuffix("/v2")
    pages = {"player_url": f"{site}/player", "embed_url": f"{site}/player", "app_url": f"{site}/spaces"}
    extra = {**pages, "poke_interval": 2}  # the sandbox is faster than Klap
    connection = {"conn_type": "klap", "host": url, "password": "kak_sandbox", "extra": extra}
    return connection, options.video_url or sample


def print_next_step(url: str, options: Options, video_url: str | None) -> None:
    """Print the address of the UI and a video to use."""
    video = f", such as {video_url}" if video_url else ""
    print(f"\nOpen {url} and trigger {options.dag_id} with a video URL{video}", flush=True)


def watch_cluster(
    options: Options, folder: Path, connection: dict[str, Any], video_url: str | None, stack: ExitStack
) -> NoReturn:
    """Start a cluster, print its processes, and restart those that exit."""
    from demo.airflow import kill_group
    from demo.cluster import DESTINATION, SHORTS_BUCKET, Cluster
    from demo.run import print_step
    from demo.servers import S3

    s3 = stack.enter_context(S3(folder / "s3.log"))
    connection["extra"] = {**connection["extra"], "destination": DESTINATION}
    cluster = Cluster(
        folder, s3=s3, connections={"klap_default": connection}, port=options.port, on_progress=print_step
    )
    stack.enter_context(cluster)
    print_step(f"Airflow is up: {cluster.url}")
    print_next_step(cluster.url, options, video_url)
    print(f"Shorts are delivered to {DESTINATION}. To list them, open {s3.url}/{SHORTS_BUCKET}\n")
    servers = {"PostgreSQL": cluster.postgres, "Redis": cluster.redis}
    for name, process in cluster.processes.items():
        print(f"  {name:<16}{process.pid:>8}   {cluster.components[name].home}")
    for name, server in servers.items():
        print(f"  {name:<16}{server.pid:>8}   {server.url}")
    print(
        "\nKill any of these processes, and it is restarted. Ctrl+C stops them all and deletes their data.\n",
        flush=True,
    )
    while True:
        time.sleep(1)
        for name, process in list(cluster.processes.items()):
            if process.poll() is not None:
                kill_group(process)  # its children
                cluster.start_component(name)
                print_step(f"{name} ({process.pid}) exited and was restarted: {cluster.processes[name].pid}")
        for name, server in servers.items():
            if server.has_exited():
                server.stop()
                server.start()
                print_step(f"{name} exited and was restarted: {server.pid}")


if __name__ == "__main__":
    set_up_process()
    sys.exit(main())
