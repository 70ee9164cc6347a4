"""What the page Klap is told: runs, shorts and money of the DAGs that a user may read, and nothing of any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.rules.ledger import delivered_entry, paid_entry
from klap_provider.rules.video_list import URL
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator

DAG, OTHER = "klap_generate_shorts", "weekly_webinar"
TALK, WEBINAR = "https://example.com/talk.mp4", "https://example.com/webinar.mp4"


def at(day: int) -> str:
    return f"2026-11-{day:02}T10:00:00+00:00"


def short(project_id: str, dag_id: str, run_id: str, day: int, score: int | None, video: str = TALK) -> dict[str, Any]:
    value = {
        "project_id": project_id,
        "export_id": f"export-{project_id}",
        "name": f"Short {project_id}",
        "score": score,
        "video": video,
        "path": f"s3://media/{project_id}.mp4",
        "size": 1000,
        "sha256": "",
        "at": at(day),
    }
    key = delivered_entry(dag_id, run_id, project_id)
    return {"key": key, "value": value, "dag_id": dag_id, "run_id": run_id}


def paid(job_id: str, dag_id: str, run_id: str, day: int, price: float, video: str = TALK, **more: Any) -> Any:
    value = {"id": job_id, "run": f"{dag_id} {run_id}", "at": at(day), "price": price, "what": "it", **more}
    return {"key": paid_entry(video, job_id), "value": value, "dag_id": dag_id, "run_id": run_id}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        running.seed(
            runs=[
                {"dag_id": DAG, "run_id": "r1", "at": at(1), "conf": {URL: TALK}, "by": USER},
                {
                    "dag_id": OTHER,
                    "run_id": "r2",
                    "at": at(2),
                    "conf": {"source_video_url": WEBINAR, "name": "Webinar"},
                },
                {"dag_id": PRIVATE, "run_id": "r3", "at": at(3), "conf": {URL: TALK}},
                {"dag_id": DAG, "run_id": "r4", "at": at(4), "state": "running", "note": "Talk of the month"},
                # The same id as one of another DAG's.
                {"dag_id": OTHER, "run_id": "r1", "at": at(5), "state": "failed"},
            ],
            rows=[
                short("a", DAG, "r1", 1, 50),
                short("b", DAG, "r1", 1, None),
                short("c", OTHER, "r2", 2, 90, WEBINAR),
                short("secret", PRIVATE, "r3", 3, 99),
                short("old", DAG, "a run that was deleted", 1, 10),
                {name: short("by-hand", DAG, "r1", 1, 1)[name] for name in ("key", "value")},
                {"key": "paid by mistake", "value": "a person's"},
                paid("task-1", DAG, "r1", 1, 0.44, budget=5.0),
                paid("folder-1", DAG, "r1", 1, 0.64),
                paid("export-a", DAG, "r1", 1, 0.48, second_hand=True),
                paid("task-2", OTHER, "r2", 2, 0.44, WEBINAR),
                paid("task-3", PRIVATE, "r3", 3, 100),
                paid("task-0", DAG, "a run that was deleted", 1, 7),
            ],
        )
        yield running


def get(server: ApiServer, what: str, user: str = USER, **query: Any) -> Any:
    answer = requests.get(f"{server.url}/klap/api/{what}", params=query, headers=server.token(user), timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("what", ["videos", "shorts", "money?since=2026-11-01"])
def test_without_a_login_nothing_is_told(server: ApiServer, what: str) -> None:
    assert requests.get(f"{server.url}/klap/api/{what}", timeout=30).status_code == 401


def test_what_a_user_may_not_read_is_nowhere(server: ApiServer) -> None:
    answers = [get(server, "videos"), get(server, "shorts"), get(server, "money", since="2026-11-01")]
    assert PRIVATE not in str(answers)
    assert "secret" not in str(answers)
    assert PRIVATE in str(get(server, "videos", ADMIN))
    assert "Short secret" in str(get(server, "shorts", ADMIN))
    assert any(dag["dag_id"] == PRIVATE for dag in get(server, "money", ADMIN, since="2026-11-01")["dags"])


def test_who_may_read_no_xcoms_is_shown_nothing_of_them(server: ApiServer) -> None:
    assert get(server, "videos", VIEWER) == {"videos": [], "more": False}
    assert get(server, "shorts", VIEWER) == {"shorts": [], "total": 0, "dag_ids": []}
    assert get(server, "money", VIEWER, since="2026-11-01") == {"days": [], "dags": []}


def test_the_runs_are_told_the_newest_first_each_with_what_came_of_it(server: ApiServer) -> None:
    found = get(server, "videos")
    assert [(each["dag_id"], each["run_id"]) for each in found["videos"]] == [
        (OTHER, "r1"),
        (DAG, "r4"),
        (OTHER, "r2"),
        (DAG, "r1"),
    ]
    *_, webinar, talk = found["videos"]
    assert talk == {
        "dag_id": DAG,
        "run_id": "r1",
        "name": "example.com/talk.mp4",
        "note": None,
        "state": "success",
        "at": at(1),
        "by": USER,
        "shorts": 2,
        "best": 50,
        "cost": 1.56,
        "second_hand": True,
        "budget": 5.0,
        "batch": 0,
    }
    assert (webinar["name"], webinar["shorts"], webinar["best"], webinar["budget"]) == ("Webinar", 1, 90, None)
    assert webinar["second_hand"] is False
    assert found["videos"][1]["name"] == "Talk of the month"
    assert (found["videos"][0]["shorts"], found["videos"][0]["cost"]) == (0, None)


def test_they_come_in_pages(server: ApiServer) -> None:
    first = get(server, "videos", limit=2)
    second = get(server, "videos", limit=2, offset=2)
    assert (first["more"], second["more"]) == (True, False)
    assert first["videos"] + second["videos"] == get(server, "videos")["videos"]


def test_the_library_has_all_shorts_those_of_deleted_runs_too_the_best_first(server: ApiServer) -> None:
    found = get(server, "shorts")
    assert [each["id"] for each in found["shorts"]] == ["c", "a", "old", "b"]
    assert (found["total"], found["dag_ids"]) == (4, [DAG, OTHER])
    assert [(each["cost"], each["second_hand"]) for each in found["shorts"][:2]] == [(None, False), (0.48, True)]
    assert [each["id"] for each in found["shorts"] if not each["run_exists"]] == ["old"]


@pytest.mark.parametrize(
    ("order_by", "ids"),
    [
        ("at", ["old", "a", "b", "c"]),
        ("-at", ["c", "old", "a", "b"]),
        ("name", ["a", "b", "c", "old"]),
        ("score", ["b", "old", "a", "c"]),
        ("dag_id", ["old", "a", "b", "c"]),
    ],
)
def test_it_is_sorted_as_one_likes(server: ApiServer, order_by: str, ids: list[str]) -> None:
    assert [each["id"] for each in get(server, "shorts", order_by=order_by)["shorts"]] == ids


def test_it_is_searched_by_words_of_name_video_and_dag(server: ApiServer) -> None:
    assert [each["id"] for each in get(server, "shorts", search="WEBINAR short")["shorts"]] == ["c"]
    assert get(server, "shorts", search="secret")["total"] == 0
    assert [each["id"] for each in get(server, "shorts", dag_id=OTHER)["shorts"]] == ["c"]
    assert get(server, "shorts", dag_id=PRIVATE)["total"] == 0


def test_it_comes_in_pages(server: ApiServer) -> None:
    pages = [get(server, "shorts", limit=1, offset=place)["shorts"][0]["id"] for place in range(4)]
    assert pages == ["c", "a", "old", "b"]


def test_the_money_is_right_without_the_runs(server: ApiServer) -> None:
    found = get(server, "money", since="2026-11-01")
    assert found["days"] == [
        {"day": "2026-11-01", "dag_id": DAG, "cost": 8.56},
        {"day": "2026-11-02", "dag_id": OTHER, "cost": 0.44},
    ]
    sums = {"runs": 2, "cost": 8.56, "second_hand": True, "budget": 5.0, "budgeted": 1.56}
    assert found["dags"][0] == {"dag_id": DAG, **sums}
    assert get(server, "money", since="2026-11-02")["days"] == found["days"][1:]


@pytest.mark.parametrize("wrong", ["shorts?order_by=path", "shorts?limit=1000", "videos?offset=-1", "money?since=x"])
def test_what_makes_no_sense_is_refused(server: ApiServer, wrong: str) -> None:
    answer = requests.get(f"{server.url}/klap/api/{wrong}", headers=server.token(USER), timeout=30)
    assert answer.status_code == 422
