"""The actions of the tab do what the tab showed, once, or are refused with a reason and change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.rules.video_list import URL
from tests.integration.test_page import at
from tests.integration.test_shorts_tab import DAG, EXPORT, whole_run
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = {
    "SubmitShortsOperator": "submit",
    "TaskStatusSensor": "wait_for_shorts",
    "ReviewShortsOperator": "select_shorts",
    "ExportShortOperator": "short.export",
    "ExportStatusSensor": "short.wait_for_export",
    "DeliverShortOperator": "short.deliver",
    "PublishShortsOperator": "publish",
}
RUNNING = (
    "A later task of this run is running or about to start, so this step cannot be repeated now. Nothing was started "
    "or paid. Try again when that task has ended."
)
OPTIONS = ["1. a", "2. b", "3. c", "None of them"]
LEDGER_ROW = {"value": {"id": None}, "dag_id": DAG}


def run_of(run_id: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a run with the tasks of the Dag."""
    made = {**whole_run(DAG, run_id), "state": "failed", **more}
    replaced = {task["operator"]: task for task in tasks}
    own = [{**task, **replaced.get(task["operator"], {})} for task in made["tasks"]]
    mapped = {"ReviewShortsOperator": 1}
    return {
        **made,
        "tasks": [{**task, "task_id": NAMES[task["operator"]], "length": mapped.get(task["operator"])} for task in own],
    }


def failed(operator: str, **error: Any) -> dict[str, Any]:
    return {"operator": operator, "state": "failed", "xcoms": {"klap_error": {"error": "It failed.", **error}}}


def in_doubt(run_id: str) -> dict[str, Any]:
    decision = {"entry": f"doubt of {run_id}", "sent_at": at(1), "jobs": [], "price": 0.44, "estimated": True}
    return run_of(run_id, failed("SubmitShortsOperator", open_decision=decision))


def asking(run_id: str) -> dict[str, Any]:
    return run_of(
        run_id,
        {"operator": "ReviewShortsOperator", "state": "awaiting_input", "question": {"options": OPTIONS}},
        state="running",
    )


def lost(run_id: str) -> dict[str, Any]:
    return run_of(run_id, failed("SubmitShortsOperator"))


def not_exported(run_id: str) -> dict[str, Any]:
    return run_of(
        run_id,
        failed("ExportStatusSensor", type="KlapJobFailedError"),
        {"operator": "DeliverShortOperator", "state": "upstream_failed"},
        {"operator": "PublishShortsOperator", "state": "failed", "xcoms": {}},
    )


def still_running(run_id: str) -> dict[str, Any]:
    """Return a run in doubt with a running task after the failed one, which Airflow refuses to clear."""
    made = in_doubt(run_id)
    tasks = [{**task, "state": "running"} if task["task_id"] == "publish" else task for task in made["tasks"]]
    return {**made, "tasks": tasks}


def exported(run_id: str) -> dict[str, Any]:
    return run_of(run_id, state="success")


#: The runs of the tests, each with its own id.
RUNS: dict[str, Callable[[str], dict[str, Any]]] = {
    **dict.fromkeys(("lost", "lost__left_alone", "lost__in_the_log"), lost),
    "not_exported": not_exported,
    **dict.fromkeys(("doubt", "doubt__decided", "doubt__changed", "doubt__not_permitted"), in_doubt),
    "still_running": still_running,
    "exported": exported,
    **dict.fromkeys(("asking", "asking__other_options", "asking__none"), asking),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        running.run("-m", "airflow", "dags", "reserialize")
        rows: list[dict[str, Any]] = [{"key": f"doubt of {run_id}", "run_id": run_id, **LEDGER_ROW} for run_id in RUNS]
        rows.append({"key": EXPORT, "run_id": "exported", **LEDGER_ROW})
        rows.append({"key": "resend.doubt of doubt__decided", "value": True})
        runs = [make(run_id) for run_id, make in RUNS.items()]
        running.seed(runs=[*runs, {**run_of("private"), "dag_id": PRIVATE}], rows=rows)
        yield running


def details(server: ApiServer, run_id: str) -> dict[str, Any]:
    address = f"{server.url}/klap/api/dags/{DAG}/runs/{run_id}/shorts"
    return dict(requests.get(address, headers=server.token(ADMIN), timeout=60).json()["details"])


def post(
    server: ApiServer, run_id: str, what: str, body: Any, *, user: str | None = ADMIN, dag_id: str = DAG
) -> requests.Response:
    address = f"{server.url}/klap/api/dags/{dag_id}/runs/{run_id}/{what}"
    return requests.post(address, json=body, headers=server.token(user) if user else {}, timeout=60)


def at_once(*calls: Callable[[], requests.Response]) -> list[int]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(answer.status_code for answer in pool.map(lambda call: call(), calls))


def decisions(server: ApiServer, entry: str) -> dict[str, Any]:
    """Return the decisions in the ledger about an entry."""
    [ledger] = requests.get(
        f"{server.url}/api/v2/assets",
        params={"name_pattern": "klap_ledger"},
        headers=server.token(ADMIN),
        timeout=30,
    ).json()["assets"]
    rows = requests.get(
        f"{server.url}/api/v2/assets/{ledger['id']}/state-store",
        params={"limit": 100},
        headers=server.token(ADMIN),
        timeout=30,
    ).json()["asset_state_store"]
    return {row["key"].split(".")[0]: row["value"] for row in rows if row["key"].endswith(f".{entry}")}


def states(server: ApiServer, run_id: str) -> dict[str, Any]:
    address = f"{server.url}/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances"
    found = requests.get(address, headers=server.token(ADMIN), timeout=30).json()["task_instances"]
    return {task["task_id"]: task["state"] for task in found}


# Repeat a step


def test_a_failed_submission_is_retried_once_for_several_clicks(server: ApiServer) -> None:
    run_id = "lost"
    step = details(server, run_id)["next_step"]
    assert (step["is_paid"], step["is_again"], step["price"]) == (True, False, 0.44)
    body = {"tasks": step["tasks"]}
    assert at_once(*[lambda: post(server, run_id, "repetitions", body)] * 3) == [204, 409, 409]
    assert set(states(server, run_id).values()) == {None}
    late = post(server, run_id, "repetitions", body)
    assert late.json()["detail"].startswith(
        "The run has changed since this page showed it. Nothing was started or paid"
    )


def test_a_failed_export_is_cleared_with_its_downstream_tasks_only(server: ApiServer) -> None:
    run_id = "not_exported"
    [short, *_] = details(server, run_id)["shorts"]
    assert (short["retry"]["is_paid"], short["retry"]["is_again"]) == (True, True)
    assert post(server, run_id, "repetitions", {"tasks": short["retry"]["tasks"][:1]}).status_code == 409
    assert post(server, run_id, "repetitions", {"tasks": short["retry"]["tasks"]}).status_code == 204
    cleared = {task for task, state in states(server, run_id).items() if state is None}
    assert cleared == {"short.export", "short.wait_for_export", "short.deliver", "publish"}


def test_only_tasks_that_the_tab_offers_are_cleared(server: ApiServer) -> None:
    run_id = "lost__left_alone"
    [task] = details(server, run_id)["next_step"]["tasks"]
    for other in ({"state": "success"}, {"try_number": 2}, {"id": "x"}, {"task_id": "publish"}, {"map_index": 0}):
        assert post(server, run_id, "repetitions", {"tasks": [{**task, **other}]}).status_code == 409
    assert None not in states(server, run_id).values()


# Resolve a request


def request_of(server: ApiServer, run_id: str) -> dict[str, Any]:
    doubt = details(server, run_id)["stage"]["in_doubt"]
    return {name: doubt[name] for name in ("task", "entry", "version")}


def test_one_of_two_opposite_decisions_is_saved(server: ApiServer) -> None:
    run_id = "doubt"
    request = request_of(server, run_id)
    both = [{"request": request, "job_id": None}, {"request": request, "job_id": "task07"}]
    assert at_once(*[lambda body=body: post(server, run_id, "decisions", body) for body in both]) == [204, 409]
    assert len(decisions(server, request["entry"])) == 1
    assert states(server, run_id)["submit"] is None


def test_a_decision_replaces_the_opposite_one(server: ApiServer) -> None:
    run_id = "doubt__decided"
    request = request_of(server, run_id)
    assert post(server, run_id, "decisions", {"request": request, "job_id": " task07 "}).status_code == 204
    assert decisions(server, request["entry"]) == {"adopt": "task07"}


def test_a_decision_about_a_changed_row_is_refused(server: ApiServer) -> None:
    run_id = "doubt__changed"
    request = request_of(server, run_id)
    seed = {"key": request["entry"], "run_id": run_id, **LEDGER_ROW, "value": {"id": "task07", "at": at(2)}}
    server.seed(rows=[seed])
    assert post(server, run_id, "decisions", {"request": request, "job_id": None}).status_code == 409
    assert decisions(server, request["entry"]) == {}
    assert states(server, run_id)["submit"] == "failed"


def test_a_user_who_may_not_edit_the_ledger_or_the_task_changes_nothing(server: ApiServer) -> None:
    run_id = "doubt__not_permitted"
    request = request_of(server, run_id)
    for user, detail in ((USER, "edit assets"), (VIEWER, "edit task instances")):
        answer = post(server, run_id, "decisions", {"request": request, "job_id": None}, user=user)
        assert (answer.status_code, detail in answer.text) == (403, True), answer.text
    assert decisions(server, request["entry"]) == {}
    assert states(server, run_id)["submit"] == "failed"


def test_a_resend_decision_is_removed_if_the_clear_fails(server: ApiServer) -> None:
    run_id = "still_running"
    request = request_of(server, run_id)
    refused = post(server, run_id, "decisions", {"request": request, "job_id": None})
    assert (refused.status_code, refused.json()["detail"]) == (409, RUNNING)
    assert decisions(server, request["entry"]) == {}
    assert states(server, run_id)["submit"] == "failed"


def test_an_export_is_repeated_once_and_cannot_be_replaced_by_a_job(server: ApiServer) -> None:
    run_id = "exported"
    export = details(server, run_id)["shorts"][0]["export"]
    assert post(server, run_id, "decisions", {"request": export, "job_id": "e2"}).status_code == 409
    body = {"request": export, "job_id": None}
    assert at_once(*[lambda: post(server, run_id, "decisions", body)] * 2) == [204, 409]
    assert decisions(server, EXPORT) == {"resend": True}
    assert states(server, run_id)["submit"] == "success"


# Answer a review


def test_a_review_is_answered_once_with_the_options_of_the_shorts(server: ApiServer) -> None:
    run_id = "asking"
    question = details(server, run_id)["question"]
    body = {"task": question["task"], "options": {"c": question["options"]["c"]}}
    assert at_once(*[lambda: post(server, run_id, "answers", body)] * 2) == [204, 409]
    assert details(server, run_id)["review"]["text"] == "selected 1 of 3 shorts"
    none = {"task": question["task"], "options": {}}
    late = post(server, run_id, "answers", none, user=USER)
    assert late.json()["detail"] == f"{ADMIN} has already answered this review. Your answer was not saved."
    address = f"{server.url}/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/select_shorts/-1/hitlDetails"
    found = requests.get(address, headers=server.token(ADMIN), timeout=30).json()
    assert found["chosen_options"] == ["3. c"]


def test_options_of_other_shorts_are_refused(server: ApiServer) -> None:
    run_id = "asking__other_options"
    task = details(server, run_id)["question"]["task"]
    for options in ({"a": "2. b"}, {"unknown": "1. a"}, {"a": "None of them"}):
        assert post(server, run_id, "answers", {"task": task, "options": options}).status_code == 409
    assert details(server, run_id)["question"] is not None


def test_an_answer_of_none_is_the_last_option(server: ApiServer) -> None:
    run_id = "asking__none"
    task = details(server, run_id)["question"]["task"]
    assert post(server, run_id, "answers", {"task": task, "options": {}}, user=VIEWER).status_code == 403
    assert post(server, run_id, "answers", {"task": task, "options": {}}).status_code == 204
    assert details(server, run_id)["review"]["text"] == "selected 0 of 3 shorts"


# All actions


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("repetitions", lambda task: {"tasks": [task]}),
        ("decisions", lambda task: {"request": {"task": task, "entry": "x", "version": "y"}, "job_id": None}),
        ("answers", lambda task: {"task": task, "options": {}}),
    ],
)
def test_each_action_needs_a_session_the_dag_and_the_run(
    server: ApiServer, what: str, body: Callable[[Any], Any]
) -> None:
    task = {"id": "x", "task_id": "submit", "map_index": -1, "state": "failed", "try_number": 1}
    where: list[tuple[dict[str, Any], int]] = [
        ({"user": None}, 401),
        ({"user": USER, "dag_id": PRIVATE}, 403),
        ({"run_id": "unknown"}, 404),
    ]
    for each, status in where:
        answer = post(server, **{"run_id": "private", "what": what, "body": body(task), **each})
        assert answer.status_code == status, answer.text


def test_each_action_is_in_airflows_audit_log(server: ApiServer) -> None:
    run_id = "lost__in_the_log"
    post(server, run_id, "repetitions", {"tasks": details(server, run_id)["next_step"]["tasks"]}, user=USER)
    query = {"event": "post_clear_task_instances", "dag_id": DAG, "run_id": run_id}
    address = f"{server.url}/api/v2/eventLogs"
    [entry] = requests.get(address, params=query, headers=server.token(ADMIN), timeout=30).json()["event_logs"]
    assert entry["owner"] == USER
    assert URL not in str(entry)
