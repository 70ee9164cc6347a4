"""Rows of the ledger are archived, exported and restored: nothing is lost, doubled, or paid for again."""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.dag_parts import ledger_tasks
from klap_provider.errors import KlapConfigError, KlapError, KlapInputError, KlapTransportError
from klap_provider.hooks import AIRFLOW_CONN_ID
from klap_provider.hooks.airflow_api import AirflowApi
from klap_provider.operators import ExportShortOperator, SubmitShortsOperator
from klap_provider.rules.ledger import Attempt, Requester
from klap_provider.rules.ledger_keys import delivered_entry, limit_entry, month_log, notice_entry, reserved_entry
from klap_provider.rules.retention import keys_of_past_months
from klap_provider.ui import ledger_payments
from tests.support import state_store
from tests.support.api_server import ADMIN, OP, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Rows = dict[str, dict[str, Any]]

NOW = datetime.now(timezone.utc).replace(microsecond=0)
DAG, RUN, DELETED = "klap_generate_shorts", "manual__here", "manual__deleted"
#: Days since a row was written.
OLD, NEW = 400, 5


class Killed(BaseException):
    """The task's process was killed."""


@pytest.fixture(scope="module", params=["database", "backend"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Return an API server, with all values in its database or in a state-store backend."""
    env: dict[str, str | None] = {}
    if request.param == "backend":
        env = {"AIRFLOW__WORKERS__STATE_STORE_BACKEND": state_store.NAME}
        env[state_store.FOLDER] = str(tmp_path_factory.mktemp("store"))
    with ApiServer(tmp_path_factory.mktemp("airflow"), env=env) as running:
        running.seed(runs=[{"dag_id": DAG, "run_id": RUN, "at": ago(OLD)}])
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Return the API server of another Airflow, which has never run anything."""
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        running.seed()
        yield running


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the connection to an API server."""

    def connect(server: ApiServer, user: str = ADMIN) -> None:
        conn = {"conn_type": "http", "host": server.url, "login": user, "password": user}
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(conn))

    return connect


@pytest.fixture
def fill(server: ApiServer, use: Callable[..., None]) -> Callable[[Rows], None]:
    """Replace the rows of the ledger."""

    def write(rows: Rows, into: ApiServer = server) -> None:
        use(into)
        requests.delete(store_url(into), headers=into.token(ADMIN), timeout=60).raise_for_status()
        lines = [{"key": key, **row} for key, row in rows.items()]
        assert AirflowApi(AIRFLOW_CONN_ID).post("ledger/restore", lines) == len(rows)

    return write


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def row(value: Any, days: float = OLD, run: str = RUN, dag: str = DAG) -> dict[str, Any]:
    by = {"dag_id": dag, "run_id": run, "task_id": "export", "map_index": 2}
    return {"value": value, "at": ago(days), "by": by}


def attempt(key: str, days: float = OLD, **more: Any) -> Rows:
    """Return the rows of a paid attempt."""
    made = Attempt(
        key=key,
        id=f"id-{key}".replace(".", "-"),
        at=(NOW - timedelta(days=days)).timestamp(),
        requester=Requester(f"{DAG} {RUN}"),
        price=0.48,
        **more,
    )
    return {
        key: row(made.to_row(), days),
        f"claim.{key}": row("holder", days),
        f"door.{key}": row({"closed_by": "holder"}, days),
        made.payment_key: row(made.payment(f"job of {key}"), days),
    }


def store_url(server: ApiServer) -> str:
    found = requests.get(f"{server.url}/api/v2/assets", headers=server.token(ADMIN), timeout=60).json()
    return f"{server.url}/api/v2/assets/{found['assets'][0]['id']}/state-store"


def keys(server: ApiServer) -> set[str]:
    return set(rows_of(server))


def rows_of(server: ApiServer) -> Rows:
    """Return the rows of a ledger as an archive has them."""
    found = AirflowApi(AIRFLOW_CONN_ID).every_row()
    return {line["key"]: line for page in found for line in map(json.loads, page.decode().splitlines())}


def archive(folder: Path, forget_after: timedelta | None = None, tries: int = 1) -> dict[str, Any]:
    age = timedelta(days=90)
    return ledger_tasks.archive(str(folder), AIRFLOW_CONN_ID, "", age, forget_after, ti=task_instance(tries))


def export(folder: Path, **params: Any) -> str:
    given = {"format": "archive", "month": None, "dag": None, **params}
    made: str = ledger_tasks.export(str(folder), AIRFLOW_CONN_ID, "", params=given, ti=task_instance())["file"]
    return made.removeprefix("file://")


def restore(folder: Path) -> dict[str, Any]:
    return ledger_tasks.restore(str(folder), AIRFLOW_CONN_ID, "", ti=task_instance())


def task_instance(tries: int = 1) -> Any:
    return SimpleNamespace(dag_id="klap_ledger", run_id="r", task_id="t", map_index=-1, try_number=tries)


def archived(folder: Path) -> list[str]:
    """Return the keys in all archives."""
    lines = [json.loads(line) for file in folder.rglob("*.jsonl") for line in file.read_text().splitlines()]
    return [line["key"] for line in lines if "key" in line]


def every_kind(days: float) -> Rows:
    """Return one row of each kind, and two of each kind that belongs to a run that may be deleted."""
    return {
        **attempt("export.short.0", days),
        **attempt("submission.task.0", days),
        **attempt("request.print.0", days),
        "adopt.export.short.0": row("job", days),
        "resend.submission.task.0": row(True, days),
        "generated.folder": row({"version": 1, "payment": "paid.2025-01-01.folder"}, days),
        "paid.2025-01-01.folder": row({"id": "folder", "price": 3.2, "at": ago(days)}, days),
        "reuse.print": row({"version": 1, "payment": "paid.2025-01-01.x"}, days),
        "selection.task": row({"selected": ["short"]}, days),
        "event.there": row({"version": 1}, days),
        **{delivered_entry(DAG, run, "short"): row({"path": "/x"}, days, run) for run in (RUN, DELETED)},
        **{notice_entry(DAG, run, "t", -1, "e"): row({"at": ago(days)}, days, run) for run in (RUN, DELETED)},
        **{reserved_entry("dag d", f"{DAG} {run}", "f"): row({"items": []}, days, run) for run in (RUN, DELETED)},
        **{key: row({"total": "1"}, days) for key in month_rows(days)},
        "watched.feed.item": row({"run": "x"}, days),
        "tomorrow.kind": row({"version": 99, "unknown": True}, days),
    }


def month_rows(days: float) -> list[str]:
    """Return the keys of the log of a limit in the month that was some days ago."""
    month = ago(days)[:7]
    entry = f"{month_log(month, 'dag d')}.0"
    return [entry, f"claim.{entry}", f"door.{entry}", f"void.{entry}", limit_entry(month, "dag d")]


UNNEEDED = {
    *(f"claim.{log}.0" for log in ("export.short", "submission.task", "request.print")),
    delivered_entry(DAG, DELETED, "short"),
    notice_entry(DAG, DELETED, "t", -1, "e"),
    reserved_entry("dag d", f"{DAG} {DELETED}", "f"),
    *month_rows(OLD),
}


def test_an_archive_moves_only_rows_that_are_not_needed_any_more(
    server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path
) -> None:
    fill(every_kind(OLD))
    before = rows_of(server)
    moved = archive(tmp_path)
    assert set(archived(tmp_path)) == UNNEEDED
    assert keys(server) == before.keys() - UNNEEDED
    assert (moved["rows"], moved["files"]) == (len(UNNEEDED), ["archive-000001.jsonl"])
    first, *lines = (tmp_path / "klap_ledger" / "archive-000001.jsonl").read_text().splitlines()
    assert json.loads(first).keys() == {"klap_ledger", "kind", "at"}
    assert {line["key"]: line for line in map(json.loads, lines)} == {key: before[key] for key in UNNEEDED}
    assert archive(tmp_path)["files"] == []


def test_new_rows_stay(server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path) -> None:
    fill(every_kind(NEW))
    before = keys(server)
    assert archive(tmp_path, forget_after=timedelta(days=365))["rows"] == 0
    assert keys(server) == before


def test_forget_after_removes_whole_requests(server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path) -> None:
    stays = {
        **attempt("export.again.0", OLD),
        **attempt("export.again.1", NEW),
        **attempt("export.decided.0", OLD),
        "resend.export.decided.0": row(True, NEW),
        "export.odd.0": row("not an attempt", NEW),
        **attempt("submission.b.0", OLD),
        **attempt("submission.b.1", NEW),
        "event.there": row({"version": 1}),
        "tomorrow.kind": row({"version": 99}),
    }
    claims = {key for key in stays if key.startswith("claim.") and stays[key]["at"] == ago(OLD)}
    [payment] = [key for key in stays if key.endswith("id-submission-b-0")]
    gone = {"export.strange.0": row("not an attempt"), "reuse.old": row({"version": 1, "payment": payment})}
    fill({**every_kind(OLD), **stays, **gone})
    archive(tmp_path, forget_after=timedelta(days=500))
    assert {"export.short.0", "door.export.short.0", "selection.task"} <= keys(server)
    archive(tmp_path, forget_after=timedelta(days=365))
    runs = {delivered_entry(DAG, RUN, "short"), notice_entry(DAG, RUN, "t", -1, "e")}
    others = {reserved_entry("dag d", f"{DAG} {RUN}", "f"), "watched.feed.item"}
    assert keys(server) == (stays.keys() - claims) | runs | others


def test_the_rows_of_a_limit_stay_until_its_month_is_over() -> None:
    first = datetime(2026, 11, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))  # still October in UTC
    (limits, *_) = keys_of_past_months(first)
    assert limits[0] < limit_entry("2026-09", "dag d") < limits[1] < limit_entry("2026-10", "dag d")


@pytest.mark.parametrize("after_the_step", [False, True])
def test_a_killed_archive_loses_and_doubles_nothing(
    server: ApiServer,
    fill: Callable[[Rows], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after_the_step: bool,
) -> None:
    monkeypatch.setattr(ledger_tasks, "ROWS_PER_FILE", 4)
    monkeypatch.setattr("klap_provider.hooks.airflow_api.ROWS_AT_ONCE", 3)
    rows = {f"claim.export.short{number}.0": row("holder") for number in range(10)} | attempt("export.a.0")
    fill(rows)
    steps, left = 0, 0

    def killed(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps, left
            steps, left = steps + 1, left - 1
            if left == 0 and not after_the_step:
                raise Killed
            done = step(*args, **kwargs)
            if left == 0:
                raise Killed
            return done

        return run

    monkeypatch.setattr(AirflowApi, "_request", killed(AirflowApi._request))
    monkeypatch.setattr(ledger_tasks, "_write", killed(ledger_tasks._write))
    folder, kill_at = tmp_path / "0", 0
    while True:
        kill_at += 1
        folder = tmp_path / str(kill_at)
        left = kill_at
        try:
            archive(folder)
        except Killed:
            left = 0
            archive(folder, tries=2)
        else:
            break
        left = 0
        found = archived(folder)
        assert len(found) == len(set(found)) == 11, kill_at
        assert keys(server) == rows.keys() - set(found)
        fill(rows)
    assert kill_at > 10


def test_a_request_repeated_after_the_kill_is_kept_completely(
    server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: Any) -> int:
        raise Killed

    fill({**attempt("export.a.0"), **attempt("export.b.0"), **attempt("export.b.1")})
    with monkeypatch.context() as patched:
        patched.setattr(ledger_tasks, "_delete", kill)
        with pytest.raises(Killed):
            archive(tmp_path, forget_after=timedelta(days=365))
    repeated = {**attempt("export.a.0"), **attempt("export.a.1", NEW)}
    AirflowApi(AIRFLOW_CONN_ID).post("ledger/restore", [{"key": key, **row} for key, row in repeated.items()])
    archive(tmp_path, forget_after=timedelta(days=365), tries=2)
    assert keys(server) == repeated.keys() - {"claim.export.a.0"}


def test_a_row_that_changed_since_it_was_read_is_kept(
    server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a backend, the row has the same reference. Only its time shows that the value has changed.
    at = NEW if state_store.FOLDER in server.airflow.env else OLD
    changed = {"claim.export.b.0": row("another holder", at), "claim.export.c.0": row("holder", OLD + 1)}
    fill({f"claim.export.{name}.0": row("holder") for name in "abc"})
    lines = AirflowApi(AIRFLOW_CONN_ID).get("ledger/unneeded", before=ago(90)).splitlines()
    fill({"claim.export.a.0": row("holder"), **changed})
    assert ledger_tasks._delete(AirflowApi(AIRFLOW_CONN_ID), lines) == 1
    assert keys(server) == changed.keys()
    monkeypatch.setattr(AirflowApi, "post", lambda *_: 0)
    with pytest.raises(KlapError, match="its rows were not removed"):
        archive(tmp_path)


def test_an_export_is_restored_with_times_and_writers_and_replaces_nothing(
    server: ApiServer, other: ApiServer, fill: Callable[..., None], use: Callable[..., None], tmp_path: Path
) -> None:
    fill({**every_kind(OLD), "event.user": {"value": [1.5, None, "ü\u2028"], "at": ago(3)}})
    archive(tmp_path)
    export(tmp_path)
    whole = rows_of(server)
    for line in (tmp_path / "klap_ledger" / "archive-000001.jsonl").read_text().split("\n")[1:-1]:
        whole[json.loads(line)["key"]] = json.loads(line)

    fill({"selection.task": row("mine", NEW)}, other)
    (tmp_path / "klap_ledger" / "notes.txt").write_text("not an archive")
    restored = restore(tmp_path)["files"]
    assert sum(restored.values()) == len(whole) - 1
    found = rows_of(other)
    assert found.pop("selection.task")["value"] == "mine"
    assert found == {key: line for key, line in whole.items() if key != "selection.task"}
    assert sum(restore(tmp_path)["files"].values()) == 0


def test_an_export_during_runs_has_complete_attempts(
    server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(attempt("export.a.0", NEW))
    late = {**attempt("export.b.0"), **attempt("submission.b.0")}
    get = AirflowApi.get

    def one_row(self: AirflowApi, path: str, after: str) -> str:
        if after.startswith("paid."):  # the keys before this one have been read
            self.post("ledger/restore", [{"key": key, **row} for key, row in late.items()])
        elif after.startswith("export.a."):
            self.post("ledger/restore", [{"key": "export.b.0", **late["export.b.0"]}])
        return get(self, path, after=after, limit=1)

    monkeypatch.setattr(AirflowApi, "get", one_row)
    folder = tmp_path / "klap_ledger"
    assert export(tmp_path).startswith(str(folder))
    found = set(archived(folder))
    assert {key for key in late if not key.startswith("claim.")} <= found


def test_the_archive_after_a_restore_does_not_remove_the_restored_rows(
    server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path
) -> None:
    rows = attempt("export.a.0")
    fill(rows)
    archive(tmp_path, forget_after=timedelta(days=365))
    assert keys(server) == set()
    restore(tmp_path)
    archive(tmp_path)
    assert keys(server) == rows.keys() - {"claim.export.a.0"}
    restore(tmp_path)
    restore(tmp_path)
    assert keys(server) == rows.keys()


def test_a_restore_uses_the_newest_row_and_accepts_unknown_fields(
    other: ApiServer, fill: Callable[..., None], tmp_path: Path
) -> None:
    fill({}, other)
    folder = tmp_path / "klap_ledger"
    folder.mkdir()
    for name, at, value in (("export-1", ago(2), "old"), ("archive-000001", ago(1), "new")):
        head = {"klap_ledger": 99, "at": at, "colour": "red"}
        line = {"key": "claim.a", "value": value, "at": ago(9), "by": {"dag_id": DAG, "pool": "x"}, "of_tomorrow": {}}
        (folder / f"{name}.jsonl").write_text(f"{json.dumps(head)}\n{json.dumps(line)}\n\n")
    restore(tmp_path)
    assert rows_of(other)["claim.a"]["value"] == "new"


def test_a_move_to_a_new_database_pays_nothing_again(
    airflow: Callable[..., Played],
    supervisor: Supervisor,
    klap: Sandbox,
    make_shorts: Callable[..., list[dict[str, Any]]],
    server: ApiServer,
    other: ApiServer,
    fill: Callable[..., None],
    use: Callable[..., None],
    tmp_path: Path,
) -> None:
    def submit(name: str, **more: Any) -> Played:
        address = "https://example.com/episode.mp4"
        return airflow(lambda: SubmitShortsOperator(task_id=name, source_video_url=address, reuse=True, **more))

    def exported(name: str, short: dict[str, Any]) -> Played:
        ids = {"project_id": short["id"], "folder_id": short["folder_id"]}
        return airflow(lambda: ExportShortOperator(task_id=name, **ids))

    [short] = make_shorts()
    first = [submit("submit").run()["klap_task_id"], exported("export", short).run()["export_id"]]
    paid = klap.ledger()
    fill({key: {"value": json.loads(value), "at": ago(100)} for key, value in supervisor.ledger.items()})
    archive(tmp_path)
    export(tmp_path)

    fill({}, other)
    restore(tmp_path)
    supervisor.ledger.clear()
    supervisor.ledger.update({key: json.dumps(line["value"]) for key, line in rows_of(other).items()})
    again = [submit("other").run()["klap_task_id"], exported("again", short).run()["export_id"]]
    assert again == first
    assert klap.ledger() == paid


def test_the_three_maintenance_dags_run_in_airflow(
    other: ApiServer,
    fill: Callable[..., None],
    use: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(every_kind(OLD), other)
    monkeypatch.setitem(other.airflow.env, "AIRFLOW_CONN_AIRFLOW_API", os.environ["AIRFLOW_CONN_AIRFLOW_API"])
    script = f"""
from klap_provider import dag_parts
for what, conf in ("maintenance", {{}}), ("export", {{"format": "archive"}}), ("restore", {{}}):
    make = getattr(dag_parts, f"klap_ledger_{{what}}")
    run = make(destination={str(tmp_path)!r}, default_args={{"retries": 0}}).test(run_conf=conf)
    assert str(run.state) == "success", run.state
"""
    other.run("-c", script)
    assert set(archived(tmp_path)) == every_kind(OLD).keys() | rows_of(other).keys()
    assert keys(other) >= UNNEEDED


def test_payments_are_exported_by_month_and_dag_and_no_cell_is_a_formula(
    server: ApiServer, fill: Callable[[Rows], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paid(day: str, number: int, dag: str = DAG) -> Rows:
        value = {"id": f"{number}", "run": f"{dag} {RUN}", "at": f"{day}T12:00:00+00:00", "price": 0.48}
        return {f"paid.{day}.{number}": row({**value, "what": '=HYPERLINK("x")', "video": 'a,"b"\n'}, dag=dag)}

    fill(
        {
            **paid("2026-01-31", 1),
            **paid("2026-02-01", 2),
            **paid("2026-02-28", 3, "other"),
            **paid("2026-02-28", 4),
            **paid("2026-03-01", 5),
        }
    )

    def times(**params: Any) -> list[str]:
        with open(export(tmp_path, **{"format": "csv", **params}), newline="") as opened:
            return [line["at"][:10] for line in csv.DictReader(opened)]

    assert times() == ["2026-03-01", "2026-02-28", "2026-02-28", "2026-02-01", "2026-01-31"]
    assert times(month="2026-02") == ["2026-02-28", "2026-02-28", "2026-02-01"]
    assert times(month="2026-02", dag="other") == ["2026-02-28"]
    file = export(tmp_path, format="jsonl", month="2026-01")
    assert file.endswith("klap_ledger/payments-2026-01.jsonl")
    with open(file) as opened:
        [line] = map(json.loads, opened)
    assert (line["cost"], line["what"]) == (0.48, '=HYPERLINK("x")')
    with open(export(tmp_path, format="csv", month="2026-01"), newline="") as opened:
        [cells] = csv.DictReader(opened)
    assert (cells["what"], cells["video"]) == ('\'=HYPERLINK("x")', 'a,"b"\n')
    with pytest.raises(KlapInputError, match="whole ledger"):
        export(tmp_path, month="2026-02")


def test_an_export_has_all_payments_however_many_can_be_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    days = [f"2026-01-{day:02d}" for day in range(1, 8)]

    def payments(_: Any, *, since: str, until: str, **__: Any) -> dict[str, Any]:
        of_period = [day for day in days if since <= day <= until]
        newest = of_period[-3:]
        first = newest[0] if len(of_period) > 3 else since
        shown = [dict.fromkeys(ledger_payments.EXPORTED) | {"at": day} for day in reversed(newest)]
        return {"payments": shown, "since": first}

    monkeypatch.setattr(ledger_payments, "payments", payments)
    period: dict[str, Any] = {"search": "", "dag_id": None, "run": None, "since": "0001-01-01", "until": "9999-12-31"}
    lines = "".join(ledger_payments.exported(None, as_csv=False, **period)).splitlines()
    assert [json.loads(line)["at"] for line in lines] == days[::-1]
    assert len("".join(ledger_payments.exported(None, as_csv=True, **period)).splitlines()) == len(days) + 1


def test_each_route_requires_a_permission(
    server: ApiServer, fill: Callable[[Rows], None], use: Callable[..., None], tmp_path: Path
) -> None:
    fill({**attempt("export.a.0"), "paid.2026-01-01.x": row({"id": "x", "price": 1, "at": ago(1)}, dag=PRIVATE)})
    export(tmp_path)
    before = keys(server)
    for path in ("rows", "unneeded?before=2026-01-01T00:00:00Z", "delete", "restore"):
        method = "GET" if path[:2] in ("ro", "un") else "POST"
        answer = requests.request(method, f"{server.url}/klap/api/ledger/{path}", json=[], timeout=60)
        assert answer.status_code == 401, path
    use(server, VIEWER)
    with pytest.raises(KlapConfigError, match="403"):
        archive(tmp_path)
    with pytest.raises(KlapConfigError, match="403"):
        restore(tmp_path)
    use(server, USER)
    with pytest.raises(KlapConfigError, match="403"):
        archive(tmp_path)
    use(server)
    assert keys(server) == before


def test_a_user_without_permission_for_a_dag_cannot_forge_a_delivery(
    server: ApiServer, fill: Callable[[Rows], None], use: Callable[..., None]
) -> None:
    fill({})
    server.seed(runs=[{"dag_id": PRIVATE, "run_id": "r", "at": ago(1)}])
    forged = row({"project_id": "s", "path": f"/videos/{PRIVATE}/secret.mp4"}, run=DELETED)
    use(server, OP)
    with pytest.raises(KlapConfigError, match=f"create XComs of the Dag {PRIVATE}"):
        AirflowApi(AIRFLOW_CONN_ID).post("ledger/restore", [{"key": delivered_entry(DAG, DELETED, "s"), **forged}])
    use(server)
    assert keys(server) == set()


def test_a_missing_or_wrong_connection_is_named(
    server: ApiServer, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor
) -> None:
    def read() -> None:
        AirflowApi(AIRFLOW_CONN_ID).get("ledger/rows")

    with pytest.raises(KlapConfigError, match="no Airflow connection 'airflow_api'"):
        read()
    token = server.token(ADMIN)["Authorization"].removeprefix("Bearer ")
    host, port = server.url.removeprefix("http://").split(":")
    conn = {"conn_type": "http", "host": host, "port": int(port), "password": token}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(conn))
    read()
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps({**conn, "host": f"{server.url}/other"}))
    with pytest.raises(KlapConfigError, match="a web page"):  # Airflow's UI answers at any address
        read()
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps({**conn, "login": ADMIN, "password": "wrong"}))
    with pytest.raises(KlapConfigError, match="401"):
        read()
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps({**conn, "port": 9}))
    with pytest.raises(KlapTransportError, match="did not answer"):
        read()
