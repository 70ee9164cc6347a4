"""Watched sources on a whole Airflow, whose processes are killed: one run and one submission for each new item."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest

from demo.airflow import ROOT, Component, LocalAirflow, free_ports, kill_group
from klap_provider.rules import ledger_keys
from klap_provider.rules.source_runs import STABLE_FOR
from klap_provider.rules.video_list import URL
from klap_provider.sources.check import IS_OURS
from tests.support.feeds import Web, entry, rss
from tests.support.object_storage import ObjectStorage
from tests.support.rig import SHORT_HEARTBEATS, ledger_rows
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

TARGET = "klap_generate_shorts"

#: The Dag that is renamed. A run of it that had not ended stays open, and Airflow tries its task again.
RENAMED = "watch_feed"

#: Seconds in which nothing happens and no worker may start.
QUIET_SECONDS = float(os.environ.get("KLAP_QUIET_SECONDS", "30"))

TRIGGERERS = ("triggerer", "triggerer-2")

#: The shorts are delivered into the folder that is watched.
DAGS = """
from datetime import timedelta
from klap_provider.dag_parts import klap_generate_shorts, klap_watch  # Airflow requires the words airflow and dag
from klap_provider.sources import FeedSource, PrefixSource, TableSource

main = klap_generate_shorts()
settings = {{"limit": 1, "max_clip_count": 1, "destination": "s3://media_s3@media/in/shorts"}}
of_run = {{"settings": settings, "poll_interval": 2}}
feeds = ({web!r} + "/a", {web!r} + "/b")
feed = klap_watch("watch_feed", name="feed", source=FeedSource(urls=feeds), **of_run)
prefix = klap_watch("watch_prefix", name="prefix", source=PrefixSource(path="s3://media_s3@media/in"), **of_run)
query = "SELECT id, source_video_url FROM videos WHERE status IS NULL ORDER BY id"
report = "UPDATE videos SET status = :status, links = :links WHERE id = :key"
table = TableSource(conn_id="media_db", query=query, report=report)
rows = klap_watch("watch_table", name="table", source=table, schedule=timedelta(seconds=10), **of_run)
"""


@dataclass
class Stage:
    """The Airflow and the sandbox of the test."""

    airflow: LocalAirflow
    sandbox: Sandbox
    s3: ObjectStorage
    web: Web
    table: sqlite3.Connection
    dag_file: Path

    def wait(self, what: str, condition: Any, seconds: float = 300) -> None:
        """Wait for a condition."""
        self.airflow.wait_for(condition, seconds=seconds, what=what, every=1)

    def runs(self, dag_id: str = TARGET) -> list[dict[str, Any]]:
        """Return the runs of a Dag."""
        found: list[dict[str, Any]] = self.airflow.api("GET", f"/dags/{dag_id}/dagRuns", params={"limit": 100})[
            "dag_runs"
        ]
        return found

    def worker_starts(self, since: str) -> list[str]:
        """Return the Dags of the tasks that started since a moment, one for each task."""
        path, params = "/dags/~/dagRuns/~/taskInstances", {"start_date_gte": since, "limit": 100}
        tasks = self.airflow.api("GET", path, params=params)["task_instances"]
        return [task["dag_id"] for task in tasks if task["dag_id"] != RENAMED]

    def is_running(self, without: Collection[str] = ()) -> bool:
        """Return whether a Dag has a queued or running run, without those of some Dags."""
        runs = self.airflow.api("GET", "/dags/~/dagRuns", params={"state": ["queued", "running"], "limit": 100})
        return any(run["dag_id"] not in without for run in runs["dag_runs"])

    def watching(self, column: str = "hostname") -> set[str]:
        """Return the triggerers that run watchers; with the column ``name``, the watchers that are run."""
        tables = "asset_watcher JOIN trigger ON trigger.id = trigger_id JOIN job ON job.id = triggerer_id"
        with sqlite3.connect(self.airflow.home / "airflow.db") as database:
            return {name for (name,) in database.execute(f"SELECT {column} FROM {tables}")}

    def submitted(self) -> list[str]:
        """Return the addresses of the videos that Klap bills, in their order."""
        return sorted(entry["body"]["source_video_url"] for entry in self.sandbox.ledger("task"))

    def skipped(self, source: str) -> list[str]:
        """Return the reasons for which items of a source were skipped."""
        return [item["reason"] for item in ledger_rows(self.airflow)[ledger_keys.source_entry(source)]["skipped"]]

    def names_of_shorts(self) -> list[str]:
        """Return the names of the shorts that were delivered, and of their files."""
        rows = ledger_rows(self.airflow).items()
        return sorted(row["name"] for key, row in rows if key.startswith("short_name."))

    def write_until(self, stopped: threading.Event) -> None:
        """Write a file that grows, until the event."""
        size = 0
        while not stopped.wait(2):
            self.s3.put("in/talk.mp4", b"a video " * (size := size + 1000))

    def lose_event(self, dag_id: str) -> None:
        """Delete an event that no scheduler has seen."""
        path, polls = f"/dags/{dag_id}/assets/queuedEvents", len(self.web.asked)
        self.wait("two polls", lambda: len(self.web.asked) > polls + 4)
        time.sleep(2)
        assert self.airflow.api("GET", path)["total_entries"]
        self.airflow.api("DELETE", path)

    def double_event(self, source: str) -> None:
        """Send the event of a source twice more, and wait for the checks."""
        name = ledger_keys.source_asset(source)
        [asset] = self.airflow.api("GET", "/assets", params={"name_pattern": name})["assets"]
        before = self.watches()
        for _ in range(2):
            self.airflow.api("POST", "/assets/events", json={"asset_id": asset["id"], "extra": {}})
        self.wait("a check", lambda: self.watches() > before)
        self.wait("the checks to end", lambda: not self.is_running())

    def rename_dag(self, old: str, new: str) -> None:
        """Rename a Dag in its file."""
        self.dag_file.write_text(self.dag_file.read_text().replace(old, new))
        self.wait(f"the Dag {new}", lambda: self.airflow.has_dag(new))

    def watches(self) -> int:
        """Return how many runs of Dags the triggerer has caused."""
        runs = self.airflow.api("GET", "/dags/~/dagRuns", params={"run_type": "asset_triggered", "limit": 1})
        return int(runs["total_entries"])

    def talk(self, name: str) -> str:
        """Return the address of a video."""
        return f"{self.sandbox.sample}?talk={name}"

    def kill(self, *names: str) -> None:
        """Kill components."""
        for name in names:
            kill_group(self.airflow.processes[name])

    def restart(self, *names: str) -> None:
        """Start killed components."""
        for name in names:
            self.airflow.start_component(name)
        self.wait(f"a new {' and '.join(names)}", self.airflow.healthy)

    def pause(self, dag_id: str, is_paused: bool) -> None:
        """Pause a Dag, or unpause it."""
        self.airflow.api("PATCH", f"/dags/{dag_id}", json={"is_paused": is_paused})


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("watch")
    table = sqlite3.connect(folder / "media.db", isolation_level=None)
    table.execute("CREATE TABLE videos (id INTEGER PRIMARY KEY, source_video_url TEXT, status TEXT, links TEXT)")
    with Sandbox() as sandbox, Web() as web, ObjectStorage(tmp_path_factory.mktemp("s3")) as s3:
        s3.reset()
        web.pages = {"/a": rss(*(entry(day, file=f"{sandbox.sample}?talk=old{day}") for day in (1, 2, 3))), "/b": rss()}
        connections = {
            "klap_default": {"conn_type": "klap", "host": sandbox.url, "password": "kak_test_of_watch"},
            "media_s3": s3.connection,
            "media_db": {"conn_type": "sqlite", "host": str(folder / "media.db")},
        }
        connections["klap_default"]["extra"] = {"poke_interval": 2}
        dags = tmp_path_factory.mktemp("dags")
        dag_file = dags / "watch.py"
        dag_file.write_text(DAGS.format(web=web.root))
        # A watcher begins at the next parse of its Dag file after the Dag is unpaused.
        env = {**SHORT_HEARTBEATS, "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5"}
        env["PYTHONPATH"] = str(ROOT)
        airflow = LocalAirflow(tmp_path_factory.mktemp("airflow"), connections=connections, dags=dags, env=env)
        for name, port in zip(TRIGGERERS, free_ports(len(TRIGGERERS)), strict=True):
            named = {"AIRFLOW__CORE__HOSTNAME_CALLABLE": "demo.hostname.machine_name", "KLAP_MACHINE": name}
            named["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] = str(port)
            airflow.components[name] = Component(("triggerer",), airflow.home, named)
        with airflow:
            yield Stage(airflow, sandbox, s3, web, table, dag_file)


@pytest.mark.timeout(1800 + QUIET_SECONDS)
def test_each_new_item_of_three_sources_gets_one_run_whatever_is_killed(stage: Stage) -> None:
    entries = [ledger_keys.source_entry(name) for name in ("feed", "prefix", "table")]
    stage.wait("the Dags", lambda: stage.airflow.has_dag(TARGET) and stage.airflow.has_dag("watch_table"))
    stage.wait("the first checks", lambda: ledger_rows(stage.airflow).keys() >= {*entries})
    assert stage.runs() == []
    before = stage.watches()

    old = [entry(day, file=stage.talk(f"old{day}")) for day in (1, 2, 3)]
    now = formatdate()
    new = [entry(day, file=stage.talk(f"new{day}"), at=now) for day in (4, 5)]
    is_whole = threading.Event()
    upload = threading.Thread(target=stage.write_until, args=(is_whole,), daemon=True)
    stage.kill(*TRIGGERERS)  # before the event
    stage.web.pages = {"/a": rss(new[0], *old), "/b": rss()}
    upload.start()
    stage.restart(*TRIGGERERS)
    for number in range(5):
        stage.table.execute("INSERT INTO videos (source_video_url) VALUES (?)", (stage.talk(f"row{number}"),))

    stage.wait("an event", lambda: stage.watches() > before)
    killed, *_ = stage.watching()
    stage.kill(killed, "scheduler")  # after the event
    stage.wait("the other triggerer to take over", lambda: stage.watching() == {*TRIGGERERS} - {killed})
    in_both = entry(5, guid="urn:of:b", file=stage.talk("new5"), at=now)
    stage.web.pages = {"/a": rss(*new, *old), "/b": rss(in_both)}
    stage.lose_event("watch_feed")
    stage.pause("watch_feed", True)
    stage.wait("no watcher", lambda: ledger_keys.source_asset("feed") not in stage.watching("name"))
    stage.restart("scheduler", killed)
    stage.pause("watch_feed", False)
    is_whole.set()
    upload.join()
    written_at = datetime.now(timezone.utc)

    stage.wait("eight runs", lambda: len(stage.runs()) >= 8)
    edited = entry(5, title="Edited", file=stage.talk("edited"), at=now)
    stage.web.pages = {"/a": rss(*reversed(old), edited, new[0]), "/b": rss()}
    stage.wait("the runs to end", lambda: not any(run["state"] in ("queued", "running") for run in stage.runs()))
    assert {run["state"] for run in stage.runs()} == {"success"}
    results = "SELECT count(*) FROM videos WHERE status = 'success' AND links LIKE '%.mp4'"
    stage.wait("the results in the table", lambda: stage.table.execute(results).fetchone() == (5,))
    [file_run] = [run for run in stage.runs() if run["conf"][URL].startswith("s3://")]
    queued_at = datetime.fromisoformat(file_run["queued_at"].replace("Z", "+00:00"))
    assert (queued_at - written_at).total_seconds() >= STABLE_FOR, "it was not started while it was written"

    # The channel lists the team's own shorts, the events come twice, and the Dag gets another name.
    shorts = [
        entry(day, title=escape(name), file=stage.talk(f"own{day}"), at=now)
        for day, name in enumerate(stage.names_of_shorts()[:3], 10)
    ]
    assert shorts
    stage.web.pages = {"/a": rss(*shorts, *old, edited, new[0]), "/b": rss()}
    stage.wait("the shorts to be skipped", lambda: stage.skipped("feed") == [IS_OURS] * len(shorts))
    stage.double_event("feed")
    stage.rename_dag(RENAMED, "watch_podcast")
    last = entry(6, file=stage.talk("new6"), at=now)
    stage.web.pages = {"/a": rss(last, *old, edited, *shorts, new[0]), "/b": rss(in_both)}
    stage.wait("the run of a renamed Dag", lambda: [run["state"] for run in stage.runs()] == ["success"] * 9)
    stage.wait("the files to be skipped", lambda: stage.skipped("prefix") == [IS_OURS] * 9)

    # A table is checked by a scheduled task. Airflow does not continue a run of a paused Dag.
    stage.pause("watch_table", True)
    stage.wait("the checks to end", lambda: not stage.is_running(without=(RENAMED, "watch_table")))
    quiet, polls = datetime.now(timezone.utc).isoformat(), len(stage.web.asked)
    time.sleep(QUIET_SECONDS)
    assert len(stage.web.asked) > polls, "the triggerer polls"
    assert stage.worker_starts(quiet) == [], "no worker starts while nothing happens"
    *talks, stored = (url for url in stage.submitted())
    assert talks == sorted(stage.talk(name) for name in ("new4", "new5", "new6", *(f"row{row}" for row in range(5))))
    assert "/media/in/talk.mp4?" in stored
    assert len(stage.runs()) == 9
