"""*Export this too*: the server starts the run, so the browser never has the video's address."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.rules.video_list import URL
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator

DAG, VIDEO_DAG, RUN = "klap_generate_shorts", "klap_caption_video", "manual__2026-11-01T10:00:00+00:00"
AT = "2026-11-01T10:00:00+00:00"
SIGNED = "https://media.example.com/talk.mp4?X-Amz-Credential=ada&X-Amz-Signature=s3cr3tsignature"
MARK = "https://media.example.com/acme.png?X-Amz-Signature=an0thers3cr3t"


def listed(*project_ids: str) -> list[dict[str, Any]]:
    return [{"project_id": each, "folder_id": "f1", "short_name": each, "reason": None} for each in project_ids]


def run(dag_id: str, run_id: str, submit: str, choose: str, conf: dict[str, Any], **submitted: Any) -> dict[str, Any]:
    submitted = {"klap_task_id": "task01", "submitted_at": AT, "paid": 1, "destination": None, **submitted}
    tasks = [
        {"operator": submit, "map_index": -1, "xcoms": {"return_value": submitted}},
        {"operator": choose, "map_index": -1, "xcoms": {"klap_shorts": listed("a", "b", "c")}},
    ]
    return {"dag_id": dag_id, "run_id": run_id, "at": AT, "conf": conf, "tasks": tasks}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        running.run("-m", "airflow", "dags", "reserialize")
        conf = {URL: SIGNED, "limit": 1, "budget": 5, "name": "Town hall", "watermark_src_url": MARK}
        shorts = ("SubmitShortsOperator", "ReviewShortsOperator")
        running.seed(
            runs=[
                run(DAG, RUN, *shorts, conf),
                run(VIDEO_DAG, RUN, "SubmitVideoOperator", "ListShortsOperator", {URL: SIGNED}, klap_task_id="task02"),
                run(DAG, "no-xcoms", *shorts, conf) | {"tasks": []},
                run(DAG, "odd", *shorts, conf, klap_task_id=["x"]),
                run("without_a_form", RUN, *shorts, conf),
                run(PRIVATE, RUN, *shorts, conf),
            ]
        )
        yield running


def post(server: ApiServer, body: Any, *, dag_id: str = DAG, run_id: str = RUN, user: str | None = USER) -> Any:
    headers = {"Content-Type": "application/json", **(server.token(user) if user else {})}
    address = f"{server.url}/klap/api/dags/{dag_id}/runs/{run_id}/exports"
    # requests refuses NaN with its argument `json`.
    return requests.post(address, data=json.dumps(body), headers=headers, timeout=60)


def started(server: ApiServer, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    made = answer.json()
    address = f"{server.url}/api/v2/dags/{made['dag_id']}/dagRuns/{made['run_id']}"
    found: dict[str, Any] = requests.get(address, headers=server.token(ADMIN), timeout=30).json()
    return found


def test_the_run_has_the_whole_address_and_the_browser_has_nothing_of_it(server: ApiServer) -> None:
    answer = post(server, {"project_ids": ["c", "b"]})
    made = started(server, answer)
    assert made["conf"] == {
        URL: SIGNED,
        "limit": 1,
        "name": "Town hall",
        "watermark_src_url": MARK,
        "budget": None,
        "review": False,
        "klap_task_id": "task01",
        "project_ids": ["b", "c"],
    }
    assert (made["note"], made["triggering_user_name"], made["state"]) == ("Town hall: 2 more shorts", USER, "queued")
    assert "s3cr3t" not in answer.text + made["dag_run_id"] + made["note"]


def test_a_repeated_order_is_one_run(server: ApiServer) -> None:
    assert post(server, {"project_ids": ["b"]}).json() == post(server, {"project_ids": ["b"]}, user=ADMIN).json()


def test_an_unchanged_watermark_needs_no_address(server: ApiServer) -> None:
    conf = started(server, post(server, {"project_ids": ["a"], "watermark": {"pos_x": 0.1}}))["conf"]
    assert (conf["watermark_src_url"], conf["watermark_pos_x"]) == (MARK, 0.1)
    conf = started(server, post(server, {"project_ids": ["a"], "watermark": {"src_url": None}}))["conf"]
    assert conf["watermark_src_url"] is None


def test_a_whole_video_is_exported_again_without_naming_a_short(server: ApiServer) -> None:
    body = {"project_ids": ["a"], "watermark": {"src_url": "https://media.example.com/b.png"}}
    conf = started(server, post(server, body, dag_id=VIDEO_DAG))["conf"]
    assert (conf["klap_task_id"], "project_ids" in conf) == ("task02", False)


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ({"user": None}, 401),
        ({"user": VIEWER}, 403),
        ({"dag_id": PRIVATE}, 403),
        ({"run_id": "nowhere"}, 404),
        ({"run_id": "no-xcoms"}, 409),
        ({"run_id": "odd"}, 409),
        ({"dag_id": "without_a_form"}, 409),
    ],
)
def test_a_refused_order_starts_nothing(server: ApiServer, where: dict[str, Any], status: int) -> None:
    before = runs(server)
    answer = post(server, {"project_ids": ["a"]}, **where)
    assert (answer.status_code, runs(server)) == (status, before), answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"project_ids": ["of-another-video"]}, 409),
        ({"project_ids": []}, 422),
        ({"project_ids": ["a"], "conf": {"destination": "/etc"}}, 422),
        ({"project_ids": ["a"], "watermark": {"pos_x": 7}}, 422),
        ({"project_ids": ["a"], "watermark": {"pos_y": math.nan}}, 422),
        ({"project_ids": ["a"], "watermark": {"scale": math.inf}}, 422),
        ({"project_ids": ["a"], "watermark": {"scale": 0}}, 422),
        ({"project_ids": ["a"], "watermark": {"color": "red"}}, 422),
    ],
)
def test_an_invalid_order_starts_nothing(server: ApiServer, body: Any, status: int) -> None:
    before = runs(server)
    answer = post(server, body)
    assert (answer.status_code, runs(server)) == (status, before), answer.text


def test_an_order_is_in_airflows_audit_log(server: ApiServer) -> None:
    post(server, {"project_ids": ["a", "b", "c"]})
    address = f"{server.url}/api/v2/eventLogs"
    query = {"event": "trigger_dag_run", "dag_id": DAG, "order_by": "-when"}
    [newest, *_] = requests.get(address, params=query, headers=server.token(ADMIN), timeout=30).json()["event_logs"]
    assert (newest["owner"], newest["run_id"][:14]) == (USER, "more__task01__")
    assert "s3cr3t" not in str(newest)


def runs(server: ApiServer) -> int:
    address = f"{server.url}/api/v2/dags/~/dagRuns"
    found: int = requests.get(address, headers=server.token(ADMIN), timeout=30).json()["total_entries"]
    return found
