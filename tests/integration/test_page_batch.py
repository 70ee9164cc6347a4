"""Batches on the Klap page: a batch is one row, and its runs are counted in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.rules.video_list import URL
from tests.integration.test_page import BATCH, OTHER, TALK, WEBINAR, at, get, paid, short
from tests.support.api_server import ADMIN, ApiServer
from tests.support.auth import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator


V1, V2, V3, SECRET = (f"klap__{name}__0123456789ab" for name in ("webinar", "talk", "lecture", "secret"))


def batch(run_id: str, day: int, trigger_dag_id: str, *videos: tuple[str, str], **run: Any) -> dict[str, Any]:
    """Return a batch whose first video is in progress, and whose others have failed."""
    listed = [
        {"source_video_url": url, "trigger_run_id": started, "settings": {}, "line": 2 * index + 1}
        for index, (started, url) in enumerate(videos)
    ]
    left_out = [{"source_video_url": "https://example.com/gone.mp4", "line": 9, "reason": "404"}]
    read = {"left_out": left_out, "trigger_dag_id": trigger_dag_id}
    outcomes = [{"run_id": started, "state": "failed", "error": f"{url} failed"} for started, url in videos]
    tasks = [
        {"operator": "ReadVideoListOperator", "map_index": -1, "xcoms": {"return_value": listed, "klap_list": read}},
        *(
            {
                "operator": "VideoRunOperator",
                "map_index": index,
                "state": "failed" if index else "deferred",
                "xcoms": {"return_value": outcome} if index else {},
            }
            for index, outcome in enumerate(outcomes)
        ),
    ]
    whole = {"dag_id": BATCH, "run_id": run_id, "at": at(day), "state": "running", "tasks": tasks}
    return {**whole, "conf": {"list_path": "/lists/monday.csv"}, **run}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        running.seed(
            runs=[
                batch("b1", 1, OTHER, (V1, f"{WEBINAR}?token=secret"), (V2, TALK)),
                {"dag_id": OTHER, "run_id": V1, "at": at(1), "state": "running", "conf": {URL: WEBINAR}},
                {"dag_id": OTHER, "run_id": V2, "at": at(1), "state": "failed", "conf": {URL: TALK, "name": "Talk"}},
                # The same list again; its run is in progress.
                batch("b2", 3, OTHER, (V1, WEBINAR)),
                {"dag_id": OTHER, "run_id": "alone", "at": at(2), "conf": {URL: WEBINAR}},
                # Only the admin sees this batch. Other users see its video as a run of its own.
                batch("b3", 4, OTHER, (V3, WEBINAR), dag_id=PRIVATE),
                {"dag_id": OTHER, "run_id": V3, "at": at(4), "conf": {URL: WEBINAR}},
                # Everybody sees this batch, but only the admin sees the run of its video.
                batch("b4", 5, PRIVATE, (SECRET, WEBINAR)),
                {"dag_id": PRIVATE, "run_id": SECRET, "at": at(5), "conf": {URL: WEBINAR}},
                # A list with a run that no batch has started.
                batch("b5", 6, OTHER, ("alone", WEBINAR)),
            ],
            rows=[
                short("a", OTHER, V1, 1, 70, WEBINAR),
                short("b", OTHER, V2, 1, 80),
                short("secret", PRIVATE, SECRET, 5, 99),
                paid("task-1", OTHER, V1, 1, 0.44, WEBINAR),
                paid("task-2", PRIVATE, SECRET, 5, 100),
                paid("export-a", OTHER, V1, 3, 0.48, WEBINAR),
                paid("task-3", OTHER, "alone", 2, 7, WEBINAR),
            ],
        )
        yield running


def rows(server: ApiServer, user: str = ADMIN, **query: Any) -> dict[str, Any]:
    return {each["run_id"]: each for each in get(server, "videos", user, **query)["videos"]}


def of(run_id: str, dag_id: str = BATCH) -> dict[str, str]:
    return {"run_dag_id": dag_id, "run_id": run_id}


def videos_of(server: ApiServer, run_id: str, user: str = ADMIN) -> dict[str, Any]:
    tab = get(server, f"dags/{BATCH}/runs/{run_id}/shorts", user)
    return {each["run_id"]: each for each in tab["batch"]["videos"]}


def test_runs_of_a_batch_are_listed_only_in_its_row(server: ApiServer) -> None:
    assert [*rows(server)] == ["b5", "b4", "b3", "b2", "alone", "b1"]
    assert {*videos_of(server, "b1")} == {V1, V2}
    assert rows(server)["b1"]["name"].endswith("and 1 more")


def test_a_list_shows_every_run_outside_of_batches(server: ApiServer) -> None:
    assert videos_of(server, "b5") == {}
    assert "alone" in rows(server)


def test_a_batch_shows_the_results_of_its_readable_runs(server: ApiServer) -> None:
    names = ("batch", "shorts", "best", "cost")
    assert [rows(server)["b1"][name] for name in names] == [2, 2, 80, 0.44]
    assert [rows(server)["b4"][name] for name in names] == [1, 1, 99, 100]
    assert [rows(server, "uli")["b4"][name] for name in names] == [1, 0, None, None]


def test_a_user_who_may_not_read_a_batch_sees_its_runs_separately(server: ApiServer) -> None:
    assert [*rows(server, "uli")] == ["b5", "b4", V3, "b2", "alone", "b1"]
    assert get(server, "payments", "uli", **of("b3", PRIVATE))["total"] == 0


def test_a_payment_counts_once_for_the_latest_batch_before_it(server: ApiServer) -> None:
    page = rows(server)
    assert (page["b1"]["cost"], page["b2"]["cost"]) == (0.44, 0.48)
    assert sum(row["cost"] or 0 for row in page.values()) == pytest.approx(0.44 + 0.48 + 7 + 100)
    assert videos_of(server, "b2")[V1]["cost"] == 0.48, "earlier payments belong to the first batch"


def test_the_cost_of_a_batch_links_to_the_payments_of_its_runs(server: ApiServer) -> None:
    found = get(server, "payments", ADMIN, **of("b2"))
    assert ([each["cost"] for each in found["payments"]], found["run_name"]) == ([0.48], "example.com/webinar.mp4")
    assert get(server, "payments", "uli", **of("b1"))["cost"] == pytest.approx(0.92)


def test_the_tab_of_a_batch_lists_its_videos_with_state_and_error(server: ApiServer) -> None:
    found = get(server, f"dags/{BATCH}/runs/b1/shorts")
    assert found["details"] is None
    assert (found["batch"]["ended"], found["batch"]["problem"]) == (False, None)
    assert [
        [each[name] for name in ("line", "run_id", "state", "error", "cost")] for each in found["batch"]["videos"]
    ] == [
        [1, V1, "running", None, 0.92],
        [3, V2, "failed", f"{TALK} failed", None],
    ]
    assert found["batch"]["left_out"] == [
        {"line": 9, "source_video_url": "https://example.com/gone.mp4", "reason": "404"}
    ]
    assert "secret" not in str(found)


def test_the_tab_of_a_batch_shows_only_list_data_of_unreadable_runs(server: ApiServer) -> None:
    [video] = get(server, f"dags/{BATCH}/runs/b4/shorts", "uli")["batch"]["videos"]
    assert (video["name"], video["state"], video["cost"]) == ("example.com/webinar.mp4", "deferred", None)
