"""The links of task instances are correct, or absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.types import TaskInstanceKey

from klap_provider.errors import KlapAuthError
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    ListShortsOperator,
    ReviewShortsOperator,
    VideoRunOperator,
)
from klap_provider.plugin import KlapPlugin
from klap_provider.sensors import ExportStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    Connect = Callable[..., None]
    MakeShorts = Callable[..., list[dict[str, Any]]]

APP, PREVIEW, VIDEO = "Open in Klap", "Preview short", "Exported video"
KEY = TaskInstanceKey("mapped", "deliver", "run", 1)


def test_the_folder_of_a_list_opens_in_klap(klap: Sandbox, airflow: Airflow) -> None:
    task = airflow(lambda: ReviewShortsOperator(task_id="review", folder_id="folder01"))
    assert task.links() == {APP: "https://klap.app/spaces/folder01"}


def test_each_map_index_links_to_its_short_after_deferrals_and_retries(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    for map_index, short in enumerate(make_shorts(2)):
        which = {"project_id": short["id"], "folder_id": short["folder_id"]}
        export = airflow(
            lambda which=which: ExportShortOperator(
                task_id="export", wait_for_completion=True, deferrable=True, **which
            ),
            map_index=map_index,
        )
        for _ in range(2):
            klap.fault("GET", "/exports/", "status", code=500)
            export.run()
            assert export.triggers
            assert export.links() == {APP: f"https://klap.app/spaces/{short['folder_id']}#{short['id']}"}


def test_the_exported_video_has_a_link_once_it_is_delivered(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, tmp_path: Path
) -> None:
    [short] = make_shorts(1)
    which = {"project_id": short["id"], "folder_id": short["folder_id"]}
    export_id = airflow(lambda: ExportShortOperator(task_id="export", **which)).run()["export_id"]
    export = klap.outcome(f"/projects/{short['folder_id']}/{short['id']}/exports/{export_id}")
    task = airflow(
        lambda: DeliverShortOperator(task_id="deliver", export_id=export_id, destination=str(tmp_path), **which)
    )
    klap.fault("GET", "/exports/", "status", code=401)
    with pytest.raises(KlapAuthError):
        task.run()
    assert task.links()[VIDEO] == ""
    for _ in ("delivered", "there already"):
        task.run()
        assert task.links()[VIDEO] == export["src_url"]


def test_links_follow_the_addresses_of_the_connection(klap: Sandbox, connect: Connect, airflow: Airflow) -> None:
    connect(klap.url, player_url="https://play.example.com/", app_url="https://app.example.com/s/")
    which = {"project_id": "p1", "folder_id": "f1"}
    export = airflow(lambda: ExportShortOperator(task_id="export", **which))
    assert export.links() == {APP: "https://app.example.com/s/f1#p1"}
    deliver = airflow(lambda: DeliverShortOperator(task_id="deliver", export_id="e1", **which))
    assert deliver.links() == {PREVIEW: "https://play.example.com/p1", VIDEO: ""}


@pytest.mark.parametrize("folder_id", [None, ""])
def test_a_short_without_a_folder_has_no_link_to_klaps_app(klap: Sandbox, airflow: Airflow, folder_id: Any) -> None:
    task = airflow(lambda: ExportShortOperator(task_id="export", project_id="p1", folder_id=folder_id))
    assert task.links() == {APP: ""}


@pytest.mark.parametrize("operator", [ListShortsOperator, ExportShortOperator])
def test_a_captioned_video_has_no_link_to_klaps_app(
    klap: Sandbox, airflow: Airflow, operator: Callable[..., Any]
) -> None:
    assert airflow(lambda: operator(task_id="task", project_id="p1")).links() == {APP: ""}


def test_links_are_empty_without_a_connection(airflow: Airflow) -> None:
    fields = {"klap_conn_id": "nowhere", "project_id": "p1", "folder_id": "f1"}
    assert airflow(lambda: ExportShortOperator(task_id="export", **fields)).links() == {APP: ""}
    deliver = airflow(lambda: DeliverShortOperator(task_id="deliver", export_id="e1", **fields))
    assert deliver.links() == {PREVIEW: "", VIDEO: ""}


def test_a_wait_has_no_links_because_each_is_a_request_to_airflow() -> None:
    assert list(ExportStatusSensor.operator_extra_links) == []


def test_airflow_knows_every_link_that_a_task_has() -> None:
    registered = {type(link) for link in KlapPlugin.operator_extra_links}
    operators = (ReviewShortsOperator, ExportShortOperator, DeliverShortOperator, VideoRunOperator)
    assert {type(link) for operator in operators for link in operator.operator_extra_links} == registered


def test_links_of_a_mapped_task_with_wrong_arguments_are_empty() -> None:
    with DAG("mapped", schedule=None):
        task = DeliverShortOperator.partial(task_id="deliver").expand_kwargs([{"wrong": 1}])
    assert [link.get_link(task, ti_key=KEY) for link in task.operator_extra_links] == ["", ""]
