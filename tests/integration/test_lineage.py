"""The lineage that OpenLineage gets. The package works without OpenLineage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from airflow.providers.openlineage import conf
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.utils.state import TaskInstanceState
from openlineage.client import OpenLineageClient

from klap_provider.operators import DeliverShortOperator, SubmitShortsOperator, SubmitVideoOperator
from klap_provider.telemetry.lineage import storage_name, submitted, web_name
from tests.support.sandbox import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import BaseOperator

    from tests.support.airflow_context import Played
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

TALK = "https://example.com/talk.mp4"


def played(airflow: Airflow, make: Callable[[], BaseOperator]) -> tuple[BaseOperator, Any]:
    """Run a task; return its operator, which OpenLineage reads afterwards, and its result."""
    made: list[BaseOperator] = []

    def make_and_keep() -> BaseOperator:
        made.append(make())
        return made[-1]

    result = airflow(make_and_keep).run()
    return made[-1], result


def extracted(operator: BaseOperator, state: TaskInstanceState = TaskInstanceState.SUCCESS) -> OperatorLineage:
    """Return the lineage that OpenLineage's provider extracts from a task."""
    ti = SimpleNamespace(task=operator)
    return ExtractorManager().extract_metadata(SimpleNamespace(run_id="monday"), operator, state, ti)


def names(datasets: list[Any]) -> list[tuple[str, str]]:
    return [(dataset.namespace, dataset.name) for dataset in datasets]


@pytest.fixture
def deliver(
    klap: Sandbox, make_shorts: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> Callable[[], DeliverShortOperator]:
    """Make the deliver operator of a ready export."""
    (short,) = make_shorts()
    path = f"/projects/{short['folder_id']}/{short['id']}/exports"
    export = klap.call("POST", path, json={}).json()
    klap.outcome(f"{path}/{export['id']}")
    return lambda: DeliverShortOperator(
        task_id="deliver",
        export_id=export["id"],
        project_id=short["id"],
        folder_id=short["folder_id"],
        destination=str(tmp_path),
    )


@pytest.mark.parametrize("kind", [SubmitShortsOperator, SubmitVideoOperator])
def test_a_submission_reads_the_video_and_names_klaps_task(klap: Sandbox, airflow: Airflow, kind: Any) -> None:
    signed = f"{TALK}?X-Amz-Signature=s3cr3t"
    operator, result = played(airflow, lambda: kind(task_id="submit", source_video_url=signed))
    lineage = extracted(operator)
    assert names(lineage.inputs) == [("https://example.com", "/talk.mp4")]
    assert lineage.outputs == []
    assert lineage.run_facets["klap"].klap_task_id == result["klap_task_id"]
    assert "s3cr3t" not in str(lineage)


def test_a_given_task_is_named(klap: Sandbox, airflow: Airflow) -> None:
    given = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK)).run()["klap_task_id"]
    operator, _ = played(
        airflow, lambda: SubmitShortsOperator(task_id="again", source_video_url=TALK, klap_task_id=given)
    )
    assert extracted(operator).run_facets["klap"].klap_task_id == given


def test_a_video_in_storage_has_the_name_that_storage_has_for_it() -> None:
    lineage = submitted("s3://media_s3@bucket/raw/talk.mp4", klap_task_id="task")
    assert names(lineage.inputs) == [("s3://bucket", "raw/talk.mp4")]


def test_a_failed_submission_names_its_video(klap: Sandbox) -> None:
    operator = SubmitShortsOperator(task_id="submit", source_video_url=TALK)
    lineage = extracted(operator, TaskInstanceState.FAILED)
    assert names(lineage.inputs) == [("https://example.com", "/talk.mp4")]
    assert lineage.run_facets["klap"].klap_task_id is None


def test_a_delivery_writes_the_file_and_reads_klaps_video(
    klap: Sandbox, airflow: Airflow, deliver: Callable[[], DeliverShortOperator]
) -> None:
    operator, result = played(airflow, deliver)
    lineage = extracted(operator)
    assert names(lineage.outputs) == [("file", result["path"].removeprefix("file://"))]
    assert lineage.outputs[0].outputFacets["outputStatistics"].size == result["size"]
    ((namespace, name),) = names(lineage.inputs)
    assert namespace + name == result["src_url"].partition("?")[0]
    facet = lineage.run_facets["klap"]
    assert (facet.project_id, facet.export_id) == (result["project_id"], result["export_id"])


def test_a_delivery_that_failed_wrote_nothing(deliver: Callable[[], DeliverShortOperator]) -> None:
    lineage = extracted(deliver(), TaskInstanceState.FAILED)
    assert (lineage.inputs, lineage.outputs) == ([], [])


def test_the_emitted_event_is_complete(
    klap: Sandbox, airflow: Airflow, deliver: Callable[[], DeliverShortOperator], tmp_path: Path
) -> None:
    operator, result = played(airflow, deliver)
    log = tmp_path / "events.json"
    client = OpenLineageClient(config={"transport": {"type": "file", "log_file_path": str(log), "append": True}})
    OpenLineageAdapter(client).complete_task(
        run_id=str(uuid4()),
        job_name="videos.deliver",
        end_time="2026-01-01T00:00:00Z",
        task=extracted(operator),
        nominal_start_time=None,
        nominal_end_time=None,
        owners=None,
        tags=None,
        job_description=None,
    )
    event = json.loads(log.read_text())
    assert [each["namespace"] for each in event["outputs"]] == ["file"]
    assert event["run"]["facets"]["klap"]["export_id"] == result["export_id"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("file:///data/shorts/a.mp4", ("file", "/data/shorts/a.mp4")),
        ("s3://aws_default@media/shorts/a.mp4", ("s3://media", "shorts/a.mp4")),
        ("s3a://media/a#b?.mp4", ("s3://media", "a#b?.mp4")),
        ("gcs://google@media/a.mp4", ("gs://media", "a.mp4")),
        ("sftp://nas@files.example.com:22/data/a.mp4", ("sftp://files.example.com:22", "data/a.mp4")),
    ],
)
def test_a_file_has_openlineages_name_without_the_connection(path: str, name: tuple[str, str]) -> None:
    assert storage_name(path) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (TALK, ("https://example.com", "/talk.mp4")),
        ("http://ada:pw@example.com:8080/a/b?token=s3cr3t#x", ("http://example.com:8080", "/a/b")),
        ("https://example.com", ("https://example.com", "/")),
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=1", ("https://www.youtube.com", "/watch?v=dQw4w9WgXcQ")),
        ("https://youtu.be/dQw4w9WgXcQ?si=1", ("https://www.youtube.com", "/watch?v=dQw4w9WgXcQ")),
        ("https://notyoutube.com/watch?v=s3cr3t", ("https://notyoutube.com", "/watch")),
    ],
)
def test_an_address_is_named_without_user_and_query(url: str, name: tuple[str, str]) -> None:
    assert web_name(url) == name


def test_an_installed_openlineage_is_not_switched_on() -> None:
    assert conf.is_disabled()


WITH = """
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
from klap_provider.airflow_internals.tasks import can_end_in_triggerer
bag = BundleDagBag("dags", bundle_path=Path("dags"), bundle_name="dags-folder")
assert bag.dags and not bag.import_errors, bag.import_errors
waits = [task for dag in bag.dags.values() for task in dag.tasks if hasattr(task, "ends_in_triggerer")]
print({task.ends_in_triggerer and can_end_in_triggerer(task) for task in waits})
"""


@pytest.mark.parametrize(
    ("settings", "ends"), [({}, "{True}"), ({"AIRFLOW__OPENLINEAGE__TRANSPORT": '{"type": "console"}'}, "{False}")]
)
def test_waits_end_on_workers_while_openlineage_listens(settings: dict[str, str], ends: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITH],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        check=False,
        env={**os.environ, **settings},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.splitlines()[-1] == ends


WITHOUT = """
import sys
for name in ("openlineage", "airflow.providers.openlineage.extractors"):
    sys.modules[name] = None  # importing it fails
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
import klap_provider.operators.deliver, klap_provider.operators.submit, klap_provider.plugin
bag = BundleDagBag("dags", bundle_path=Path("dags"), bundle_name="dags-folder")
assert bag.dags and not bag.import_errors, bag.import_errors
print([name for name in sys.modules if "lineage" in name and sys.modules[name] and "klap" in name])
"""


def test_the_package_imports_without_openlineage() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.splitlines()[-1] == "[]"
