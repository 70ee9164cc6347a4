"""Batches on the page Klap: a batch stands for its videos, whose runs are counted there and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.rules.video_list import URL
from tests.integration.test_page import BATCH, OTHER, TALK, WEBINAR, at, get, paid, short
from tests.support.api_server import ADMIN, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator


def batch(run_id: str, day: int, *videos: tuple[str, str, str]) -> dict[str, Any]:
    tasks = [
        {
            "operator": "VideoRunOperator",
            "map_index": place,
            "name": name,
            "fields": {"trigger_dag_id": dag_id, "trigger_run_id": started},
        }
        for place, (dag_id, started, name) in enumerate(videos)
    ]
    conf = {"list_path": "/lists/monday.csv"}
    return {"dag_id": BATCH, "run_id": run_id, "at": at(day), "conf": conf, "tasks": tasks}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        webinar, talk = (OTHER, "v1", "example.com/webinar.mp4"), (PRIVATE, "v2", "example.com/talk.mp4")
        running.seed(
            runs=[
                batch("b1", 1, webinar, talk),
                {"dag_id": OTHER, "run_id": "v1", "at": at(1), "conf": {URL: WEBINAR, "name": "Lecture"}},
                {"dag_id": PRIVATE, "run_id": "v2", "at": at(1), "conf": {URL: TALK}},
                # The same list again, and what it finds there goes on.
                batch("b2", 3, webinar),
                {"dag_id": OTHER, "run_id": "alone", "at": at(2), "conf": {URL: WEBINAR}},
                # Nobody but the admin sees this batch; who sees its video, sees it by itself.
                {**batch("b3", 4, (OTHER, "v3", "")), "dag_id": PRIVATE},
                {"dag_id": OTHER, "run_id": "v3", "at": at(4), "conf": {URL: WEBINAR}},
            ],
            rows=[
                short("a", OTHER, "v1", 1, 70, WEBINAR),
                short("secret", PRIVATE, "v2", 1, 99),
                paid("task-1", OTHER, "v1", 1, 0.44, WEBINAR),
                paid("task-2", PRIVATE, "v2", 1, 100),
                paid("export-a", OTHER, "v1", 3, 0.48, WEBINAR),
                paid("task-3", OTHER, "alone", 2, 7, WEBINAR),
            ],
        )
        yield running


def rows(server: ApiServer, user: str = ADMIN, **query: Any) -> dict[str, Any]:
    return {each["run_id"]: each for each in get(server, "videos", user, **query)["videos"]}


def of(run_id: str, dag_id: str = BATCH) -> dict[str, str]:
    return {"run_dag_id": dag_id, "run_id": run_id}


def test_the_runs_of_a_batchs_videos_are_in_its_row_alone(server: ApiServer) -> None:
    assert [*rows(server)] == ["b3", "b2", "alone", "b1"]
    assert [*rows(server, **of("b1"))] == ["v2", "v1"] or [*rows(server, **of("b1"))] == ["v1", "v2"]
    assert rows(server)["b1"]["name"] == "example.com/webinar.mp4 and 1 more"


def test_a_batch_has_what_came_of_the_runs_of_its_videos_that_may_be_read(server: ApiServer) -> None:
    told = ("batch", "shorts", "best", "cost")
    assert [rows(server)["b1"][name] for name in told] == [2, 2, 99, 100.44]
    assert [rows(server, "uli")["b1"][name] for name in told] == [2, 1, 70, 0.44]
    assert [*rows(server, "uli", **of("b1"))] == ["v1"]


def test_who_may_not_read_a_batch_sees_its_videos_by_themselves(server: ApiServer) -> None:
    assert [*rows(server, "uli")] == ["v3", "b2", "alone", "b1"]
    assert rows(server, "uli", **of("b3", PRIVATE)) == {}
    assert get(server, "payments", "uli", **of("b3", PRIVATE))["total"] == 0


def test_what_was_paid_counts_once_for_the_batch_that_had_begun(server: ApiServer) -> None:
    page = rows(server)
    assert (page["b1"]["cost"], page["b2"]["cost"]) == (100.44, 0.48)
    assert sum(row["cost"] or 0 for row in page.values()) == pytest.approx(100.44 + 0.48 + 7)
    assert rows(server, **of("b2"))["v1"]["cost"] == 0.48, "what it had paid before is the first batch's"


def test_the_cost_of_a_batch_leads_to_what_the_runs_of_its_videos_have_paid(server: ApiServer) -> None:
    found = get(server, "payments", ADMIN, **of("b2"))
    assert ([each["cost"] for each in found["payments"]], found["run_name"]) == ([0.48], "example.com/webinar.mp4")
    assert get(server, "payments", "uli", **of("b1"))["cost"] == pytest.approx(0.92)
