"""Unusual, external or forged ledger rows on the Klap page: each hides at most itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.rules.ledger_keys import delivered_entry, payment_key
from tests.integration.test_page import DAG, OTHER, at, get, paid, short
from tests.support import state_store
from tests.support.api_server import ADMIN, USER, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFERENCE = "__airflow_state_ref__"
PAGES = tuple(
    f"{page}since=2026-10-01" for page in ("videos?", "shorts?", "shorts?search=short&", "payments?", "spending?")
)
#: Values that do not belong in a row.
ODD: list[Any] = [None, "text", 7, [], [1], {}, {"at": 7}, {"id": 1, "run": [], "at": None, "price": "free"}]


def kept(row: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """Return a row whose value a state-store backend keeps."""
    (folder / name).write_text(json.dumps(row["value"]))
    return {**row, "value": {REFERENCE: str(folder / name)}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("store")
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "delivery").write_text(json.dumps(short("leaked", DAG, "r1", 1, 1)["value"]))
    env = {"AIRFLOW__WORKERS__STATE_STORE_BACKEND": state_store.NAME, state_store.FOLDER: str(folder)}
    writer = {"dag_id": DAG, "run_id": "r1"}
    with ApiServer(tmp_path_factory.mktemp("airflow"), env=env) as running:
        running.seed(
            runs=[
                {"dag_id": DAG, "run_id": "r1", "at": at(1)},
                {"dag_id": PRIVATE, "run_id": "r3", "at": at(3)},
                {"dag_id": OTHER, "run_id": "r2", "at": at(2)},
            ],
            rows=[
                kept(short("a", DAG, "r1", 1, 50), folder, "delivered"),
                kept(paid("export-a", DAG, "r1", 1, 0.48), folder, "paid"),
                short("plain", DAG, "r1", 1, 40),
                paid("export-plain", DAG, "r1", 1, 0.5),
                paid("task-3", PRIVATE, "r3", 3, 100, settings="secret settings"),
                short("secret", PRIVATE, "r3", 3, 99),
                # References to missing files, or to files that the backend has not written.
                *(
                    {**row, "value": {REFERENCE: reference}}
                    for number, reference in enumerate(
                        [
                            "",
                            "/nowhere",
                            7,
                            f"{folder}/../{secrets.name}/delivery",
                            f"{folder}/%2e%2e/{secrets.name}/delivery",
                        ]
                    )
                    for row in (short(f"broken{number}", DAG, "r1", 1, 1), paid(f"broken{number}", DAG, "r1", 1, 1))
                ),
                *(
                    {**writer, "key": delivered_entry(DAG, "r1", f"odd{index}"), "value": odd}
                    for index, odd in enumerate(ODD)
                ),
                *({**writer, "key": payment_key(at(1), f"odd{index}"), "value": odd} for index, odd in enumerate(ODD)),
                # A Dag that everybody may read writes rows in the name of a Dag that only the admin may read.
                {**paid("forged", PRIVATE, "r3", 2, 3), "dag_id": OTHER, "run_id": "r2"},
                # A Dag that only the admin may read writes a row in the name of another Dag.
                {**paid("planted", DAG, "r1", 1, 5000), "dag_id": PRIVATE, "run_id": "r3"},
                # A Dag claims that it delivered an export that the private Dag has paid for.
                short("stolen", OTHER, "r2", 2, 70, export_id="task-3"),
                # A Dag claims that it paid for an export of another Dag, and another path of that short.
                paid("export-plain", OTHER, "r5", 2, 0.01, settings="forged settings") | {"key": "paid.z"},
                {**short("a", DAG, "r1", 9, 1), "key": "delivered.z", "dag_id": OTHER, "run_id": "r2"},
                {**short("b", OTHER, "r2", 9, 1, export_id="export-a"), "key": "delivered.y"},
                # A row that a user wrote does not name a Dag, so nobody may see it.
                {name: paid("by-hand", DAG, "r1", 1, 9000)[name] for name in ("key", "value")},
            ],
        )
        yield running


@pytest.mark.parametrize("page", PAGES)
def test_no_row_makes_a_page_fail(server: ApiServer, page: str) -> None:
    for user in (USER, ADMIN):
        answer = requests.get(f"{server.url}/klap/api/{page}", headers=server.token(user), timeout=30)
        assert answer.status_code == 200, answer.text


def test_rows_in_a_state_store_backend_are_shown(server: ApiServer) -> None:
    shorts = {each["id"]: each for each in get(server, "shorts", dag_id=DAG)["shorts"]}
    assert [(each["id"], each["cost"]) for each in shorts.values()] == [("a", 0.48), ("plain", 0.5)]
    [run] = [each for each in get(server, "videos")["videos"] if each["run_id"] == "r1"]
    assert (run["shorts"], run["best"], run["cost"]) == (2, 50, 0.98)


def test_a_forged_row_reveals_nothing_that_the_user_may_not_see(server: ApiServer) -> None:
    paid_for = {each["run_id"]: each for each in get(server, "payments", dag_id=OTHER)["payments"]}
    assert (paid_for["r2"]["dag_id"], paid_for["r2"]["cost"]) == (OTHER, 3), "the row belongs to its writer"
    everything = str([get(server, page.partition("?")[0], since="2026-11-01") for page in PAGES])
    assert PRIVATE not in everything
    assert "secret settings" not in everything
    [stolen] = [each for each in get(server, "shorts")["shorts"] if each["id"] == "stolen"]
    assert (stolen["cost"], stolen["settings"]) == (None, None)


def test_a_forged_row_adds_nothing_to_what_another_dag_has_paid(server: ApiServer) -> None:
    for user in (USER, ADMIN):
        [dag] = [each for each in get(server, "spending", user, since="2026-11-01")["dags"] if each["dag_id"] == DAG]
        assert dag["cost"] == 0.98
    assert get(server, "payments", ADMIN, run_dag_id=DAG, run_id="r1")["cost"] == 0.98


def test_rows_of_a_missing_backend_are_skipped(tmp_path: Path) -> None:
    with ApiServer(tmp_path) as server:
        server.seed(
            runs=[{"dag_id": DAG, "run_id": "r1", "at": at(1)}],
            rows=[
                {**short("a", DAG, "r1", 1, 50), "value": {REFERENCE: "/somewhere"}},
                short("plain", DAG, "r1", 1, 40),
            ],
        )
        assert [each["id"] for each in get(server, "shorts")["shorts"]] == ["plain"]
