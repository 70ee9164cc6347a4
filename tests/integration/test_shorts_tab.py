"""The data of the Shorts tab from a real API server: permissions, ETags, and XComs in every backend."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.rules.ledger_keys import delivered_entry, export_log
from klap_provider.rules.video_list import URL
from tests.integration.test_page import at, get, short
from tests.support import state_store
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE, SETTINGS_HIDDEN
from tests.support.response_types import assert_is

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAG, RUN = "klap_generate_shorts", "manual__2026-11-01T10:00:00+00:00"
SIGNED = "https://media.example.com/talk.mp4?X-Amz-Credential=ada&token=s3cr3ttoken"
ROW = "submission of the row"
EXPORT = f"{export_log('a')}.0"
OF_ANOTHER_DAG, OF_ANOTHER_RUN, SHARED = "submission.other.0", "submission.another.0", "request.shared.0"

Keep = Any  # (dag_id, run_id, task_id, value) -> what is in the database


def in_the_database(_dag_id: str, _run_id: str, _task_id: str, value: Any) -> Any:
    return value


def whole_run(dag_id: str, run_id: str, keep: Keep = in_the_database, **run: Any) -> dict[str, Any]:
    """Return a run that has delivered one of three shorts, with XComs in the format of a backend."""

    def task(operator: str, map_index: int = -1, *, state: str = "success", **xcoms: Any) -> dict[str, Any]:
        kept = {key: keep(dag_id, run_id, operator, value) for key, value in xcoms.items()}
        return {"operator": operator, "map_index": map_index, "state": state, "xcoms": kept}

    submitted = {"klap_task_id": "task01", "submitted_at": at(1), "paid": 1, "destination": None}
    names = ("a", "b", "c")
    listed = [
        {
            "project_id": name,
            "folder_id": "f1",
            "short_name": f"Short {name}",
            "virality_score": 90 - index,
            "reason": "beyond_limit" if index else None,
            "explanation": "x" * 500,
        }
        for index, name in enumerate(names)
    ]
    offer = {"price": 0.48, "estimated": True, "spent": 1.4, "covered": None, "deadline": None}
    outcome = [
        {"project_id": "a", "path": "s3://media@media/a.mp4", "size": 10, "src_url": None, "step": None, "error": None}
    ]
    cost = {"total": 1.88, "estimated": True, "prices": {"input_video": 0.44}}
    exported = {"export_id": "e", "project_id": "a", "entry": EXPORT, "watermark": "https://a/acme.png"}
    return {
        "dag_id": dag_id,
        "run_id": run_id,
        "at": at(1),
        "conf": {URL: SIGNED, "name": "Town hall"},
        "tasks": [
            task("SubmitShortsOperator", return_value=submitted),
            task("TaskStatusSensor"),
            task("ReviewShortsOperator", klap_shorts=listed, klap_offer=offer),
            task("ExportShortOperator", 0, return_value=exported),
            task("ExportStatusSensor", 0),
            task("DeliverShortOperator", 0, return_value={"transcript": "x" * 5000}),
            task("PublishShortsOperator", klap_outcome=outcome, klap_cost=cost),
        ],
        **run,
    }


def in_doubt(run_id: str, entry: str) -> dict[str, Any]:
    """Return a run whose submission is in doubt."""
    error = {"error": "…", "type": "KlapSubmitUncertainError", "open_decision": {"entry": entry, "sent_at": at(1)}}
    submit = {"operator": "SubmitShortsOperator", "map_index": -1, "state": "failed", "xcoms": {"klap_error": error}}
    return {
        "dag_id": DAG,
        "run_id": run_id,
        "at": at(1),
        "state": "failed",
        "conf": {URL: SIGNED},
        "tasks": [submit],
    }


def ask(server: ApiServer, *, dag_id: str = DAG, run_id: str = RUN, user: str | None = USER, **headers: str) -> Any:
    headers |= server.token(user) if user else {}
    return requests.get(f"{server.url}/klap/api/dags/{dag_id}/runs/{run_id}/shorts", headers=headers, timeout=60)


def view(server: ApiServer, **where: Any) -> dict[str, Any]:
    answer = ask(server, **where)
    assert answer.status_code == 200, answer.text
    assert_is("RunView", answer.json())
    return dict(answer.json())


def is_told(found: dict[str, Any]) -> bool:
    """Return whether the view has all data of the run."""
    details = found["details"]
    [delivered] = [card for card in details["shorts"] if card["left_out"] is None]
    assert found["problems"] == []
    assert (details["name"], details["klap_task_id"], details["stage"]["text"]) == (
        "Town hall",
        "task01",
        "1 of 1 short delivered",
    )
    assert (details["cost"], details["offer"]["price"]) == ({"total": 1.88, "estimated": True, "is_sum": True}, 0.48)
    assert (delivered["path"], delivered["watermark"], delivered["export"]["entry"]) == (
        "s3://media@media/a.mp4",
        "acme.png",
        EXPORT,
    )
    return len(details["shorts"]) == 3


# An Airflow with its default configuration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    # Airflow keeps no rendered fields, as the view must not need them.
    env = {
        "AIRFLOW__CORE__NUM_DAG_RUNS_TO_RETAIN_RENDERED_FIELDS": "0",
        "AIRFLOW__API__AUTO_REFRESH_INTERVAL": "7",
        "AIRFLOW__KLAP__ALLOWED_DESTINATIONS": "s3://media@media",
    }
    with ApiServer(tmp_path_factory.mktemp("airflow"), path="/airflow", env=env) as running:
        question = {"options": ["1. a", "2. b", "3. c", "None of them"]}
        asking = whole_run(DAG, "asking", state="running")
        asking["tasks"] = [
            *asking["tasks"][:2],
            {**asking["tasks"][2], "state": "awaiting_input", "question": question},
        ]
        odd = whole_run(DAG, "odd")
        odd["tasks"][2]["xcoms"]["klap_shorts"] = {"not": "a list"}
        running.seed(
            runs=[
                whole_run(DAG, RUN),
                whole_run(PRIVATE, RUN),
                asking,
                odd,
                in_doubt("lost", ROW),
                *(in_doubt(entry, entry) for entry in (OF_ANOTHER_DAG, OF_ANOTHER_RUN, SHARED, "unknown")),
                whole_run("third", RUN),
                whole_run(SETTINGS_HIDDEN, RUN, note="Secret note", by="ada"),
                whole_run(SETTINGS_HIDDEN, "more__task01__Town-hall__1", note="Secret note"),
                whole_run(
                    DAG, "more__task01__Town-hall__1", note="Town hall: 1 more short", conf={"project_ids": ["b"]}
                ),
                whole_run(DAG, "more__task02__Town-hall__2"),
                {"dag_id": "other", "run_id": RUN, "at": at(1)},
            ],
            rows=[
                {"key": ROW, "value": {"id": None}, "dag_id": DAG, "run_id": "lost"},
                {"key": EXPORT, "value": {}, "dag_id": DAG, "run_id": RUN},
                {"key": OF_ANOTHER_DAG, "value": {}, "dag_id": "other", "run_id": "lost"},
                {"key": OF_ANOTHER_RUN, "value": {}, "dag_id": DAG, "run_id": RUN},
                {"key": SHARED, "value": {}, "dag_id": DAG, "run_id": RUN},
            ],
        )
        yield running


def test_one_request_returns_all_data_of_the_tab(server: ApiServer) -> None:
    found = view(server)
    assert is_told(found)
    assert (found["refresh"], found["may_read_xcoms"], found["batch"]) == (7, True, None)
    assert found["run"] == {"dag_id": DAG, "run_id": RUN, "state": "success"}
    assert [card["stored"] for card in found["details"]["shorts"]] == [True, False, False]


def test_the_view_has_no_secret_of_an_address(server: ApiServer) -> None:
    answer = ask(server)
    assert "s3cr3t" not in answer.text
    source = answer.json()["details"]["source"]
    assert source["text"].startswith("https://media.example.com/talk.mp4?…")
    assert source["href"] is None, "a shortened address is not a link"


def test_an_unchanged_view_is_answered_with_304(server: ApiServer) -> None:
    first = ask(server)
    assert (first.headers["Cache-Control"], first.headers["Content-Type"]) == ("private, no-cache", "application/json")
    again = ask(server, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert ask(server, **{"If-None-Match": '"another"'}).status_code == 200
    assert ask(server, run_id="odd", **{"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_change_changes_the_etag(server: ApiServer) -> None:
    server.seed(runs=[whole_run(DAG, "changing")])
    before = ask(server, run_id="changing").headers["ETag"]
    server.seed(runs=[whole_run(DAG, "more__task01__Town-hall__3", state="running")])
    assert ask(server, run_id="changing", **{"If-None-Match": before}).status_code == 200


def test_the_view_includes_follow_up_runs(server: ApiServer) -> None:
    [more] = [each for each in view(server)["follow_ups"] if each["run_id"].endswith("__1")]
    assert (more["title"], more["project_ids"], more["ended"]) == ("Town hall: 1 more short", ["b"], True)
    assert more["details"]["stage"]["text"] == "1 of 1 short delivered"
    others = view(server, run_id=more["run_id"])["follow_ups"]
    assert more["run_id"] not in [each["run_id"] for each in others], "but without the run itself"


def test_a_review_has_the_option_of_each_short(server: ApiServer) -> None:
    details = view(server, run_id="asking")["details"]
    assert details["question"]["options"] == {"a": "1. a", "b": "2. b", "c": "3. c"}
    assert details["question"]["task"]["state"] == "awaiting_input"
    listed = requests.get(f"{server.url}/klap/api/reviews", headers=server.token(USER), timeout=30).json()
    [review] = listed["reviews"]
    assert (review["run_id"], review["video"], review["until"], listed["refresh"]) == ("asking", "Town hall", None, 7)


def test_a_request_in_doubt_has_the_version_of_its_row(server: ApiServer) -> None:
    before = view(server, run_id="lost")["details"]["stage"]["in_doubt"]
    assert (before["entry"], before["price"]) == (ROW, None)
    server.seed(rows=[{"key": ROW, "value": {"id": "x", "at": at(2)}, "dag_id": DAG, "run_id": "lost"}])
    after = view(server, run_id="lost")["details"]["stage"]["in_doubt"]
    assert before["version"]
    assert after["version"] != before["version"]


@pytest.mark.parametrize(
    ("entry", "is_shown"), [(OF_ANOTHER_DAG, False), (OF_ANOTHER_RUN, False), ("unknown", False), (SHARED, True)]
)
def test_a_run_cannot_resolve_the_request_of_another_run(server: ApiServer, entry: str, is_shown: bool) -> None:
    stage = view(server, run_id=entry)["details"]["stage"]
    assert (stage["in_doubt"] is not None, stage["error"]) == (is_shown, "…")


def test_only_the_dag_that_paid_can_export_again(server: ApiServer) -> None:
    [more] = [each for each in view(server)["follow_ups"] if each["run_id"].endswith("__1")]
    assert more["details"]["shorts"][0]["export"]["entry"] == EXPORT, "runs share the exports of a short"
    assert view(server, dag_id="third")["details"]["shorts"][0]["export"] is None


def test_a_user_who_cannot_read_runs_sees_nothing_of_their_conf(server: ApiServer) -> None:
    where = {"dag_id": SETTINGS_HIDDEN, "run_id": RUN}
    found = view(server, **where)
    assert (found["details"]["name"], found["details"]["source"], found["watermark"]["src_url"]) == (None, None, None)
    assert len(found["details"]["shorts"]) == 3
    texts = json.dumps(found)
    for page in ("videos", "payments", "shorts", "reviews"):
        texts += json.dumps(get(server, page))
    assert SETTINGS_HIDDEN in texts
    of_the_dag = [each for each in get(server, "videos", limit=100)["videos"] if each["dag_id"] == SETTINGS_HIDDEN]
    assert [(each["name"], each["note"], each["by"]) for each in of_the_dag] == [
        (each["run_id"], None, None) for each in of_the_dag
    ]
    assert "Secret note" not in texts
    assert view(server, user=ADMIN, **where)["details"]["name"] == "Town hall"


def test_a_user_who_cannot_read_runs_cannot_reuse_their_conf(server: ApiServer) -> None:
    address = f"{server.url}/klap/api/dags/{SETTINGS_HIDDEN}/runs/{RUN}/exports"
    answer = requests.post(address, json={"project_ids": ["b"]}, headers=server.token(USER), timeout=30)
    assert (answer.status_code, "permission to read Dag runs" in answer.text) == (403, True)


def test_a_malformed_xcom_hides_only_itself(server: ApiServer) -> None:
    details = view(server, run_id="odd")["details"]
    assert (details["cost"]["total"], details["klap_task_id"]) == (1.88, "task01")


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ({"user": None}, 401),
        ({"dag_id": PRIVATE}, 403),
        ({"dag_id": PRIVATE, "run_id": "nowhere"}, 403),
        ({"run_id": "nowhere"}, 404),
        ({"dag_id": "~"}, 404),
        ({"dag_id": PRIVATE, "user": ADMIN}, 200),
    ],
)
def test_a_run_is_visible_only_to_users_who_may_read_it(server: ApiServer, where: dict[str, Any], status: int) -> None:
    answer = ask(server, **where)
    assert answer.status_code == status
    assert (status == 200) == ("Short a" in answer.text)


def test_a_user_who_may_not_read_xcoms_sees_only_the_stage(server: ApiServer) -> None:
    found = view(server, user=VIEWER)
    assert (found["may_read_xcoms"], found["details"]["shorts"], found["follow_ups"]) == (False, [], [])
    assert found["details"]["stage"]["text"] == "The run ended"
    for secret in ("Short a", "1.88", "task01", "s3://"):
        assert secret not in json.dumps(found)


def test_a_run_without_klap_tasks_has_an_empty_view(server: ApiServer) -> None:
    found = view(server, dag_id="other")
    assert (found["details"], found["batch"], found["follow_ups"]) == (None, None, [])


# XComs in a backend


@pytest.fixture(scope="module", params=[0, 1024])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, Path]]:
    """An Airflow that stores XComs above a size in a folder, and rows of the ledger in another folder."""
    folder, rows = tmp_path_factory.mktemp("xcoms"), tmp_path_factory.mktemp("rows")

    def keep(dag_id: str, run_id: str, task_id: str, value: Any) -> Any:
        text = json.dumps(value)
        if len(text) < request.param:
            return value
        task_folder = folder / dag_id / run_id / task_id
        task_folder.mkdir(parents=True, exist_ok=True)
        file = task_folder / f"{len(list(task_folder.iterdir()))}.json"
        file.write_text(text)
        return f"file://{file}"

    env = {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{folder}",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": str(request.param),
        "AIRFLOW__CORE__NUM_DAG_RUNS_TO_RETAIN_RENDERED_FIELDS": "0",
        "AIRFLOW__WORKERS__STATE_STORE_BACKEND": state_store.NAME,
        state_store.FOLDER: str(rows),
    }
    (folder.parent / "secret.json").write_text(json.dumps([{"project_id": "leaked", "short_name": "leaked secret"}]))
    with ApiServer(tmp_path_factory.mktemp("airflow"), env=env) as running:
        gone = whole_run(DAG, "gone", keep)
        gone["tasks"][2]["xcoms"]["klap_shorts"] = f"file://{folder}/{DAG}/gone/ReviewShortsOperator/nowhere.json"
        running.seed(
            runs=[whole_run(DAG, RUN, keep), whole_run(PRIVATE, RUN, keep), gone],
            rows=[{"key": EXPORT, "value": {}, "dag_id": DAG, "run_id": RUN}],
        )
        yield running, folder


def test_xcoms_are_read_from_their_backend(kept: tuple[ApiServer, Path]) -> None:
    server, _ = kept
    assert is_told(view(server))
    again = ask(server)
    assert ask(server, **{"If-None-Match": again.headers["ETag"]}).status_code == 304


def test_a_missing_file_of_an_xcom_hides_only_itself(kept: tuple[ApiServer, Path]) -> None:
    server, _ = kept
    found = view(server, run_id="gone")
    assert found["details"]["cost"]["total"] == 1.88
    assert found["details"]["stage"]["text"] == "The run ended", "not: the run ended without shorts"
    assert found["problems"] == [
        "The XCom klap_shorts of the task ReviewShortsOperator cannot be read. See the log of the API server."
    ]


@pytest.mark.parametrize(
    "reference",
    [
        f"file://{{folder}}/{PRIVATE}/{RUN}/ReviewShortsOperator/0.json",  # another Dag's
        f"file://{{folder}}/{DAG}/forged/ReviewShortsOperator/../../../{PRIVATE}/{RUN}/ReviewShortsOperator/0.json",
        f"file://{{folder}}/{DAG}/forged/ReviewShortsOperator/../../../../secret.json",
        f"file://{{folder}}/{DAG}/forged/ReviewShortsOperator/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.json",
        "file://{folder}/../secret.json",
        "file://{folder.parent}/secret.json",
        "/etc/hostname",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_a_forged_xcom_reference_is_not_followed(kept: tuple[ApiServer, Path], reference: str) -> None:
    server, folder = kept
    run_id = f"forged-{zlib.crc32(reference.encode())}"
    forged = whole_run(DAG, run_id)
    made_up = reference.format(folder=folder).replace("/forged/", f"/{run_id}/")
    forged["tasks"][2]["xcoms"]["klap_shorts"] = made_up
    forged["tasks"][6]["xcoms"] = {}
    server.seed(runs=[forged])
    answer = ask(server, run_id=run_id)
    assert answer.status_code == 200
    assert "leaked" not in answer.text
    assert [short["id"] for short in answer.json()["details"]["shorts"]] == ["a"], "from the XCom of the export"


def test_xcoms_are_not_deserialized_into_objects(kept: tuple[ApiServer, Path]) -> None:
    server, folder = kept
    made = {
        "__classname__": "airflow.sdk.ObjectStoragePath",
        "__version__": 1,
        "__data__": {"path": f"file://{folder}"},
    }
    run = whole_run(DAG, "classes")
    run["tasks"][2]["xcoms"]["klap_shorts"] = [{"project_id": "a", "short_name": made}]
    server.seed(runs=[run])
    assert ask(server, run_id="classes").status_code == 200


def test_rows_of_the_ledger_are_read_from_their_backend(kept: tuple[ApiServer, Path]) -> None:
    server, folder = kept
    row = short("a", DAG, RUN, 1, 50)
    (folder / "row").write_text(json.dumps(row["value"]))
    server.seed(rows=[{**row, "value": {"__airflow_state_ref__": str(folder / "row")}}])
    found = get(server, "shorts")
    assert [each["id"] for each in found["shorts"]] == ["a"]
    assert delivered_entry(DAG, RUN, "a") == row["key"]
