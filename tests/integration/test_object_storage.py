"""Videos and destinations in S3, and their failures."""

from __future__ import annotations

import gc
import json
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airflow.sdk.io import store

from demo.servers import SECRET_KEY, aws_connection
from klap_provider.errors import (
    KlapChangedError,
    KlapDownloadError,
    KlapError,
    KlapInputError,
    KlapServerError,
    KlapStorageError,
)
from klap_provider.files.signing import SIGNED_FOR
from klap_provider.files.storage import WRITE_CHECK, atomic_file, check_destination, folder_at
from klap_provider.operators import DeliverShortOperator, SubmitShortsOperator, SubmitVideoOperator
from tests.support.object_storage import ObjectStorage, killed_in_an_upload
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

MEGABYTE = 1024 * 1024
TALK = "s3://media_s3@media/talks/The talk, 2nd take (東京).mp4"


@pytest.fixture(scope="module")
def running_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    with ObjectStorage(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def connect_s3(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the Airflow connection ``media_s3``."""

    def to(url: str) -> None:
        monkeypatch.setattr(store, "_STORE_CACHE", {})  # as in a new worker
        monkeypatch.setenv("AIRFLOW_CONN_MEDIA_S3", json.dumps(aws_connection(url)))

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return to


@pytest.fixture
def s3(running_s3: ObjectStorage, connect_s3: Callable[[str], None], supervisor: Supervisor) -> Iterator[ObjectStorage]:
    """S3 with an empty bucket ``media`` and the connection ``media_s3``. No message of a task may have its secrets."""
    running_s3.reset()
    connect_s3(running_s3.url)
    yield running_s3
    assert not [message for message in supervisor.messages if SECRET_KEY in message or "Signature" in message]


class Refusal(BaseHTTPRequestHandler):
    """An S3 that refuses everything."""

    def refuse(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = refuse

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def refused(s3: ObjectStorage, connect_s3: Callable[[str], None]) -> Iterator[None]:
    """Give ``media_s3`` credentials that are refused everything."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        connect_s3(f"http://127.0.0.1:{server.server_address[1]}")
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def submit(airflow: Callable[..., Played]) -> Callable[..., Played]:
    """Make a submit task."""

    def task(url: str = TALK, **fields: Any) -> Played:
        return airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=url, **fields))

    return task


# Videos


@pytest.mark.parametrize("operator", [SubmitShortsOperator, SubmitVideoOperator])
def test_a_video_is_sent_as_an_address_signed_for_hours(
    klap: Sandbox, s3: ObjectStorage, airflow: Callable[..., Played], operator: type[SubmitVideoOperator]
) -> None:
    s3.put("talks/The talk, 2nd take (東京).mp4", b"a talk")
    before = time.time()
    airflow(lambda: operator(task_id="submit", source_video_url=TALK)).run()
    (paid,) = klap.ledger("task")
    address = paid["body"]["source_video_url"]
    assert address.startswith(f"{s3.url}/media/talks/")
    assert requests.get(address, timeout=30).content == b"a talk"
    (expires,) = (int(part[8:]) for part in address.split("&") if part.startswith("Expires="))
    assert before - 1 <= expires - SIGNED_FOR <= time.time() + 1  # in whole seconds


def test_retries_and_clears_pay_once_although_signatures_differ(
    klap: Sandbox, s3: ObjectStorage, submit: Callable[..., Played]
) -> None:
    s3.put("a.mp4", b"a talk")
    task = submit("s3://media_s3@media/a.mp4")
    first = task.run()
    time.sleep(1.1)  # the signature's time is in whole seconds
    assert task.run() == first
    s3.s3.delete_object(Bucket="media", Key="a.mp4")
    assert task.run() == first, "a paid task does not need its video any more"
    assert len(klap.ledger()) == 1


def test_another_video_in_the_same_run_is_refused(
    klap: Sandbox, s3: ObjectStorage, submit: Callable[..., Played]
) -> None:
    for key in ("a.mp4", "b.mp4"):
        s3.put(key, b"a talk")
    task = submit("s3://media_s3@media/a.mp4")
    task.run()
    task.make = submit("s3://media_s3@media/b.mp4").make
    task.clear()
    with pytest.raises(KlapChangedError, match=r"source_video_url was .*a\.mp4.* and is .*b\.mp4"):
        task.run()
    assert len(klap.ledger()) == 1


def test_signatures_are_in_no_message_and_no_error(
    klap: Sandbox, s3: ObjectStorage, submit: Callable[..., Played], supervisor: Supervisor
) -> None:
    s3.put("a.mp4", b"a talk")
    words = {"message": f"{s3.url}/media/a.mp4?AWSAccessKeyId=x&Signature=y&Expires=1 cannot be fetched"}
    klap.fault("POST", "/tasks/", "status", code=422, body=words)
    task = submit("s3://media_s3@media/a.mp4")
    with pytest.raises(KlapError, match=r"a\.mp4\?… cannot be fetched"):
        task.run()
    task.run()
    assert "Signature" not in json.dumps([supervisor.messages, task.store, task.xcom()])


MISSING = [
    pytest.param("s3://media_s3@medla/a.mp4", KlapStorageError, r"medla/a\.mp4 does not exist.*bucket", id="bucket"),
    pytest.param("s3://media_s3@media/b.mp4", KlapStorageError, r"media/b\.mp4 does not exist.*path", id="video"),
    pytest.param("s3://media_s3@media/talks", KlapInputError, "is a folder", id="folder"),
    pytest.param("s3://media_s4@media/a.mp4", KlapInputError, "no Airflow connection 'media_s4'", id="connection"),
    pytest.param("gs://media_gs@media/a.mp4", KlapInputError, "Install the Airflow provider", id="provider"),
]


@pytest.mark.parametrize(("url", "kind", "words"), MISSING)
def test_a_missing_video_is_refused_before_anything_is_paid(
    klap: Sandbox,
    s3: ObjectStorage,
    submit: Callable[..., Played],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    kind: type[KlapError],
    words: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MEDIA_GS", '{"conn_type": "google_cloud_platform"}')
    s3.put("talks/a.mp4", b"a talk")
    task = submit(url)
    with pytest.raises(kind, match=f"^source_video_url.*{words}") as failure:
        task.run()
    assert not failure.value.transient
    assert task.xcom("klap_error")["type"] == kind.__name__
    assert (klap.requests("POST"), task.store) == ([], {})


@pytest.mark.usefixtures("refused")
def test_an_unreadable_video_is_refused_before_anything_is_paid(klap: Sandbox, submit: Callable[..., Played]) -> None:
    with pytest.raises(
        KlapStorageError, match=r"^source_video_url: .* was refused .*Check the credentials and"
    ) as failure:
        submit().run()
    assert not failure.value.transient
    assert klap.requests("POST") == []


def test_an_unreachable_storage_is_a_transient_error_before_the_post(
    klap: Sandbox, s3: ObjectStorage, submit: Callable[..., Played], connect_s3: Callable[[str], None]
) -> None:
    s3.put("a.mp4", b"a talk")
    connect_s3("http://127.0.0.1:9")
    task = submit("s3://media_s3@media/a.mp4")
    with pytest.raises(KlapStorageError, match=r"source_video_url: .* failed") as failure:
        task.run()
    assert failure.value.transient
    assert task.store == {}
    connect_s3(s3.url)
    task.run()
    assert len(klap.ledger()) == 1


@pytest.mark.usefixtures("s3")
def test_a_private_storage_address_is_not_sent_to_klap(
    klap: Sandbox, s3: ObjectStorage, submit: Callable[..., Played], connect: Callable[..., None]
) -> None:
    s3.put("a.mp4", b"a talk")
    connect("https://api.klap.app/v2")
    with pytest.raises(KlapInputError, match=r"source_video_url: 127\.0\.0\.1 is on a private network"):
        submit("s3://media_s3@media/a.mp4").run()
    assert klap.requests() == []


# Destinations


def test_a_destination_is_checked_before_anything_is_paid(
    klap: Sandbox, s3: ObjectStorage, submit: Callable[..., Played]
) -> None:
    s3.put("shorts/other.mp4", b"other")
    submit("https://example.com/talk.mp4", destination="s3://media_s3@media/shorts").run()
    assert s3.keys() == ["shorts/other.mp4"]
    assert len(klap.ledger()) == 1


NOWHERE = [
    pytest.param("s3://media_s3@medla/shorts", KlapStorageError, "medla/shorts does not exist", id="bucket"),
    pytest.param("s3://media_s4@media/shorts", KlapInputError, "no Airflow connection 'media_s4'", id="connection"),
    pytest.param("gs://media/shorts", KlapInputError, "Install the Airflow provider", id="provider"),
]


@pytest.mark.parametrize(("destination", "kind", "words"), NOWHERE)
def test_a_missing_bucket_is_refused_and_not_created(
    klap: Sandbox,
    s3: ObjectStorage,
    submit: Callable[..., Played],
    destination: str,
    kind: type[KlapError],
    words: str,
) -> None:
    with pytest.raises(kind, match=f"^destination.*{words}") as failure:
        submit("https://example.com/talk.mp4", destination=destination).run()
    assert not failure.value.transient
    assert klap.requests("POST") == []
    assert [bucket["Name"] for bucket in s3.s3.list_buckets()["Buckets"]] == ["media"]


@pytest.mark.usefixtures("refused")
def test_a_read_only_destination_is_refused_before_anything_is_paid(
    klap: Sandbox, submit: Callable[..., Played]
) -> None:
    with pytest.raises(KlapStorageError, match=r"^destination: .* was refused .*Check the credentials and"):
        submit("https://example.com/talk.mp4", destination="s3://media_s3@media/shorts").run()
    assert klap.requests("POST") == []


def test_a_local_folder_is_checked(tmp_path: Any) -> None:
    check_destination(f"{tmp_path}/new/shorts")
    assert list((tmp_path / "new" / "shorts").iterdir()) == []
    (tmp_path / "file").write_bytes(b"not a folder")
    with pytest.raises(KlapStorageError, match="destination"):
        check_destination(f"{tmp_path}/file/shorts")


class NoDeletes(BaseHTTPRequestHandler):
    """An S3 whose user may read and write, but not delete."""

    upstream: str
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        if self.command == "DELETE" or "delete" in self.path.partition("?")[2]:
            status, headers, body = 403, {}, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        else:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            forwarded = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            answer = requests.request(self.command, self.upstream + self.path, headers=forwarded, data=sent, timeout=10)
            status, headers, body = answer.status_code, dict(answer.headers), answer.content
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # what http.server calls

    def log_message(self, *_: object) -> None:
        pass


def test_a_destination_without_deletes_keeps_one_file_of_the_check(
    s3: ObjectStorage, connect_s3: Callable[[str], None]
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (NoDeletes,), {"upstream": s3.url}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connect_s3(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        for _ in range(3):
            check_destination("s3://media_s3@media/shorts")
    finally:
        server.shutdown()
        server.server_close()
    assert s3.keys() == [f"shorts/{WRITE_CHECK}"]


def test_a_check_of_a_destination_leaves_no_file(s3: ObjectStorage) -> None:
    check_destination("s3://media_s3@media/shorts")
    assert s3.keys() == []


# Shorts


@pytest.fixture
def deliver(airflow: Callable[..., Played], make_shorts: Callable[..., list[dict[str, Any]]]) -> Callable[..., Played]:
    """Make the deliver task of a short."""

    def task(klap: Sandbox, **fields: Any) -> Played:
        (short,) = make_shorts()
        path = f"/projects/{short['folder_id']}/{short['id']}/exports"
        export = klap.call("POST", path).json()
        time.sleep(0.02)
        klap.outcome(f"{path}/{export['id']}")
        given = {"destination": "s3://media_s3@media/shorts", "subfolder": "task1", "virality_score": 87, **fields}
        ids = {"export_id": export["id"], "project_id": short["id"], "folder_id": short["folder_id"]}
        return airflow(lambda: DeliverShortOperator(task_id="deliver", **ids, **given))

    return task


def test_a_short_and_its_file_are_delivered_once(
    klap: Sandbox, s3: ObjectStorage, deliver: Callable[..., Played]
) -> None:
    task = deliver(klap)
    first = task.run()
    name = f"shorts/task1/087_short_{first['export_id']}"
    assert s3.keys() == [f"{name}.json", f"{name}.mp4"]
    assert first["path"] == f"s3://media_s3@media/{name}.mp4"
    assert s3.get(f"{name}.mp4") == requests.get(first["src_url"], timeout=30).content
    sidecar = json.loads(s3.get(f"{name}.json"))
    assert (sidecar["sha256"], sidecar["size"]) == (first["sha256"], len(s3.get(f"{name}.mp4")))
    before = len(klap.requests())
    assert task.run() == first
    assert len(klap.requests()) == before


def test_a_download_that_fails_leaves_nothing_in_the_bucket(
    klap: Sandbox, s3: ObjectStorage, deliver: Callable[..., Played]
) -> None:
    task = deliver(klap)
    klap.fault("GET", "^/renders/", "truncate", bytes=1000)
    with pytest.raises(KlapDownloadError):
        task.run()
    assert (s3.keys(), s3.uploads()) == ([], [])
    task.run()
    assert len(s3.keys()) == 2


def test_a_failed_request_for_the_sidecar_does_not_repeat_the_upload(
    klap: Sandbox, s3: ObjectStorage, deliver: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    task = deliver(klap)
    klap.fault("GET", r"^/projects/[^/]+/[^/]+$", "status", times=4, code=500)
    with pytest.raises(KlapServerError):
        task.run()
    task.run()
    assert len(s3.keys()) == 2
    assert len(klap.requests("GET", "^/renders/")) == 1


def test_a_missing_bucket_is_a_transient_error_of_a_paid_delivery(
    klap: Sandbox, s3: ObjectStorage, deliver: Callable[..., Played]
) -> None:
    task = deliver(klap, destination="s3://media_s3@medla/shorts")
    with pytest.raises(KlapStorageError, match=r"destination: .*medla") as failure:
        task.run()
    assert failure.value.transient
    assert [bucket["Name"] for bucket in s3.s3.list_buckets()["Buckets"]] == ["media"]


def test_a_large_file_is_uploaded_in_parts_with_little_memory(s3: ObjectStorage) -> None:
    path = folder_at("s3://media_s3@media/shorts") / "big.mp4"
    megabyte = bytes(range(256)) * 4096
    folder_at("s3://media_s3@media").exists()  # exclude the memory of the client
    tracemalloc.start()
    with atomic_file(path) as sink:
        for _ in range(60):
            sink.write(megabyte)
        (upload,) = s3.uploads()
        assert upload["Key"] == "shorts/big.mp4"
        parts = s3.s3.list_parts(Bucket="media", Key=upload["Key"], UploadId=upload["UploadId"])["Parts"]
        assert [part["Size"] for part in parts] == [16 * MEGABYTE] * 3
        assert s3.keys() == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * MEGABYTE
    assert (s3.keys(), s3.uploads()) == (["shorts/big.mp4"], [])
    assert s3.get("shorts/big.mp4") == megabyte * 60


@pytest.mark.parametrize("failure", [OSError("the network is gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("megabytes", [1, 40])
def test_an_aborted_upload_leaves_nothing(s3: ObjectStorage, failure: BaseException, megabytes: int) -> None:
    path = folder_at("s3://media_s3@media/shorts") / "big.mp4"

    def give_up() -> None:
        with atomic_file(path) as sink:
            for _ in range(megabytes):
                sink.write(bytes(MEGABYTE))
            raise failure

    with pytest.raises(type(failure)):
        give_up()
    gc.collect()
    assert (s3.keys(), s3.uploads()) == ([], [])


def test_an_upload_that_could_not_be_aborted_is_not_committed(
    s3: ObjectStorage, connect_s3: Callable[[str], None]
) -> None:
    wire = TcpProxy(s3.url)
    connect_s3(wire.url)
    path = folder_at("s3://media_s3@media/shorts") / "big.mp4"

    def fail() -> None:
        with atomic_file(path) as sink:
            for _ in range(40):
                sink.write(bytes(MEGABYTE))
            wire.cut()
            raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        fail()
    wire.restore()
    gc.collect()
    wire.cut()
    assert s3.keys() == []


def test_a_killed_upload_is_repeated_by_the_next_try_for_free(
    klap: Sandbox, s3: ObjectStorage, deliver: Callable[..., Played]
) -> None:
    task = deliver(klap)
    paid = klap.ledger()
    name = f"shorts/task1/087_short_{paid[-1]['id']}.mp4"
    killed_in_an_upload(f"s3://media_s3@media/{name}")
    assert s3.keys() == []
    assert [left["Key"] for left in s3.uploads()] == [name], "parts of an upload, which are not visible"
    delivered = task.run()
    assert len(s3.get(name)) == delivered["size"]
    assert klap.ledger() == paid


def test_a_file_is_replaced_only_by_a_complete_one(s3: ObjectStorage) -> None:
    path = folder_at("s3://media_s3@media/shorts") / "manifest.json"
    for content in (b"old", b"new"):
        before = s3.keys()
        with atomic_file(path) as sink:
            sink.write(content)
            assert s3.keys() == before
        assert s3.get("shorts/manifest.json") == content
