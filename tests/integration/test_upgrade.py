"""Runs in progress survive an upgrade: the current version resumes from what each earlier version stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string

from klap_provider import triggers, xcoms
from tests.support.airflow_context import OtherRun
from tests.support.upgrade import (
    BATCH,
    DATA,
    FOLDER,
    HOST,
    MAIN_PATH,
    OTHERS,
    StoredRun,
    make_jobs,
    replaced,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("in_doubt_window_over")

VERSIONS = sorted(path.name for path in DATA.iterdir())

#: The forms of a stored object: as stored, with unknown fields, and without optional fields.
FORMS = ["as stored", "with more", "with less"]
NEEDED_BY_TRIGGERS = {"klap_conn_id", "target", "started_at", "deadline", "end_from_trigger", "dag_id", "run_id"}
NEEDED_OF_TARGETS = {"klap_task_id", "export_id", "project_id", "folder_id"}
NOT_NEEDED_OF_ROWS = {"version", "what", "video", "price", "inputs", "tries", "settings", "estimated", "budget", "at"}

#: Fields of results that are the same when a task continues with a paid job.
SAME = {"klap_task_id", "output_id", "export_id", "project_id", "submitted_at", "delivered", "run_id", "runs"}


def read(version: str, name: str) -> Any:
    return json.loads((DATA / version / f"{name}.json").read_text(encoding="utf-8"))


def with_more(stored: Any) -> Any:
    if isinstance(stored, list):
        return [with_more(each) for each in stored]
    if not isinstance(stored, dict):
        return stored
    return {**{name: with_more(value) for name, value in stored.items()}, "of_tomorrow": {"colour": "red"}}


class Stored:
    """The stored data of a version, with the ids of the sandbox."""

    def __init__(self, version: str, form: str, words: dict[str, str]) -> None:
        self.form = form
        self.waits, self.xcoms, self.rows = (
            json.loads(replaced(json.dumps(read(version, name)), words)) for name in ("triggers", "xcoms", "ledger")
        )

    def formed(self, stored: Any, needed: set[str]) -> Any:
        """Return an object in the form of the test."""
        if self.form == "with less" and isinstance(stored, list):
            return [self.formed(each, needed) for each in stored]
        if self.form == "with less" and isinstance(stored, dict):
            return {name: value for name, value in stored.items() if name in needed}
        return with_more(stored) if self.form == "with more" else stored

    def wait(self, wait: dict[str, Any]) -> TaskDeferred:
        """Return a wait as Airflow reads it from its database."""
        kwargs = self.formed(wait["trigger_kwargs"], NEEDED_BY_TRIGGERS)
        if "target" in kwargs:
            kwargs["target"] = self.formed(wait["trigger_kwargs"]["target"], NEEDED_OF_TARGETS)
        trigger = import_string(wait["trigger"])(**kwargs)
        next_kwargs = self.formed(wait["next_kwargs"], {*wait["next_kwargs"]})
        return TaskDeferred(trigger=trigger, method_name=wait["next_method"], kwargs=next_kwargs)

    def row(self, row: Any) -> Any:
        """Return a row of the ledger."""
        if not isinstance(row, dict) or self.form == "as stored":
            return row
        if self.form == "with more":
            return {**row, "of_tomorrow": 1, **({"version": 99} if "version" in row else {})}
        return row if "version" not in row else {n: value for n, value in row.items() if n not in NOT_NEEDED_OF_ROWS}

    def result(self, task_id: str, map_index: int) -> Any:
        """Return the result of a task."""
        xcom = (task_id, map_index, xcoms.RETURN_KEY)
        (value,) = [x["value"] for x in self.xcoms if (x["task_id"], x["map_index"], x["key"]) == xcom]
        return value

    def put(self, supervisor: Supervisor, run: StoredRun) -> None:
        """Fill Airflow's database."""
        supervisor.ledger.update({key: json.dumps(self.row(row)) for key, row in self.rows.items()})
        for xcom in self.xcoms:
            shape = xcoms.XCOMS[run.operator_of(xcom["task_id"])].get(xcom["key"], xcoms.Failure)
            value = self.formed(xcom["value"], {*getattr(shape, "__required_keys__", xcom["value"])})
            supervisor.put_xcom(xcom["task_id"], value, xcom["key"], xcom["map_index"])
        published = {xcom["key"]: xcom["value"] for xcom in self.xcoms if xcom["task_id"] == "publish"}
        supervisor.runs = {
            wait["trigger_kwargs"]["run_id"]: OtherRun(published=published)
            for wait in self.waits
            if "run_id" in wait["trigger_kwargs"]
        }


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=FORMS)
def stored(
    version: str,
    request: pytest.FixtureRequest,
    klap: Sandbox,
    connect: Callable[..., None],
    supervisor: Supervisor,
    run: StoredRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stored:
    """The stored data of a version in Airflow's database, and its jobs at Klap."""
    monkeypatch.setattr("random.uniform", lambda low, high: low)  # a poll that is due is spread over the interval
    connect(klap.url, poke_interval=0.1, first_poll=1)
    jobs = read(version, "jobs")
    ids = make_jobs(klap, jobs)
    found = Stored(version, request.param, {**words_of(jobs, ids, HOST, klap.root), FOLDER: str(tmp_path)})
    found.put(supervisor, run)
    return found


@pytest.fixture
def run(supervisor: Supervisor, tmp_path: Path) -> StoredRun:
    return StoredRun(supervisor, str(tmp_path))


@pytest.fixture
def retried(airflow: Callable[..., Played], run: StoredRun) -> Callable[..., Played]:
    """Return a task that has begun, with the next try."""

    def task(task_id: str, map_index: int = -1) -> Played:
        return airflow(run.make(task_id, map_index), map_index=map_index, tries=1)

    return task


def same(result: Any) -> list[dict[str, Any]]:
    """Return the fields of a result that must not change."""
    results = result if isinstance(result, list) else [result]
    return [{name: each[name] for name in SAME & each.keys()} for each in results]


def test_every_kind_of_stored_data_is_recorded(version: str, run: StoredRun) -> None:
    waits = {wait["trigger"].rpartition(".")[2] for wait in read(version, "triggers")}
    assert waits == set(triggers.__all__) - {"SourceTrigger"}  # a watcher's, which each parse of its Dag file makes
    left = {(run.operator_of(xcom["task_id"]), xcom["key"]) for xcom in read(version, "xcoms")}
    read_by_tasks = {(name, key) for name, keys in xcoms.XCOMS.items() for key in keys if key != xcoms.NOTICE_KEY}
    assert read_by_tasks <= left
    rows = {key.partition(".")[0] for key in read(version, "ledger")}
    of_requests = {"paid", "export", "submission", "request", "claim", "door", "resend", "generated", "reuse"}
    assert of_requests | {"selection", "delivered"} <= rows


def test_each_wait_ends_and_its_task_continues_without_another_payment(
    stored: Stored, klap: Sandbox, supervisor: Supervisor, retried: Callable[..., Played]
) -> None:
    paid = klap.ledger()
    for wait in stored.waits:
        result = retried(wait["task_id"], wait["map_index"]).run(stored.wait(wait))
        assert same(result) == same(stored.result(wait["task_id"], wait["map_index"])), wait
    assert klap.ledger() == paid
    if stored.form == "with more":  # what was added to the progress of a wait is in its result, too
        supervisor.misshapen.clear()


def test_each_task_that_starts_again_reuses_stored_data_and_pays_nothing(
    stored: Stored, klap: Sandbox, retried: Callable[..., Played]
) -> None:
    paid = klap.ledger()
    for task_id, map_index in [*MAIN_PATH, *((other, -1) for other in OTHERS), *BATCH]:
        result = retried(task_id, map_index).run()
        assert same(result) == same(stored.result(task_id, map_index)), task_id
    assert klap.ledger() == paid


def test_a_request_in_doubt_is_resolved_without_another_payment(
    stored: Stored, klap: Sandbox, retried: Callable[..., Played]
) -> None:
    paid = klap.ledger("export")
    exported = retried("in_doubt").run()
    assert exported["export_id"] in {entry["id"] for entry in paid}
    assert exported["export_id"] not in json.dumps(stored.rows)
    assert klap.ledger("export") == paid
