"""The data of the Klap page: runs, shorts and costs of the Dags that the user may read, and of no others."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.rules.ledger_keys import delivered_entry, pause_entry, payment_key, poll_entry, source_entry
from klap_provider.rules.video_list import URL
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE
from tests.support.response_types import assert_is

if TYPE_CHECKING:
    from collections.abc import Iterator

DAG, OTHER, BATCH = "klap_generate_shorts", "weekly_webinar", "klap_generate_shorts_batch"
TALK, WEBINAR = "https://example.com/talk.mp4", "https://example.com/webinar.mp4"
#: The types of the responses; that of the tab is a RunView.
RESPONSES = {
    "payments": "Payments",
    "reviews": "Reviews",
    "shorts": "DeliveredShorts",
    "sources": "Sources",
    "spending": "Spending",
    "videos": "Videos",
}


def at(day: int) -> str:
    return f"2026-11-{day:02}T10:00:00+00:00"


def short(
    project_id: str, dag_id: str, run_id: str, day: int, score: int | None, video: str = TALK, **more: Any
) -> dict[str, Any]:
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
        **more,
    }
    key = delivered_entry(dag_id, run_id, project_id)
    return {"key": key, "value": value, "dag_id": dag_id, "run_id": run_id}


def paid(job_id: str, dag_id: str, run_id: str, day: int, price: float, video: str = TALK, **more: Any) -> Any:
    value = {
        "id": job_id,
        "run": f"{dag_id} {run_id}",
        "at": at(day),
        "price": price,
        "what": "it",
        "video": video,
        **more,
    }
    return {"key": payment_key(at(day), job_id), "value": value, "dag_id": dag_id, "run_id": run_id}


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
                {
                    "dag_id": BATCH,
                    "run_id": "b0",
                    "at": "2026-11-01T12:00:00+00:00",
                    "conf": {"list_path": "/lists/monday.csv"},
                },
                {
                    "dag_id": BATCH,
                    "run_id": "b2",
                    "at": "2026-10-31T10:00:00+00:00",
                    "conf": {"source_video_urls": [f"{TALK}?token=secret", "", "# no video", WEBINAR]},
                },
                {
                    "dag_id": OTHER,
                    "run_id": "scheduled",
                    "at": "2026-10-30T10:00:00+00:00",
                    "tasks": [
                        {
                            "operator": "SubmitShortsOperator",
                            "map_index": -1,
                            "xcoms": {"return_value": {"video": "https://www.youtube.com/watch?v=M7lc1UVf-VE"}},
                        }
                    ],
                },
                {
                    "dag_id": DAG,
                    "run_id": "asking",
                    "at": "2026-10-29T10:00:00+00:00",
                    "state": "running",
                    "conf": {URL: TALK, "name": "Which ones?"},
                    "tasks": [{"operator": "ReviewShortsOperator", "map_index": -1, "state": "awaiting_input"}],
                },
                # The same run id as in another Dag.
                {"dag_id": OTHER, "run_id": "r1", "at": at(5), "state": "failed"},
            ],
            rows=[
                short("a", DAG, "r1", 1, 50),
                short("b", DAG, "r1", 1, None),
                # Two other runs have delivered the export that the first one has paid.
                short("a", DAG, "r4", 4, 50, path="s3://other/a.mp4"),
                short("a", OTHER, "r1", 3, 50),
                short("c", OTHER, "r2", 2, 90, WEBINAR),
                short("secret", PRIVATE, "r3", 3, 99),
                short("old", DAG, "a run that was deleted", 1, 10),
                {name: short("by-hand", DAG, "r1", 1, 1)[name] for name in ("key", "value")},
                {"key": "paid.by-mistake", "value": "written by a user"},
                paid("task-1", DAG, "r1", 1, 0.44, budget=5.0),
                paid("folder-1", DAG, "r1", 1, 0.64),
                paid("export-a", DAG, "r1", 1, 0.48, estimated=True, settings="watermark acme.png"),
                paid("task-2", OTHER, "r2", 2, 0.44, WEBINAR),
                paid("task-3", PRIVATE, "r3", 3, 100),
                paid("task-0", DAG, "a run that was deleted", 1, 7),
            ],
        )
        yield running


def get(server: ApiServer, what: str, user: str = USER, **query: Any) -> Any:
    if what in ("shorts", "payments", "spending"):
        query = {"since": "2026-10-01", **query}
    answer = requests.get(f"{server.url}/klap/api/{what}", params=query, headers=server.token(user), timeout=30)
    assert answer.status_code == 200, answer.text
    assert_is(RESPONSES.get(what, "RunView"), answer.json())
    return answer.json()


@pytest.mark.parametrize("what", ["videos", "shorts", "sources", "spending?since=2026-11-01", "payments"])
def test_a_request_without_a_login_is_refused(server: ApiServer, what: str) -> None:
    assert requests.get(f"{server.url}/klap/api/{what}", timeout=30).status_code == 401


def test_the_page_shows_only_what_the_user_may_read(server: ApiServer) -> None:
    answers = [
        get(server, "videos"),
        get(server, "shorts"),
        get(server, "spending", since="2026-11-01"),
        get(server, "payments"),
    ]
    assert PRIVATE not in str(answers)
    assert "secret" not in str(answers)
    assert PRIVATE in str(get(server, "videos", ADMIN))
    assert "Short secret" in str(get(server, "shorts", ADMIN))
    assert any(dag["dag_id"] == PRIVATE for dag in get(server, "spending", ADMIN, since="2026-11-01")["dags"])


def test_a_user_who_may_not_read_xcoms_gets_none_of_their_data(server: ApiServer) -> None:
    assert get(server, "videos", VIEWER) == {
        "videos": [],
        "more": False,
        "searched": None,
        "dag_ids": [],
        "refresh": 3,
    }
    assert get(server, "reviews", VIEWER)["reviews"] == []
    nothing = {"total": 0, "cost": 0, "estimated": False, "dag_ids": [], "since": "2026-10-01"}
    assert get(server, "shorts", VIEWER) == {"shorts": [], **nothing}
    assert get(server, "payments", VIEWER) == {"payments": [], **nothing, "run_name": None}
    of_run = get(server, "payments", VIEWER, run_dag_id=DAG, run_id="r1")
    assert of_run == {"payments": [], **nothing, "run_name": None}
    assert get(server, "spending", VIEWER) == {"days": [], "dags": [], "since": "2026-10-01", "limits": []}


def test_runs_are_listed_newest_first_with_their_results(server: ApiServer) -> None:
    found = get(server, "videos")
    assert [(each["dag_id"], each["run_id"]) for each in found["videos"]] == [
        (OTHER, "r1"),
        (DAG, "r4"),
        (OTHER, "r2"),
        (BATCH, "b0"),
        (DAG, "r1"),
        (BATCH, "b2"),
        (OTHER, "scheduled"),
        (DAG, "asking"),
    ]
    estimated, noted, webinar, _, talk, *_ = found["videos"]
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
        "estimated": True,
        "budget": 5.0,
        "batch": 0,
    }
    assert (webinar["name"], webinar["shorts"], webinar["best"], webinar["budget"]) == ("Webinar", 1, 90, None)
    assert webinar["estimated"] is False
    assert noted["name"] == "Talk of the month"
    assert (estimated["shorts"], estimated["cost"]) == (1, None), "another run had paid"


@pytest.mark.parametrize(
    ("asked", "run_ids", "more"),
    [
        ({"search": "TALK month"}, ["r4"], False),
        ({"search": "webinar", "state": "success"}, ["r2", "scheduled"], False),
        ({"state": "running"}, ["r4"], False),
        ({"state": "awaiting_input"}, ["asking"], False),
        ({"order_by": "at", "limit": 2}, ["asking", "scheduled"], True),
        ({"order_by": "-cost", "limit": 2}, ["r1", "r2"], True),
        ({"search": "which", "order_by": "name"}, ["asking"], False),
        ({"search": "nothing of the kind"}, [], False),
    ],
)
def test_runs_are_searched_filtered_and_sorted(
    server: ApiServer, asked: dict[str, Any], run_ids: list[str], *, more: bool
) -> None:
    found = get(server, "videos", **asked)
    assert [each["run_id"] for each in found["videos"]] == run_ids
    assert (found["more"], found["searched"]) == (more, 8)


def test_a_run_with_an_open_review_is_marked(server: ApiServer) -> None:
    states = {each["run_id"]: each["state"] for each in get(server, "videos")["videos"]}
    assert (states["asking"], states["r4"]) == ("awaiting_input", "running")


def test_the_page_names_the_dags_that_can_have_runs(server: ApiServer) -> None:
    assert get(server, "videos", limit=1)["dag_ids"] == sorted((DAG, OTHER, BATCH))


def test_a_run_without_a_name_is_named_after_its_videos(server: ApiServer) -> None:
    names = {each["run_id"]: each["name"] for each in get(server, "videos")["videos"] if each["run_id"] not in "r1 r4"}
    assert names == {
        "b0": "/lists/monday.csv",
        "b2": "example.com/talk.mp4?…1359227d and 1 more",
        "r2": "Webinar",
        "scheduled": "youtu.be/M7lc1UVf-VE",
        "asking": "Which ones?",
    }


def test_paid_requests_are_listed_newest_first(server: ApiServer) -> None:
    found = get(server, "payments")
    assert [(each["at"], each["cost"]) for each in found["payments"]] == [
        (at(2), 0.44),
        (at(1), 0.48),
        (at(1), 0.64),
        (at(1), 7),
        (at(1), 0.44),
    ]
    assert found["payments"][1] == {
        "at": at(1),
        "video": TALK,
        "what": "it",
        "settings": "watermark acme.png",
        "dag_id": DAG,
        "run_id": "r1",
        "run_name": "example.com/talk.mp4",
        "cost": 0.48,
        "estimated": True,
    }
    assert found["payments"][3]["run_name"] is None, "it is deleted"
    assert (found["total"], found["cost"], found["estimated"]) == (5, 9.0, True)
    assert found["dag_ids"] == [DAG, OTHER]
    assert any(each["cost"] == 100 for each in get(server, "payments", ADMIN)["payments"])


@pytest.mark.parametrize(
    ("asked", "costs"),
    [
        ({"search": "WEBINAR"}, [0.44]),  # the video, and the name of its run
        ({"search": "acme it"}, [0.48]),
        ({"search": "example.com/talk.mp4 generate"}, [0.48, 0.64, 7, 0.44]),
        ({"search": "nowhere"}, []),
        ({"dag_id": OTHER}, [0.44]),
        ({"dag_id": PRIVATE}, []),
        ({"run_dag_id": DAG, "run_id": "r1"}, [0.48, 0.64, 0.44]),
        ({"run_dag_id": DAG, "run_id": "a run that was deleted"}, [7]),
        ({"run_dag_id": OTHER, "run_id": "r1"}, []),
        ({"run_dag_id": PRIVATE, "run_id": "r3"}, []),
    ],
)
def test_paid_requests_are_searched_and_summed(server: ApiServer, asked: Any, costs: list[float]) -> None:
    found = get(server, "payments", **asked)
    assert [each["cost"] for each in found["payments"]] == costs
    assert (found["total"], found["cost"]) == (len(costs), pytest.approx(sum(costs)))


def test_the_requested_run_is_named(server: ApiServer) -> None:
    assert get(server, "payments", run_dag_id=OTHER, run_id="r2")["run_name"] == "Webinar"
    assert get(server, "payments", run_dag_id=PRIVATE, run_id="r3")["run_name"] is None
    assert get(server, "payments", ADMIN, run_dag_id=PRIVATE, run_id="r3")["run_name"] == "example.com/talk.mp4"


def test_the_newest_payments_come_with_the_sum_of_all(server: ApiServer) -> None:
    some = get(server, "payments", limit=2)
    assert (some["total"], some["cost"]) == (5, 9.0)
    assert some["payments"] == get(server, "payments")["payments"][:2]


def test_a_page_of_runs_says_whether_there_are_more(server: ApiServer) -> None:
    everything = get(server, "videos")["videos"]
    for limit, more in ((2, True), (7, True), (8, False), (100, False)):
        some = get(server, "videos", limit=limit)
        assert (some["videos"], some["more"]) == (everything[:limit], more)


def test_all_shorts_are_listed_best_first_even_of_deleted_runs(server: ApiServer) -> None:
    found = get(server, "shorts")
    assert [each["id"] for each in found["shorts"]] == ["c", "a", "old", "b"]
    assert (found["total"], found["dag_ids"]) == (4, [DAG, OTHER])
    assert [(each["cost"], each["estimated"]) for each in found["shorts"][:2]] == [(None, False), (0.48, True)]
    assert [each["settings"] for each in found["shorts"][:2]] == [None, "watermark acme.png"]
    assert [each["run_name"] for each in found["shorts"]] == [
        "Webinar",
        "Talk of the month",
        None,
        "example.com/talk.mp4",
    ]


@pytest.mark.parametrize(
    ("order_by", "ids"),
    [
        ("at", ["a", "b", "old", "c"]),
        ("-at", ["c", "a", "b", "old"]),
        ("name", ["a", "b", "c", "old"]),
        ("score", ["b", "old", "a", "c"]),
        ("dag_id", ["a", "b", "old", "c"]),
    ],
)
def test_shorts_can_be_sorted(server: ApiServer, order_by: str, ids: list[str]) -> None:
    assert [each["id"] for each in get(server, "shorts", order_by=order_by)["shorts"]] == ids


def test_shorts_are_searched_by_name_video_run_and_dag(server: ApiServer) -> None:
    assert [each["id"] for each in get(server, "shorts", search="of the MONTH")["shorts"]] == ["a"]
    assert [each["id"] for each in get(server, "shorts", search="WEBINAR short")["shorts"]] == ["c", "a"]
    assert get(server, "shorts", search="secret")["total"] == 0
    assert [each["id"] for each in get(server, "shorts", dag_id=OTHER)["shorts"]] == ["c", "a"]
    assert get(server, "shorts", dag_id=PRIVATE)["total"] == 0


def test_a_page_has_no_more_shorts_than_requested(server: ApiServer) -> None:
    assert [each["id"] for each in get(server, "shorts", limit=3)["shorts"]] == ["c", "a", "old"]


def test_an_export_of_several_runs_is_listed_and_paid_once(server: ApiServer) -> None:
    [found] = [each for each in get(server, "shorts")["shorts"] if each["id"] == "a"]
    assert (found["run_id"], found["path"]) == ("r4", "s3://other/a.mp4"), "the last delivery"
    assert (found["at"], found["cost"]) == (at(1), 0.48), "the day of the payment"
    # A search in the shorts of another Dag finds that Dag's delivery.
    [there] = [each for each in get(server, "shorts", dag_id=OTHER)["shorts"] if each["id"] == "a"]
    assert (there["dag_id"], there["run_id"], there["cost"]) == (OTHER, "r1", 0.48)


def test_the_sum_covers_all_pages_of_a_search(server: ApiServer) -> None:
    found = get(server, "shorts", limit=1)
    assert (found["total"], found["cost"], found["estimated"]) == (4, 0.48, True)
    other = get(server, "shorts", search="webinar")
    assert (other["total"], other["cost"], other["estimated"]) == (2, 0.48, True)


def test_a_period_has_the_shorts_that_were_paid_in_it(server: ApiServer) -> None:
    first = get(server, "shorts", until="2026-11-01")
    assert ([each["id"] for each in first["shorts"]], first["cost"]) == (["a", "old", "b"], 0.48)
    second = get(server, "shorts", since="2026-11-02", until="2026-11-02")
    assert ([each["id"] for each in second["shorts"]], second["total"]) == (["c"], 1)
    [again] = get(server, "shorts", since="2026-11-03")["shorts"]
    assert (again["id"], again["cost"], again["at"]) == ("a", None, at(3)), "delivered in the period, but paid before"
    assert get(server, "shorts", since="2026-11-05")["total"] == 0


def test_costs_are_complete_for_deleted_runs(server: ApiServer) -> None:
    found = get(server, "spending", since="2026-11-01")
    assert found["days"] == [
        {"day": "2026-11-01", "dag_id": DAG, "cost": 8.56},
        {"day": "2026-11-02", "dag_id": OTHER, "cost": 0.44},
    ]
    sums = {"runs": 2, "cost": 8.56, "estimated": True, "budget": 5.0, "budgeted": 1.56}
    assert found["dags"][0] == {"dag_id": DAG, **sums}
    assert get(server, "spending", since="2026-11-02")["days"] == found["days"][1:]


@pytest.mark.parametrize(
    "wrong", ["shorts?order_by=path", "shorts?limit=1001", "shorts?since=x", "videos?limit=0", "spending?since=x"]
)
def test_invalid_parameters_are_refused(server: ApiServer, wrong: str) -> None:
    answer = requests.get(f"{server.url}/klap/api/{wrong}", headers=server.token(USER), timeout=30)
    assert answer.status_code == 422


def test_watched_sources_are_listed_with_last_poll_and_pauses(
    server: ApiServer,
) -> None:
    at = datetime(2026, 11, 30, tzinfo=timezone.utc).timestamp()
    item = {"id": "1", "title": "A talk", "at": at, "reason": "the pace delays it", "run_id": ""}
    row = {"name": "talks", "trigger_dag_id": DAG, "at": at, "next_start": None, "waits": 2, "waiting": [item, "odd"]}
    row["scopes"] = ["source talks", "connection klap_default"]
    by_check = {"dag_id": OTHER, "run_id": "r2", "task_id": "check"}
    server.seed(
        rows=[
            {"key": source_entry("talks"), "value": row, **by_check},
            {"key": poll_entry("talks"), "value": {"at": at + 60, "error": "HTTP 500"}},  # by the triggerer
            {
                "key": pause_entry("connection klap_default"),
                "value": {"reason": "no credit", "until": None},
                **by_check,
            },
            {"key": source_entry("odd"), "value": {"name": 3, "at": ["?"], "waits": [], "started": {}}, **by_check},
            {"key": source_entry("private"), "value": row, **by_check, "dag_id": PRIVATE},
        ]
    )
    odd, talks = sorted(get(server, "sources")["sources"], key=lambda each: each["name"] == "talks")
    assert talks == {
        "name": "talks",
        "dag_id": OTHER,
        "trigger_dag_id": DAG,
        "checked_at": "2026-11-30T00:01:00+00:00",
        "error": "HTTP 500",
        "next_start": None,
        "paused": "no credit",
        "waits": 2,
        "waiting": [{**item, "at": "2026-11-30T00:00:00+00:00"}],
        "started": [],
        "skipped": [],
    }
    assert (odd["checked_at"], odd["waits"], odd["started"]) == (None, 0, [])
