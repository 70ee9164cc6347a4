"""Which addresses a run may read from and deliver to, checked in each task; and that signatures are not stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, XComArg

from klap_caption_video import klap_caption_video
from klap_generate_shorts import klap_generate_shorts
from klap_generate_shorts_batch import klap_generate_shorts_batch
from klap_provider.errors import KlapInputError
from klap_provider.files.allowlist import configured
from klap_provider.operators import (
    DeliverShortOperator,
    PublishShortsOperator,
    SubmitShortsOperator,
    SubmitVideoOperator,
    VideoRunOperator,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

TALK = "https://example.com/talk.mp4"
SIGNED = f"{TALK}?X-Amz-Credential=ada&X-Amz-Signature=s3cr3tsignature"
FORM = {"destination": "{{ params.destination }}", "source_video_url": "{{ params.source_video_url }}"}
REFUSED = "which is not on the allowlist"


@pytest.fixture
def play(airflow: Airflow) -> Callable[..., Played]:
    """Make a task whose addresses come from the run."""

    def task(kind: type[Any], params: dict[str, str], **given: Any) -> Played:
        form = {**FORM, **given}
        return airflow(lambda: kind(task_id="task", params={"source_video_url": TALK, **params}, **form))

    return task


@pytest.mark.parametrize("kind", [SubmitShortsOperator, SubmitVideoOperator])
@pytest.mark.parametrize("destination", ["elsewhere", "media-private", "media/../elsewhere", "media/link"])
def test_an_address_off_the_allowlist_sends_and_creates_nothing(
    klap: Sandbox, play: Callable[..., Played], tmp_path: Path, kind: type[Any], destination: str
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "link").symlink_to(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    task = play(kind, {"destination": f"{tmp_path}/{destination}"}, allowed_destinations=[f"{tmp_path}/media"])
    with pytest.raises(KlapInputError, match=r"^destination is "):
        task.run()
    source = {"destination": f"{tmp_path}/media", "source_video_url": "https://evil.com/talk.mp4"}
    with pytest.raises(KlapInputError, match=f"^source_video_url is 'https://evil.com/talk.mp4', {REFUSED}"):
        play(kind, source, allowed_destinations=[f"{tmp_path}/media"], allowed_sources=["https://example.com"]).run()
    assert klap.requests() == []
    assert sorted(tmp_path.rglob("*")) == before


def test_addresses_on_the_allowlist_and_of_the_dag_file_are_sent(
    klap: Sandbox, play: Callable[..., Played], tmp_path: Path
) -> None:
    allowed = {"allowed_destinations": [str(tmp_path)], "allowed_sources": ["https://example.com"]}
    assert play(SubmitShortsOperator, {"destination": f"{tmp_path}/a"}, **allowed).run()["paid"] == 1
    literal = {"source_video_url": TALK, "destination": f"{tmp_path}/b"}
    assert play(SubmitShortsOperator, {}, **literal, allowed_destinations=[], allowed_sources=[]).run()["paid"] == 1
    assert (tmp_path / "b").is_dir()


def test_the_default_allowlist_has_one_folder_of_this_machine(
    klap: Sandbox, play: Callable[..., Played], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW__KLAP__ALLOWED_DESTINATIONS", raising=False)
    with pytest.raises(KlapInputError, match=REFUSED):
        play(SubmitShortsOperator, {"destination": str(tmp_path)}).run()
    assert klap.requests() == []
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_DESTINATIONS", f"s3://media, {tmp_path}")
    assert play(SubmitShortsOperator, {"destination": str(tmp_path)}).run()["paid"] == 1


def test_the_destination_is_checked_again_where_it_is_written(
    klap: Sandbox, play: Callable[..., Played], tmp_path: Path
) -> None:
    ids = {"export_id": "e", "project_id": "p", "allowed_destinations": [f"{tmp_path}/media"]}
    with pytest.raises(KlapInputError, match=REFUSED):
        play(DeliverShortOperator, {"destination": f"{tmp_path}/elsewhere"}, **ids).run()
    more = {"steps": ["a"], "shorts": [], "klap_task_id": "t", "allowed_destinations": [f"{tmp_path}/media"]}
    with pytest.raises(KlapInputError, match=REFUSED):
        play(PublishShortsOperator, {"destination": f"{tmp_path}/elsewhere"}, **more).run()
    assert list(tmp_path.iterdir()) == []
    assert klap.requests() == []


def test_results_of_other_tasks_in_a_mapped_task_need_an_allowlist(tmp_path: Path) -> None:
    with DAG("mapped", schedule=None):
        mapped = SubmitShortsOperator.partial(task_id="submit").expand_kwargs(XComArg(EmptyOperator(task_id="list")))
        own = SubmitShortsOperator(task_id="own", source_video_url=TALK, destination=str(tmp_path))
    with pytest.raises(KlapInputError, match=REFUSED):
        mapped.unmap({"source_video_url": TALK, "destination": str(tmp_path)}).require_allowed("destination", [])
    own.require_allowed("destination", [])


def test_constants_of_a_mapped_task_are_allowed(tmp_path: Path) -> None:
    destination = str(tmp_path)
    with DAG("mapped", schedule=None):
        tasks = [
            SubmitShortsOperator.partial(task_id="a", destination=destination).expand(source_video_url=[TALK]),
            SubmitShortsOperator.partial(task_id="b", source_video_url=TALK).expand(destination=["/data", destination]),
            SubmitShortsOperator.partial(task_id="c").expand_kwargs(
                [{"source_video_url": TALK, "destination": destination}]
            ),
            SubmitShortsOperator.partial(task_id="d", destination="{{ params.destination }}").expand(
                source_video_url=[TALK]
            ),
        ]
    given = [
        {"source_video_url": TALK},
        {"destination": destination},
        {"source_video_url": TALK, "destination": destination},
    ]
    for task, mapped in zip(tasks, given, strict=False):
        task.unmap(mapped).require_allowed("destination", [])
    rendered = tasks[3].unmap(given[0])
    rendered.destination = destination
    with pytest.raises(KlapInputError, match=REFUSED):
        rendered.require_allowed("destination", [])


@pytest.mark.parametrize("factory", [klap_generate_shorts, klap_caption_video])
def test_values_and_defaults_in_the_dag_file_are_allowed(factory: Callable[..., DAG]) -> None:
    places: dict[str, Any] = {"destination": "s3://aws_default@media/shorts", "source_video_url": TALK}
    dag = factory(form=places, allowed_sources=["https://media.example.com"])
    assert dag.get_task("submit").allowed_sources == ["https://media.example.com", TALK]
    group = next(task_id for task_id in dag.task_ids if task_id.endswith(".deliver"))
    for task_id in ("submit", group, "publish"):
        assert dag.get_task(task_id).allowed_destinations == [*configured("destination"), places["destination"]]
    assert factory().get_task("submit").allowed_sources == configured("source_video_url")
    with pytest.raises(ValueError, match="must be a list: write"):
        factory(allowed_sources="https://media.example.com")
    with pytest.raises(ValueError, match="neither an absolute path nor a URL"):
        factory(allowed_destinations=["media"])


def test_a_batch_uses_the_allowlists_of_its_dag_file() -> None:
    dag = klap_generate_shorts_batch(
        form={"list_path": "/data/list.csv"},
        allowed_lists=["s3://lists"],
        allowed_sources=["s3://media"],
        allowed_destinations=["s3://out"],
    )
    task = dag.get_task("read_list")
    allowed = task.allowed_lists, task.allowed_sources, task.allowed_destinations
    assert allowed == (["s3://lists", "/data/list.csv"], ["s3://media"], ["s3://out"])


def test_a_signed_address_is_masked_before_airflow_stores_arguments(
    klap: Sandbox, play: Callable[..., Played], airflow: Airflow, supervisor: Supervisor
) -> None:
    play(SubmitShortsOperator, {"source_video_url": SIGNED}, destination=None).run()
    assert SIGNED.partition("?")[2] in supervisor.masked
    supervisor.masked.clear()
    with DAG("mapped", schedule=None):
        mapped = VideoRunOperator.partial(task_id="video", trigger_dag_id="d").expand_kwargs(
            [{"source_video_url": SIGNED, "trigger_run_id": "r"}]
        )
    task = airflow(lambda: mapped.unmap({"source_video_url": SIGNED, "trigger_run_id": "r"}))
    task.run()
    assert SIGNED.partition("?")[2] in supervisor.masked


def test_a_signed_address_is_in_nothing_that_a_run_stores(
    klap: Sandbox,
    play: Callable[..., Played],
    airflow: Airflow,
    supervisor: Supervisor,
    tmp_path: Path,
    make_shorts: Callable[..., list[dict[str, Any]]],
) -> None:
    (short,) = make_shorts()
    ids = {"project_id": short["id"], "folder_id": short["folder_id"]}
    export = klap.call("POST", f"/projects/{short['folder_id']}/{short['id']}/exports", json={}).json()
    sent = {"source_video_url": SIGNED, "destination": str(tmp_path)}
    play(SubmitShortsOperator, {}, **sent).run()
    delivered = play(DeliverShortOperator, {}, **sent, **ids, export_id=export["id"]).run()
    supervisor.put_xcom("steps.deliver", delivered, map_index=0)
    publish = {"steps": ["steps.deliver"], "shorts": [{**ids, "short_name": "a", "virality_score": 1}]}
    supervisor.states |= {"steps.deliver_0": "success"}
    task = play(PublishShortsOperator, {}, **sent, **publish, klap_task_id="t")
    try:
        task.run()
        left = json.dumps(task.asset_events())
    except Exception as failure:
        left = str(failure)
    assert "https://example.com/talk.mp4" in left
    written = [file.read_bytes() for file in tmp_path.rglob("*.json")]
    assert len(written) == 3, "the sidecar, the manifest, and the manifest of the run"
    assert not [text for text in written if b"s3cr3t" in text]
    assert not [message for message in [*supervisor.messages, left] if "s3cr3t" in message]
