"""
``make demo``: run a Dag for one video and stop. ``make up``: keep Airflow's UI running, and its state for the next
start. ``make cluster``: the same on two machines' worth of processes, which keep nothing.

Without ``KLAP_API_KEY``, a sandbox takes the place of Klap.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

from demo.state import MARK, SHORTS, DemoError, claim, end_leftovers, kept_secrets, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from demo.options import Options

COMMANDS = ("demo", "up", "cluster")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", choices=COMMANDS, help="demo: one run, then stop; up, cluster: run until Ctrl+C")
    command = parser.parse_args().command
    # Importing these takes a second, in which Ctrl+C already ends the program without a traceback.
    from demo.options import Options

    # Whatever the terminal takes: names in logs and files come in all languages.
    os.environ.pop("PYTHONIOENCODING", None)
    os.environ["PYTHONUTF8"] = "1"
    try:
        options = Options.read(command, os.environ)
        url = f"http://127.0.0.1:{options.port}" if options.port else None
        with claim(options.folder, command=f"make {command}", url=url) as folder:
            return start(options, folder)
    except DemoError as problem:
        print(problem, file=sys.stderr)
    except OSError as problem:  # time-outs and failed requests are OSErrors, too
        file = f": {problem.filename}" if problem.filename else ""
        print(f"\n{problem.strerror}{file}" if problem.strerror else f"\n{problem}", file=sys.stderr)
    except RuntimeError as problem:
        print(f"\n{problem}", file=sys.stderr)
    return 1


def start(options: Options, folder: Path) -> int:
    """
    Start what the options ask for, and return the exit code when it has ended.

    :param folder: the locked folder for it.
    """
    from demo.airflow import LocalAirflow
    from demo.run import report, run, say

    end_leftovers(folder)
    options.require_free_port()
    if not options.keeps:
        shutil.rmtree(folder, ignore_errors=True)
    # Whatever starts from here on inherits the mark, and is found by it.
    os.environ[MARK] = str(folder)
    os.environ["SPT_NOENV"] = "1"  # or Airflow's processes would write their titles over it
    with ExitStack() as stack:
        stack.callback(end_leftovers, folder)
        if (folder / "airflow.db").exists():
            say(f"Continuing with the runs, ledger and videos in {folder}")
        connection, video_url = connect(options, folder, stack)
        say("Airflow is starting, which takes about a minute …")
        if options.command == "cluster":
            watch_cluster(options, folder, connection, video_url, stack)
        airflow = LocalAirflow(
            folder,
            connections={"klap_default": connection},
            env=kept_secrets(folder),
            port=options.port,
            tell=say,
        )
        stack.enter_context(airflow)
        say(f"Airflow is up: {airflow.url}")
        if options.command == "up":
            invite(airflow.url, options, video_url)
            print(f"Ctrl+C stops it. {folder} is kept for the next start, until make reset deletes it.\n", flush=True)
            while True:
                time.sleep(1)
                airflow.require_alive()
        # With a key, the same command again does not pay for the same video again.
        conf = {"source_video_url": video_url, "destination": str(SHORTS), "reuse": options.api_key is not None}
        run_id = run(airflow, options.dag_id, conf)
        if report(airflow, options.dag_id, run_id):
            return 0
        again = " What Klap finished is not paid for again." if options.api_key else ""
        print(f"Fix the cause, then run the same command again.{again}", flush=True)
        return 1


def connect(options: Options, folder: Path, stack: ExitStack) -> tuple[dict[str, Any], str | None]:
    """Return the connection to Klap, and the video to use. Without a key, start a sandbox."""
    from demo.run import kept_port, sandbox, say

    if options.api_key:
        say("KLAP_API_KEY is set: this uses the real Klap, which bills you")
        return {"conn_type": "klap", "password": options.api_key}, options.video_url
    keep = folder / "sandbox" if options.keeps else None
    url, sample = stack.enter_context(sandbox(keep=keep, port=kept_port(folder) if keep else 0))
    say(f"KLAP_API_KEY is not set: a sandbox takes the place of Klap, and nothing is billed: {url}")
    site = url.removesuffix("/v2")
    pages = {"player_url": f"{site}/player", "embed_url": f"{site}/player", "app_url": f"{site}/spaces"}
    extra = {**pages, "poke_interval": 2}  # the sandbox takes seconds where Klap takes minutes
    connection = {"conn_type": "klap", "host": url, "password": "kak_sandbox", "extra": extra}
    return connection, options.video_url or sample


def invite(url: str, options: Options, video_url: str | None) -> None:
    """Print where to go on, and with which video."""
    video = f", such as {video_url}" if video_url else ""
    print(f"\nOpen {url} and trigger {options.dag_id} with a video URL{video}", flush=True)


def watch_cluster(
    options: Options, folder: Path, connection: dict[str, Any], video_url: str | None, stack: ExitStack
) -> NoReturn:
    """Start a cluster, print what runs where, and start again whatever dies."""
    from demo.airflow import kill_group
    from demo.cluster import DESTINATION, SHORTS_BUCKET, Cluster
    from demo.run import say
    from demo.servers import S3

    s3 = stack.enter_context(S3(folder / "s3.log"))
    connection["extra"] = {**connection["extra"], "destination": DESTINATION}
    cluster = Cluster(folder, s3=s3, connections={"klap_default": connection}, port=options.port, tell=say)
    stack.enter_context(cluster)
    say(f"Airflow is up: {cluster.url}")
    invite(cluster.url, options, video_url)
    print(f"Shorts are delivered to {DESTINATION}. To list them, open {s3.url}/{SHORTS_BUCKET}\n")
    servers = {"PostgreSQL": cluster.postgres, "Redis": cluster.redis}
    for name, process in cluster.processes.items():
        print(f"  {name:<16}{process.pid:>8}   {cluster.components[name].home}")
    for name, server in servers.items():
        print(f"  {name:<16}{server.pid:>8}   {server.url}")
    print(
        "\nKill any of these processes: it is started again. Ctrl+C stops them all, and nothing is kept.\n", flush=True
    )
    while True:
        time.sleep(1)
        for name, process in list(cluster.processes.items()):
            if process.poll() is not None:
                kill_group(process)  # what it started
                cluster.start_component(name)
                say(f"{name} ({process.pid}) died. It was started again: {cluster.processes[name].pid}")
        for name, server in servers.items():
            if server.has_died():
                server.stop()
                server.start()
                say(f"{name} died. It was started again: {server.pid}")


if __name__ == "__main__":
    prepare()
    sys.exit(main())
