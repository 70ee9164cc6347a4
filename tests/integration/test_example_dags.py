"""Each example Dag delivers its shorts and pays for them once."""

from __future__ import annotations

import inspect
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.io import store

from demo.servers import aws_connection
from tests.support.example_dags import EXAMPLES, loaded, run
from tests.support.object_storage import ObjectStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow.sdk import DAG

    from tests.support.sandbox import Sandbox

#: Dags that need no storage of their own: the videos and exports that a run pays for.
PAID = {
    "example_klap_generate_shorts": (1, 3),
    "example_klap_mapped": (3, 3),
    "example_klap_step_by_step": (1, 3),
    "example_klap_wait_for_completion": (1, 2),
    "example_klap_budget": (1, 2),
    "example_klap_caption_video": (1, 1),
    "example_klap_weekly_webinar": (1, 2),
    "example_klap_square_captions": (1, 1),
}
OTHERS = {
    "example_klap_count_shorts",
    "example_klap_hook",
    "example_klap_object_storage",
    "example_klap_podcast_de",
    "example_klap_review",
    "example_klap_use_shorts",
    "example_klap_watch_own_source",  # tests/integration/test_watch.py has these two
    "example_klap_watch_table",
    "example_klap_webinar_square",
}


@pytest.fixture(scope="module")
def dags() -> Iterator[dict[str, DAG]]:
    with loaded() as found:
        yield found


@pytest.fixture
def klap(sandbox: Sandbox, connect: Callable[..., None], tmp_path: Path) -> Sandbox:
    """The sandbox, with a short poll interval. It delivers to ``tmp_path``."""
    connect(sandbox.url, poke_interval=0.1, first_poll=0.1, destination=str(tmp_path))
    return sandbox


@pytest.fixture(scope="module")
def running_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    with ObjectStorage(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def s3(running_s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """S3 with the bucket ``media`` and a video in it, and the connection ``aws_default`` to it."""
    running_s3.reset()
    running_s3.put("talk.mp4", b"a video")
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws_connection(running_s3.url)))
    return running_s3


def paid(klap: Sandbox) -> tuple[int, int]:
    """Return the number of videos and exports that Klap has accepted."""
    return len(klap.ledger("task")), len(klap.ledger("export"))


def test_every_example_is_run_by_a_test(dags: dict[str, DAG]) -> None:
    assert set(dags) == PAID.keys() | OTHERS


def test_every_example_is_shown_in_the_documentation() -> None:
    docs = "\n".join(page.read_text(encoding="utf-8") for page in (EXAMPLES.parents[2] / "docs").rglob("*.md"))
    shown = {path.name for path in EXAMPLES.glob("example_*.py") if f"example_dags/{path.name}" in docs}
    assert shown == {path.name for path in EXAMPLES.glob("example_*.py")}


@pytest.mark.parametrize("dag_id", PAID)
def test_an_example_delivers_what_it_pays_for(dags: dict[str, DAG], dag_id: str, klap: Sandbox, tmp_path: Path) -> None:
    run(dags[dag_id])

    assert paid(klap) == PAID[dag_id]
    delivered = [path.read_bytes() for path in tmp_path.rglob("*.mp4")]
    assert len(delivered) == PAID[dag_id][1]
    assert all(content[4:8] == b"ftyp" for content in delivered)


def test_a_preset_is_the_default_of_its_dag(dags: dict[str, DAG], klap: Sandbox) -> None:
    run(dags["example_klap_webinar_square"], source_video_url="https://example.com/webinar.mp4")

    [submitted] = klap.ledger("task")
    assert submitted["body"]["max_clip_count"] == 5
    assert submitted["body"]["dimensions"] == {"width": 1080, "height": 1080}
    assert paid(klap) == (1, 2)
    assert dags["example_klap_podcast_de"].dag_display_name == "Klap: podcast, German"
    assert dags["example_klap_podcast_de"].params["language"] == "de"


def test_the_task_that_uses_the_shorts_gets_their_paths(dags: dict[str, DAG], klap: Sandbox, tmp_path: Path) -> None:
    dag_run = run(dags["example_klap_generate_shorts"])

    paths = dag_run.get_task_instance("use").xcom_pull("use")
    assert sorted(paths) == sorted(f"file://{path}" for path in tmp_path.rglob("*.mp4"))


def test_the_shorts_that_a_reviewer_selects_are_exported(dags: dict[str, DAG], klap: Sandbox, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        reviewer = pool.submit(select_the_fourth_short)
        run(dags["example_klap_review"])
        reviewer.result()

    assert paid(klap) == (1, 1)
    [sidecar] = tmp_path.rglob("*.json")
    scores = sorted(short["virality_score"] for short in shorts_of(klap))
    assert json.loads(sidecar.read_text(encoding="utf-8"))["virality_score"] == scores[-4]


def shorts_of(klap: Sandbox) -> list[dict[str, Any]]:
    [export] = klap.ledger("export")
    shorts: list[dict[str, Any]] = klap.call("GET", f"/projects/{export['folder_id']}").json()
    return shorts


def select_the_fourth_short() -> None:
    """Answer the open review with the code of Airflow's API."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.models.dagbag import DBDagBag
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    user = SimpleAuthManagerUser(username="ada", role="admin")
    waiting = (
        select(HITLDetail, TaskInstance.run_id)
        .join(TaskInstance, HITLDetail.ti_id == TaskInstance.id)
        .where(TaskInstance.state == "awaiting_input")
    )
    # The routes of Airflow 3.4 need it as well.
    needs_dag_bag = "dag_bag" in inspect.signature(update_hitl_detail).parameters
    dag_bag = {"dag_bag": DBDagBag()} if needs_dag_bag else {}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with create_session() as session:
            for detail, run_id in session.execute(waiting).all():
                payload = UpdateHITLDetailPayload(chosen_options=[detail.options[3]], params_input={})
                update_hitl_detail("example_klap_review", run_id, "review", payload, user, session, **dag_bag)
                return
        time.sleep(0.1)
    raise AssertionError("no review waits for an answer")


def test_a_video_is_read_from_s3_and_its_shorts_are_delivered_there(
    dags: dict[str, DAG], klap: Sandbox, s3: ObjectStorage
) -> None:
    run(dags["example_klap_object_storage"])

    assert paid(klap) == (1, 1)
    [submitted] = klap.ledger("task")
    assert "Signature=" in submitted["body"]["source_video_url"]
    [short] = videos_in(s3)
    assert s3.get(short)[4:8] == b"ftyp"


def videos_in(s3: ObjectStorage) -> list[str]:
    keys = s3.keys()
    return [key for key in keys if key.startswith("shorts/") and key.endswith(".mp4")]


def test_a_consumer_gets_the_shorts_of_any_number_of_events(
    dags: dict[str, DAG], klap: Sandbox, s3: ObjectStorage, connect: Callable[..., None]
) -> None:
    """Airflow 3.3 can give a run several events, and 3.4 gives it one. A run that a user starts has none."""
    connect(klap.url, poke_interval=0.1, first_poll=0.1, destination="s3://aws_default@media/shorts")
    for events in (0, 1, 2):
        if events:
            run(dags["example_klap_step_by_step"])
        with consuming_events_of("s3://media/shorts"):
            collected = run(dags["example_klap_use_shorts"]).get_task_instance("collect").xcom_pull("collect")
            counted = run(dags["example_klap_count_shorts"]).get_task_instance("count").xcom_pull("count")

        paths = sorted(short["path"] for short in collected)
        assert paths == sorted(f"s3://aws_default@media/{key}" for key in videos_in(s3))
        assert counted == len(collected) == events * 3


@contextmanager
def consuming_events_of(uri: str) -> Iterator[None]:
    """Give each new run all events of an asset, as Airflow's scheduler does."""
    from airflow.models.asset import AssetEvent, AssetModel, association_table
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event, insert, literal, select

    def consume(_: Any, connection: Any, dag_run: DagRun) -> None:
        of_asset = AssetEvent.asset_id == AssetModel.id, AssetModel.uri == uri
        rows = select(literal(dag_run.id), AssetEvent.id).where(*of_asset)
        connection.execute(insert(association_table).from_select(["dag_run_id", "event_id"], rows))

    event.listen(DagRun, "after_insert", consume)
    yield
    event.remove(DagRun, "after_insert", consume)


def test_the_hook_lists_the_exports(
    dags: dict[str, DAG], klap: Sandbox, make_shorts: Callable[..., list[dict[str, Any]]]
) -> None:
    [short] = make_shorts(1)
    export = klap.call("POST", f"/projects/{short['folder_id']}/{short['id']}/exports", json={}).json()
    time.sleep(0.02)  # until the job is ready

    dag_run = run(dags["example_klap_hook"])

    assert dag_run.get_task_instance("list_exports").xcom_pull("list_exports") == {export["id"]: "ready"}
    assert paid(klap) == (1, 1)
