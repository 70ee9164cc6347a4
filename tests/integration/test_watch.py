"""A watched source: each of its items gets one run, and the source gets the result of the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.execution_time import comms
from airflow.sdk.module_loading import import_string

from klap_provider.airflow_internals.asset_store import AssetStore
from klap_provider.errors import KlapInputError, KlapSourceError
from klap_provider.example_dags import example_klap_watch_own_source, example_klap_watch_table
from klap_provider.operators import DeliverShortOperator, StartSourceRunsOperator, watch_source
from klap_provider.rules import ledger_keys, monthly_limit, source_runs
from klap_provider.sources import Item, Pace, PrefixSource, TableSource
from klap_provider.sources.check import IS_OURS, SourceCheck
from klap_provider.sources.items import video_item
from klap_provider.triggers import SourceTrigger
from klap_provider.triggers import source as source_trigger
from klap_provider.xcoms import LEDGER
from tests.support.airflow_context import OtherRun, json_copy
from tests.support.feeds import RELEASE, Hanging, Web, polls
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import fsspec

    from klap_provider.sources.check import Checked
    from tests.support.airflow_context import Played, Supervisor

    Watch = Callable[..., Played]

NEW = Pace(back_catalogue=True)


class Listed:
    """A source with a list of the test."""

    def __init__(self, *names: str) -> None:
        self.items = [video(name) for name in names]
        self.failure: Exception | None = None

    def list(self) -> list[Item]:
        if self.failure is not None:
            raise self.failure
        return self.items


def video(name: str, **more: Any) -> Item:
    return video_item(name, f"https://talks.invalid/{name}.mp4", title=name.upper(), **more)


@pytest.fixture
def watch(airflow: Callable[..., Played]) -> Watch:
    """Make the task that checks a source."""

    def task(source: Any, **more: Any) -> Played:
        given = {"name": "talks", "trigger_dag_id": "klap_generate_shorts", "pace": NEW, **more}
        return airflow(lambda: StartSourceRunsOperator(task_id="check", source=source, **given))

    return task


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """A table of videos in the database of the connection ``media_db``."""
    file = tmp_path / "media.db"
    monkeypatch.setenv("AIRFLOW_CONN_MEDIA_DB", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    opened = sqlite3.connect(file, isolation_level=None)
    opened.execute(
        "CREATE TABLE videos (id INTEGER PRIMARY KEY, source_video_url TEXT, language TEXT, max_clip_count INTEGER, "
        "created TEXT, status TEXT, cost REAL, links TEXT)"
    )
    return opened


QUERY = "SELECT id, source_video_url, language, max_clip_count, created FROM videos"
TABLE = TableSource(conn_id="media_db", query=QUERY, published="created")


def insert(table: sqlite3.Connection, number: int, language: str | None = None, clips: int | None = None) -> None:
    row = number, f"https://talks.invalid/{number}.mp4", language, clips, f"2026-11-{number:02} 10:00:00"
    columns = "id, source_video_url, language, max_clip_count, created"
    table.execute(f"INSERT INTO videos ({columns}) VALUES (?, ?, ?, ?, ?)", row)


def urls(supervisor: Supervisor) -> list[str]:
    return [str(run.conf and run.conf["source_video_url"]).rpartition("/")[2] for run in supervisor.runs.values()]


def test_each_new_row_gets_one_run_with_its_columns_as_params(
    watch: Watch, table: sqlite3.Connection, supervisor: Supervisor
) -> None:
    for number in range(1, 6):
        insert(table, number, "en" if number == 1 else None, 4 if number == 2 else None)
    for _ in range(3):
        watch(TABLE, settings={"limit": 2, "language": "de"}).run()
    assert urls(supervisor) == ["5.mp4", "4.mp4", "3.mp4", "2.mp4", "1.mp4"]
    runs = [run.conf for run in supervisor.runs.values()]
    shared = {"limit": 2, "language": "de"}
    assert runs[0] == {**shared, "source_video_url": "https://talks.invalid/5.mp4"}
    assert runs[3] == {**shared, "source_video_url": "https://talks.invalid/2.mp4", "max_clip_count": 4}
    assert runs[4] == {**shared, "source_video_url": "https://talks.invalid/1.mp4", "language": "en"}
    insert(table, 6)
    table.execute("UPDATE videos SET source_video_url = 'https://talks.invalid/edited.mp4' WHERE id = 1")
    watch(TABLE).run()
    assert urls(supervisor)[5:] == ["6.mp4"]


def test_the_result_of_each_run_is_written_to_the_table_once(
    watch: Watch, table: sqlite3.Connection, supervisor: Supervisor
) -> None:
    report = "UPDATE videos SET status = :status, cost = :cost, links = :links WHERE id = :key"
    source = TableSource(conn_id="media_db", query=f"{QUERY} WHERE status IS NULL", report=report)
    insert(table, 1)
    insert(table, 2)
    supervisor.started_run = OtherRun("running")
    watch(source).run()
    results = "SELECT status, cost, links FROM videos ORDER BY id"
    assert table.execute(results).fetchall() == [("running", None, None)] * 2

    first, second = supervisor.runs.values()
    shorts = [{"project_id": "a", "path": "/a.mp4"}, {"project_id": "b", "path": None}]
    first.state, first.published = "success", {"klap_outcome": shorts, "klap_cost": {"total": 4.12}}
    second.state, second.published = "failed", {"klap_outcome": [], "klap_cost": {"total": 0.44}}
    watch(source).run()
    done = [("success", 4.12, "/a.mp4"), ("failed", 0.44, None)]
    assert table.execute(results).fetchall() == done

    first.state = "running"
    watch(source).run()
    assert table.execute(results).fetchall() == done, "a run that was successful is not followed"

    second.state, second.published = "success", {"klap_outcome": shorts, "klap_cost": {"total": 4.12}}
    watch(source).run()
    assert table.execute(results).fetchall() == [("success", 4.12, "/a.mp4")] * 2, "it was cleared in the next month"


def test_a_failed_run_is_followed_for_40_days(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Reported("a")
    supervisor.started_run = OtherRun("failed")
    watch(source).run()
    for days, is_followed in ((35, True), (50, False)):
        later = time.time() + days * 86400
        with monkeypatch.context() as patch:
            patch.setattr(watch_source.time, "time", lambda later=later: later)
            watch(source).run()
        assert bool(row(supervisor)["open"]) == is_followed


def test_a_result_that_could_not_be_written_is_written_at_the_next_check(
    watch: Watch, table: sqlite3.Connection, supervisor: Supervisor
) -> None:
    insert(table, 1)
    broken = TableSource(conn_id="media_db", query=QUERY, report="UPDATE video SET status = :status WHERE id = :key")
    with pytest.raises(KlapSourceError, match=r"the result of watched__talks__.* was not written"):
        watch(broken).run()
    fixed = TableSource(conn_id="media_db", query=QUERY, report="UPDATE videos SET status = :status WHERE id = :key")
    watch(fixed).run()
    assert table.execute("SELECT status FROM videos").fetchall() == [("success",)]
    assert len(supervisor.runs) == 1


def test_the_table_of_the_guide_is_read_and_written(
    watch: Watch, table: sqlite3.Connection, supervisor: Supervisor
) -> None:
    insert(table, 1, "en")
    task: Any = example_klap_watch_table.dag.get_task("check")
    for _ in range(2):
        watch(task.source, pace=task.pace, settings=task.settings).run()
    [run] = supervisor.runs.values()
    assert run.conf == {"source_video_url": "https://talks.invalid/1.mp4", "language": "en", **task.settings}
    assert table.execute("SELECT status, cost, links FROM videos").fetchall() == [("success", None, None)]


def test_the_source_of_the_guide_starts_each_video_once(watch: Watch, supervisor: Supervisor) -> None:
    with Web() as web:
        source = example_klap_watch_own_source.CatalogueSource(f"{web.root}/videos.json")
        videos = [
            {"id": number, "title": str(number), "url": f"https://talks.invalid/{number}.mp4"} for number in (1, 2)
        ]
        web.pages = {"/videos.json": (200, json.dumps(videos))}
        for _ in range(2):
            watch(source).run()
        web.pages = {"/videos.json": (500, "")}
        with pytest.raises(KlapSourceError, match="could not be listed"):
            watch(source).run()
    assert urls(supervisor) == ["1.mp4", "2.mp4"]


def test_a_row_with_an_invalid_value_does_not_delay_the_others(
    watch: Watch, table: sqlite3.Connection, supervisor: Supervisor
) -> None:
    insert(table, 1)
    insert(table, 2)
    table.execute("UPDATE videos SET created = 'soon' WHERE id = 1")
    watch(TABLE).run()
    assert urls(supervisor) == ["2.mp4"]
    assert "'soon'" in row(supervisor)["waiting"][0]["reason"]
    insert(table, 3)
    table.execute("UPDATE videos SET created = '2026-11-01' WHERE id = 1")
    watch(TABLE).run()
    assert urls(supervisor) == ["2.mp4", "3.mp4", "1.mp4"]


def test_a_missing_column_of_a_table_is_named(watch: Watch, table: sqlite3.Connection) -> None:
    with pytest.raises(KlapInputError, match=r"no column source_video_url\. It has: id"):
        watch(TableSource(conn_id="media_db", query="SELECT id FROM videos")).run()
    with pytest.raises(ValueError, match="unknown value state"):
        TableSource(conn_id="media_db", query=QUERY, report="UPDATE videos SET status = :state")


def test_the_first_check_starts_nothing_by_default(watch: Watch, supervisor: Supervisor) -> None:
    source = Listed(*(f"old-{number}" for number in range(50)))
    watch(source, pace=None).run()
    assert supervisor.runs == {}
    source.items = [video("new"), *source.items]
    for _ in range(2):
        watch(source, pace=None).run()
    assert urls(supervisor) == ["new.mp4"]


class Reported(Listed):
    """A source that the results of runs are written to. It records for which ones."""

    reports = True

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.told: set[str] = set()

    def tell(self, _origin: Any, result: Mapping[str, Any]) -> None:
        self.told.add(result["run_id"])


def test_a_crash_at_any_write_still_starts_each_item_once(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try ends one message later than the try before, as if its worker was killed."""
    monkeypatch.setattr("klap_provider.operators.ledger.WRITE_RETRY_DELAYS", ())
    send, left, started = supervisor.send, 0, []

    class Killed(BaseException):
        pass

    def send_until_killed(msg: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        answer = send(msg)
        if isinstance(msg, comms.TriggerDagRun) and not isinstance(answer, comms.ErrorResponse):
            started.append(msg.run_id)
        return answer

    monkeypatch.setattr(supervisor, "send", send_until_killed)
    source = Reported("a", "b", "c")
    for messages in range(1, 200):
        left = messages
        try:
            watch(source, pace=Pace(back_catalogue=True, per_day=2)).run()
        except Killed:
            continue
        break
    else:
        pytest.fail("no try came to its end")
    assert len(started) == len(set(started)) == 2, "also not more than the pace allows"
    assert source.told == set(started)


def test_a_lost_row_of_the_source_starts_nothing_again(watch: Watch, supervisor: Supervisor) -> None:
    source = Listed("a", "b")
    watch(source).run()
    del supervisor.ledger[ledger_keys.source_entry("talks")]
    supervisor.runs.clear()  # a user deleted the runs
    watch(source).run()
    assert supervisor.runs == {}


def test_a_check_reads_no_rows_of_known_items(watch: Watch, supervisor: Supervisor) -> None:
    source = Listed(*(str(number) for number in range(40)))
    slow = Pace(back_catalogue=True, per_day=1)
    watch(source, pace=slow).run()
    before = len(supervisor.messages)
    watch(source, pace=slow).run()
    assert len(supervisor.messages) - before < 10


def test_an_item_of_another_source_with_the_same_address_is_another_item(watch: Watch, supervisor: Supervisor) -> None:
    watch(Listed("a")).run()
    watch(Listed("a"), name="other").run()
    assert len(supervisor.runs) == 2


@pytest.mark.parametrize("names", [("talks: new", "talks – new"), ("動画", "映画"), ("a" * 50, "a" * 51)])
def test_sources_with_similar_names_have_runs_of_their_own(
    watch: Watch, supervisor: Supervisor, names: tuple[str, str]
) -> None:
    for name in names:
        watch(Listed("1"), name=name).run()
    assert len(supervisor.runs) == 2


def test_an_item_is_known_by_its_address_after_its_id_has_changed(watch: Watch, supervisor: Supervisor) -> None:
    source = Listed("a")
    watch(source).run()
    source.items = [video_item("another-id", "https://talks.invalid:443/a.mp4#t=1")]
    watch(source).run()
    assert len(supervisor.runs) == 1


def test_a_file_that_this_airflow_delivered_is_refused(watch: Watch, supervisor: Supervisor) -> None:
    names = ["From Zero  to hero", "092_from-zero-to-hero_X"]
    for name in names:
        supervisor.ledger[ledger_keys.short_name_entry(name)] = json.dumps({"name": name})
    source = Listed("092_from-zero-to-hero_X", "092_from-zero-to-hero_Y", "talk")
    source.items += [video_item("c", "https://talks.invalid/c", title="from zero to HERO")]
    watch(source).run()
    others = ["092_from-zero-to-hero_Y.mp4", "talk.mp4"]
    assert urls(supervisor) == others
    watch(source, start=["c"]).run()
    assert urls(supervisor) == [*others, "c"], "a user may know better"


def test_a_user_starts_and_skips_items_with_the_form(watch: Watch, supervisor: Supervisor) -> None:
    source, none = Listed("a", "b", "c"), Pace(back_catalogue=True, per_day=0)
    watch(source, pace=none, start=["a"], skip=["b"]).run()
    assert urls(supervisor) == ["a.mp4"]
    watch(source).run()
    assert urls(supervisor) == ["a.mp4", "c.mp4"]


@pytest.mark.parametrize("scope", ["source talks", "connection klap_default", "dag klap_generate_shorts"])
def test_a_paused_source_starts_nothing_until_its_pause_ends(watch: Watch, supervisor: Supervisor, scope: str) -> None:
    source, store, later = Listed("a"), AssetStore(LEDGER), datetime(2099, 1, 1, tzinfo=timezone.utc)
    monthly_limit.pause(store, scope, later, "the month's limit is reached")
    watch(source).run()
    assert supervisor.runs == {}
    assert row(supervisor)["waiting"][0]["reason"] == "the month's limit is reached"
    monthly_limit.pause(store, scope, datetime(2026, 1, 1, tzinfo=timezone.utc), "the month's limit is reached")
    watch(source).run()
    assert urls(supervisor) == ["a.mp4"]


def row(supervisor: Supervisor) -> Any:
    return json.loads(supervisor.ledger[ledger_keys.source_entry("talks")])


def test_one_item_starts_at_each_check_after_a_pause(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monthly_limit.pause(AssetStore(LEDGER), "source talks", datetime.fromtimestamp(now, timezone.utc), "no credit")
    for seconds, runs in ((-1, 0), (1, 1), (600, 2), (3700, 5)):
        with monkeypatch.context() as patch:
            patch.setattr(watch_source.time, "time", lambda seconds=seconds: now + seconds)
            watch(Listed(*"abcde")).run()
        assert len(supervisor.runs) == runs


def test_a_failing_source_is_reported_once(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    sent: list[str] = []
    source = Listed("a")
    watch(source, notifiers=[Recorder(sent)]).run()
    for failure in (OSError("password=hunter2hunter2 refused"), OSError("again")):
        source.failure = failure
        with pytest.raises(KlapSourceError, match="The source talks could not be listed: OSError"):
            watch(source, notifiers=[Recorder(sent)], retries=0).run()
    assert "hunter2" not in "".join(supervisor.messages)
    assert len(sent) == 1
    source.failure = None
    watch(source, notifiers=[Recorder(sent)]).run()
    assert urls(supervisor) == ["a.mp4"]


def test_a_run_that_airflow_refuses_does_not_delay_the_others(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = supervisor.send

    def refuse(msg: Any) -> Any:
        if isinstance(msg, comms.TriggerDagRun) and "b.mp4" in str(msg.conf):
            return comms.ErrorResponse(detail={"status_code": 400})
        return send(msg)

    monkeypatch.setattr(supervisor, "send", refuse)
    with pytest.raises(KlapSourceError, match="the run of 'B' was not started"):
        watch(Listed("a", "b", "c")).run()
    assert urls(supervisor) == ["a.mp4", "c.mp4"]
    watch(Listed("a", "b", "c"), skip=["b"]).run()
    assert urls(supervisor) == ["a.mp4", "c.mp4"]


@pytest.mark.parametrize("poison", [float("nan"), datetime(2026, 1, 1, tzinfo=timezone.utc), b"bytes"])
def test_an_item_with_an_invalid_conf_does_not_delay_the_others(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, poison: Any
) -> None:
    send = supervisor.send

    def strict(msg: Any) -> Any:
        if isinstance(msg, comms.TriggerDagRun):
            json.dumps(msg.conf, allow_nan=False)  # as the client of Airflow's API does
        return send(msg)

    monkeypatch.setattr(supervisor, "send", strict)
    source = Listed("a", "b")
    source.items.insert(0, video_item("bad", "https://talks.invalid/bad.mp4", {"language": poison}, title="BAD"))
    with pytest.raises(KlapSourceError, match="the run of 'BAD' was not started"):
        watch(source).run()
    assert urls(supervisor) == ["a.mp4", "b.mp4"]


def test_refused_runs_start_later_at_the_pace_of_the_source(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Dag that runs the items is missing for five days."""
    send, at = supervisor.send, datetime(2026, 11, 5, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr("klap_provider.operators.watch_source.time.time", lambda: at)
    refused = comms.ErrorResponse(detail={"status_code": 404})
    monkeypatch.setattr(supervisor, "send", lambda msg: refused if isinstance(msg, comms.TriggerDagRun) else send(msg))
    source, slow = Listed("a", "b", "c", "d", "e", "f"), Pace(back_catalogue=True, per_day=1)
    for _ in range(5):
        with pytest.raises(KlapSourceError, match="was not started"):
            watch(source, pace=slow).run()
        at += 86400
    monkeypatch.setattr(supervisor, "send", send)
    store = AssetStore(LEDGER)
    monthly_limit.pause(store, "source talks", datetime(2099, 1, 1, tzinfo=timezone.utc), "enough")
    watch(source, pace=slow).run()
    assert supervisor.runs == {}
    store.delete(ledger_keys.pause_entry("source talks"))
    watch(source, pace=slow).run()
    watch(source, pace=slow).run()
    assert urls(supervisor) == ["a.mp4"]


def test_a_start_in_doubt_is_repeated_whatever_the_pace(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = supervisor.send

    def lose(msg: Any) -> Any:
        answer = send(msg)
        return comms.ErrorResponse(detail={"status_code": 503}) if isinstance(msg, comms.TriggerDagRun) else answer

    monkeypatch.setattr(supervisor, "send", lose)
    with pytest.raises(KlapSourceError, match="was not started"):
        watch(Listed("a")).run()
    monkeypatch.setattr(supervisor, "send", send)
    watch(Listed("a"), pace=Pace(back_catalogue=True, per_day=0)).run()
    supervisor.runs.clear()
    watch(Listed("a")).run()
    assert supervisor.runs == {}, "its one run was recorded before a user deleted it"


def test_an_old_item_whose_run_was_refused_does_not_start(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, source = supervisor.send, Listed("old")
    watch(source, pace=None).run()
    refused = comms.ErrorResponse(detail={"status_code": 404})
    monkeypatch.setattr(supervisor, "send", lambda msg: refused if isinstance(msg, comms.TriggerDagRun) else send(msg))
    with pytest.raises(KlapSourceError, match="was not started"):
        watch(source, pace=None, start=["old"]).run()
    monkeypatch.setattr(supervisor, "send", send)
    watch(source, pace=None).run()
    assert supervisor.runs == {}


def test_a_run_started_before_a_crash_is_found_by_its_address(
    watch: Watch, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = supervisor.send

    class Killed(BaseException):
        pass

    def kill(msg: Any) -> Any:
        answer = send(msg)
        if isinstance(msg, comms.TriggerDagRun):
            raise Killed
        return answer

    monkeypatch.setattr(supervisor, "send", kill)
    source = Listed("a")
    with pytest.raises(Killed):
        watch(source).run()
    monkeypatch.setattr(supervisor, "send", send)
    source.items = [video_item("another-id", "https://talks.invalid/a.mp4")]
    watch(source).run()
    assert len(supervisor.runs) == 1


def test_secrets_of_ids_and_errors_are_not_recorded(watch: Watch, supervisor: Supervisor) -> None:
    source = Listed()
    ids = [f"https://talks.invalid/v?id={name}&token=hunter2hunter2" for name in "ab"]
    source.items = [Item(id=each, conf={"source_video_url": "https://talks.invalid/v"}) for each in ids]
    watch(source).run()
    watch(source).run()
    assert len(supervisor.runs) == 2, "two ids stay two"
    assert "hunter2" not in "".join(supervisor.ledger.values())
    [waiting] = [Item(id=f"{ids[0]}x", waits="it is live")]
    source.items.append(waiting)
    watch(source).run()
    assert "hunter2" not in "".join(supervisor.ledger.values())
    watch(source, start=[row(supervisor)["waiting"][0]["id"]]).run()
    assert len(supervisor.runs) == 3, "the id of the page can be entered in the form"
    source.failure = OSError("https://talks.invalid/v?token=hunter2hunter2")
    with pytest.raises(KlapSourceError) as failed:
        watch(source).run()
    assert failed.value.__suppress_context__, "Airflow logs causes, with their texts"


def test_an_item_with_a_secret_in_its_id_is_known_by_the_whole_id(watch: Watch, supervisor: Supervisor) -> None:
    address = "https://talks.invalid/a.mp4?token=hunter2hunter2"
    source = Listed()
    source.items = [video_item(address, address), video_item("urn:a", address)]
    watch(source).run()
    assert len(supervisor.runs) == 1


def test_too_many_items_are_refused(watch: Watch) -> None:
    with pytest.raises(KlapSourceError, match="lists 2001 items, and at most 2000"):
        watch(Listed(*map(str, range(2001)))).run()


# Prefixes


@pytest.fixture
def folder(storage: fsspec.AbstractFileSystem) -> Callable[[str, bytes], None]:
    """Write a file to ``memory://bucket/in``."""
    return lambda name, content: storage.pipe(f"/bucket/in/{name}", content)


def poll(supervisor: Supervisor, source: Any, seconds: float = 0) -> Checked:
    """List a source as the trigger does, this number of seconds later."""
    check = SourceCheck("talks", source, NEW, AssetStore(LEDGER))
    return check.run(time.time() + seconds, in_task=False)


BUCKET = PrefixSource(path="memory://bucket/in")


def test_a_file_starts_only_when_it_is_complete(
    watch: Watch, folder: Callable[[str, bytes], None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_runs, "STABLE_FOR", 0.01)
    for content in (b"", b"half", b"whole"):
        folder("talk.mp4", content)
        watch(BUCKET).run()
        assert supervisor.runs == {}
    time.sleep(0.02)
    watch(BUCKET).run()
    assert [run.conf for run in supervisor.runs.values()] == [{"source_video_url": "memory://bucket/in/talk.mp4"}]
    folder("talk.mp4", b"another video with the same name")
    for _ in range(3):
        watch(BUCKET).run()
    assert len(supervisor.runs) == 1


def test_another_prefix_starts_none_of_its_old_files(
    watch: Watch, folder: Callable[[str, bytes], None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of another Dag, whose file was copied with the name of the source."""
    monkeypatch.setattr(source_runs, "STABLE_FOR", 0.0)
    watch(Listed("a"), pace=None).run()
    folder("old.mp4", b"1")
    time.sleep(0.01)
    watch(Listed("a"), pace=None).run()
    for _ in range(2):
        watch(BUCKET, pace=None).run()
    assert supervisor.runs == {}


def test_a_file_must_be_the_same_for_some_time_however_often_it_is_checked(
    folder: Callable[[str, bytes], None], supervisor: Supervisor
) -> None:
    supervisor.ledger[ledger_keys.source_entry("talks")] = "{}"
    folder("talk.mp4", b"content")
    assert [poll(supervisor, BUCKET, seconds).needs_task for seconds in (0, 1, 19, 21)] == [False, False, False, True]


def test_only_videos_that_are_not_excluded_or_hidden_count(
    folder: Callable[[str, bytes], None], supervisor: Supervisor
) -> None:
    for name in ("a.MP4", "sub/b.mov", "a.json", ".klap-x.part", ".hidden/c.mp4", "done/d.mp4", "done2/e.mp4", "f"):
        folder(name, b"content")
    source = PrefixSource(path="memory://bucket/in", exclude=("done",))
    assert sorted(each.title for each in source.list()) == ["a.MP4", "done2/e.mp4", "sub/b.mov"]


def test_a_folder_of_the_machine_is_a_source_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"content")
    [found] = PrefixSource(path=str(tmp_path)).list()
    assert found.conf == {"source_video_url": f"file://{tmp_path}/a.mp4"}
    assert found.published == pytest.approx(time.time(), abs=60)
    with pytest.raises(KlapInputError, match="does not exist"):
        PrefixSource(path=f"{tmp_path}/nothing").list()


def test_shorts_that_are_delivered_into_the_watched_prefix_start_nothing(
    watch: Watch, supervisor: Supervisor, storage: fsspec.AbstractFileSystem, airflow: Any, make_shorts: Any, klap: Any
) -> None:
    shorts = make_shorts(2)
    name = shorts[0]["name"]  # of both
    for short in shorts:
        export = klap.call("POST", f"/projects/{short['folder_id']}/{short['id']}/exports", json={}).json()
        airflow(
            lambda short=short, export_id=export["id"]: DeliverShortOperator(
                task_id="deliver",
                export_id=export_id,
                project_id=short["id"],
                folder_id=short["folder_id"],
                short_name=name,
                destination="memory://bucket/in/shorts",
            )
        ).run()
    watch(BUCKET).run()
    source = Listed()
    source.items = [video("copy", fingerprint=None), video_item("x", "https://y.invalid/x", title=name)]
    found = BUCKET.list()
    assert len(found) == 2
    check = SourceCheck("talks", BUCKET, NEW, AssetStore(LEDGER)).run(time.time() + 60)
    assert [reason for _, reason in check.decision.skip] == [IS_OURS] * 2
    watch(source, name="channel").run()
    assert urls(supervisor) == ["copy.mp4"]


# The trigger


def trigger_of(source: Any, **more: Any) -> SourceTrigger:
    made = SourceTrigger.of(source, asset="a", name="talks", **{"pace": NEW, "poll_interval": 0.02, **more})
    path, kwargs = made.serialize()
    again: SourceTrigger = import_string(path)(**json_copy(kwargs))
    assert again.serialize() == (path, json_copy(kwargs))
    return again


async def events_within(trigger: SourceTrigger, seconds: float) -> list[Any]:
    found: list[Any] = []

    async def collect() -> None:
        async for event in trigger.run():
            found.append(event.payload)  # it never ends

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(collect(), seconds)
    return found


def test_the_trigger_fires_for_the_first_check_and_for_new_items(
    watch: Watch, folder: Callable[[str, bytes], None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_runs, "STABLE_FOR", 0.0)
    event = {"source": "talks"}
    folder("old.mp4", b"content")
    assert asyncio.run(events_within(trigger_of(BUCKET), 0.5)) == [event], "the first check runs in a task"
    watch(BUCKET, pace=None).run()
    assert asyncio.run(events_within(trigger_of(BUCKET, pace=None), 0.5)) == []
    folder("new.mp4", b"content")
    for _ in range(2):
        assert asyncio.run(events_within(trigger_of(BUCKET, pace=None), 0.5)) == [event], "again after a restart"
    watch(BUCKET, pace=None).run()
    assert urls(supervisor) == ["new.mp4"]
    assert asyncio.run(events_within(trigger_of(BUCKET, pace=None), 0.5)) == []


@pytest.mark.usefixtures("supervisor")
def test_the_trigger_fires_again_for_unhandled_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_trigger, "REPORT_AGAIN", 0.2)
    found = asyncio.run(events_within(trigger_of(PrefixSource(path=str(tmp_path))), 0.7))
    assert 2 <= len(found) <= 4


def test_a_failing_source_fires_once_and_is_polled_less_often(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = PrefixSource(path="/nowhere/at/all")
    assert asyncio.run(events_within(trigger_of(broken, poll_interval=0.01), 1.0)) == [{"source": "talks"}]
    row = json.loads(supervisor.ledger[ledger_keys.poll_entry("talks")])
    assert "does not exist" in row["error"]
    assert 3 <= row["failures"] < 10


@pytest.mark.usefixtures("supervisor")
def test_a_hanging_poll_blocks_one_thread_and_not_the_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_trigger, "LONGEST_POLL", 0.05)
    trigger = trigger_of(Hanging(), poll_interval=0.01)

    async def poll_and_release() -> list[Any]:
        found = await events_within(trigger, 1.0)
        RELEASE.set()
        return found

    assert asyncio.run(poll_and_release()) == [{"source": "talks"}], "the hanging poll is reported"
    assert len(polls) == 1


@pytest.mark.usefixtures("supervisor")
def test_the_arguments_of_the_trigger_are_the_same_at_each_parse() -> None:
    pace = Pace(since=datetime(2026, 1, 1, tzinfo=timezone.utc), hours=(9, 17))
    first, second = (SourceTrigger.of(BUCKET, asset="a", name="b", pace=pace, poll_interval=9) for _ in range(2))
    assert first.serialize() == second.serialize()
    assert first.serialize() == (first.serialize()[0], json_copy(first.serialize()[1]))
