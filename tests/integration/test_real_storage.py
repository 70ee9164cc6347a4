"""Google's and Azure's storage for videos and destinations, with emulators: ``make test-storage``."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airflow.sdk.io import store

from klap_provider.errors import KlapInputError, KlapStorageError
from klap_provider.files.preflight import problems
from klap_provider.files.storage import atomic_file, check_destination, folder_at, size_of
from klap_provider.operators import DeliverShortOperator, SubmitShortsOperator
from tests.support.emulators import Emulator, azure, google
from tests.support.object_storage import killed_in_an_upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.storage

MEGABYTE = 1024 * 1024
TALK = "talks/The talk, 2nd take (東京).mp4"


@pytest.fixture(scope="module", params=[google, azure], ids=["gs", "abfs"])
def running(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with request.param() as emulator:
        yield emulator


@pytest.fixture
def storage(running: Emulator, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The server with an empty bucket ``media``, and the connections ``media`` and ``refused`` to it."""
    monkeypatch.setattr(store, "_STORE_CACHE", {})  # as in a new worker
    monkeypatch.setenv("AIRFLOW_CONN_MEDIA", json.dumps(running.connection()))
    monkeypatch.setenv("AIRFLOW_CONN_REFUSED", json.dumps(running.connection(good=False)))
    yield running
    for name in running.names():
        folder_at(f"{running.scheme}://media@media").fs.rm_file(f"media/{name}")
    assert not [message for message in supervisor.messages if running.secret in message]


def put(storage: Emulator, name: str, content: bytes) -> str:
    url = f"{storage.scheme}://media@media/{name}"
    with atomic_file(folder_at(url)) as sink:
        sink.write(content)
    return url


def test_a_destination_is_checked_before_anything_is_paid(storage: Emulator) -> None:
    check_destination(f"{storage.scheme}://media@media/shorts")
    assert storage.names() == []


def test_a_missing_bucket_is_refused_and_never_created(storage: Emulator) -> None:
    with pytest.raises(KlapStorageError, match=r"^destination: .*medla/shorts does not exist") as failure:
        check_destination(f"{storage.scheme}://media@medla/shorts")
    assert not failure.value.transient
    assert storage.buckets() == ["media"]


def test_refused_credentials_fail_before_anything_is_paid(
    klap: Sandbox, storage: Emulator, airflow: Callable[..., Played]
) -> None:
    there = f"{storage.scheme}://refused@media/shorts"
    task = airflow(
        lambda: SubmitShortsOperator(task_id="submit", source_video_url="https://e.com/a", destination=there)
    )
    with pytest.raises(KlapStorageError, match=r"^destination: .* was refused .*Check the credentials and") as failure:
        task.run()
    assert not failure.value.transient
    task = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=f"{there}/a.mp4"))
    with pytest.raises(KlapStorageError, match=r"^source_video_url: .* was refused"):
        task.run()
    assert klap.requests() == []


def test_a_video_is_sent_as_an_address_that_klap_can_fetch(
    klap: Sandbox, storage: Emulator, airflow: Callable[..., Played], supervisor: Supervisor
) -> None:
    url = put(storage, TALK, b"a talk")
    airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=url)).run()
    (paid,) = klap.ledger("task")
    address = paid["body"]["source_video_url"]
    assert requests.get(address, timeout=10).content == b"a talk"
    assert not [message for message in supervisor.messages if address.partition("?")[2] in message]


def test_a_missing_video_or_a_folder_is_refused_before_anything_is_paid(
    klap: Sandbox, storage: Emulator, airflow: Callable[..., Played]
) -> None:
    there = put(storage, "talks/a.mp4", b"a talk")
    missing, folder = there.replace("a.mp4", "b.mp4"), there.removesuffix("/a.mp4")
    for url, kind, words in (
        (missing, KlapStorageError, "does not exist"),
        (there.replace("@media/", "@medla/"), KlapStorageError, "does not exist"),
        (folder, KlapInputError, "is a folder"),
    ):
        with pytest.raises(kind, match=f"^source_video_url: .* {words}"):
            airflow(lambda url=url: SubmitShortsOperator(task_id="submit", source_video_url=url)).run()
    assert problems(dict.fromkeys([there, missing], False)) == {missing: "there is no such object"}
    assert klap.requests() == []


@pytest.fixture
def delivering(
    klap: Sandbox,
    storage: Emulator,
    airflow: Callable[..., Played],
    make_shorts: Callable[..., list[dict[str, Any]]],
) -> Played:
    """The deliver task of a short."""
    (short,) = make_shorts()
    path = f"/projects/{short['folder_id']}/{short['id']}/exports"
    export = klap.call("POST", path).json()
    klap.outcome(f"{path}/{export['id']}")
    ids = {"export_id": export["id"], "project_id": short["id"], "folder_id": short["folder_id"]}
    there = {"destination": f"{storage.scheme}://media@media/shorts", "subfolder": "task1"}
    return airflow(lambda: DeliverShortOperator(task_id="deliver", **ids, **there))


def test_a_short_and_its_file_are_delivered_once(klap: Sandbox, storage: Emulator, delivering: Played) -> None:
    first = delivering.run()
    name = f"shorts/task1/short_{first['export_id']}"
    assert sorted(storage.names()) == [f"{name}.json", f"{name}.mp4"]
    video = folder_at(first["path"])
    assert video.fs.cat_file(video.path) == requests.get(first["src_url"], timeout=10).content
    delivering.supervisor.ledger.clear()
    assert delivering.run() == {**first, "src_url": None}
    assert len(klap.requests("GET", "^/renders/")) == 2, "one of them is paid by this test"


def test_a_large_file_is_uploaded_in_parts_with_little_memory(storage: Emulator) -> None:
    path = folder_at(f"{storage.scheme}://media@media/shorts") / "big.mp4"
    megabyte = bytes(range(256)) * 4096
    size_of(path)  # exclude the memory of the client
    tracemalloc.start()
    with atomic_file(path) as sink:
        for _ in range(60):
            sink.write(megabyte)
        assert storage.names() == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80 * MEGABYTE
    assert size_of(path) == 60 * MEGABYTE
    assert path.fs.cat_file(path.path) == megabyte * 60


@pytest.mark.parametrize("megabytes", [1, 40])
def test_an_aborted_upload_is_not_visible(storage: Emulator, megabytes: int) -> None:
    path = folder_at(f"{storage.scheme}://media@media/shorts") / "big.mp4"

    def give_up() -> None:
        with atomic_file(path) as sink:
            for _ in range(megabytes):
                sink.write(bytes(MEGABYTE))
            raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        give_up()
    gc.collect()
    assert storage.names() == []


def test_a_killed_upload_is_repeated_by_the_next_try_for_free(
    klap: Sandbox, storage: Emulator, delivering: Played
) -> None:
    paid = klap.ledger()
    url = f"{storage.scheme}://media@media/shorts/task1/short_{paid[-1]['id']}.mp4"
    killed_in_an_upload(url)
    assert storage.names() == []
    delivered = delivering.run()
    assert delivered["path"] == url
    assert size_of(folder_at(url)) == delivered["size"]
    assert klap.ledger() == paid


def test_a_file_is_replaced_only_by_a_complete_one(storage: Emulator) -> None:
    path = folder_at(put(storage, "shorts/manifest.json", b"old"))
    with atomic_file(path) as sink:
        sink.write(b"new")
        assert path.fs.cat_file(path.path) == b"old"
    assert path.fs.cat_file(path.path) == b"new"
