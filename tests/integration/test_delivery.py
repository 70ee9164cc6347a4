"""A delivery copies the complete file from Klap to storage, once, and never sends the API key elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socketserver
import threading
import time
import tracemalloc
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import fsspec
import pytest
import requests
from airflow.sdk import ObjectStoragePath
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.execution_time import comms
from airflow.sdk.io import attach

from klap_provider.errors import (
    KlapConnectionError,
    KlapDownloadError,
    KlapInputError,
    KlapNotFoundError,
    KlapServerError,
    KlapStorageError,
)
from klap_provider.files.storage import Writer, part_name
from klap_provider.operators import DeliverShortOperator, ListShortsOperator
from klap_provider.rules.ledger_keys import delivered_entry
from klap_provider.rules.ledger_rows import DeliveredRow
from klap_provider.xcoms import FACTS_KEY
from tests.support.airflow_context import DAG_ID, RUN_ID
from tests.support.tcp_proxy import Endless
from tests.support.videos import box, head_of_mp4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

RENDER = "^/renders/"
POLL = "/exports/"
MEGABYTE = 1024 * 1024
TINY = head_of_mp4(40) + bytes(8)


@pytest.fixture
def short(klap: Sandbox, make_shorts: Callable[..., list[dict[str, Any]]]) -> dict[str, str]:
    """The ids of a short with a ready export, and the export's address."""
    made = make_shorts()[0]
    path = f"/projects/{made['folder_id']}/{made['id']}/exports"
    export = klap.call("POST", path).json()
    time.sleep(0.02)
    src_url = klap.outcome(f"{path}/{export['id']}")["src_url"]
    return {"export_id": export["id"], "project_id": made["id"], "folder_id": made["folder_id"], "src_url": src_url}


@pytest.fixture
def deliver(airflow: Airflow, short: dict[str, str], tmp_path: Path) -> Callable[..., Played]:
    """Make the deliver task of the short, with the destination ``tmp_path``."""
    ids = {name: short[name] for name in ("export_id", "project_id", "folder_id")}

    def task(**fields: Any) -> Played:
        return airflow(
            lambda: DeliverShortOperator(task_id="deliver", **{"destination": str(tmp_path), **ids, **fields})
        )

    return task


def forgotten(task: Played) -> Played:
    """Delete the task's deliveries from the ledger, and return the task."""
    task.supervisor.ledger.clear()
    return task


class Elsewhere(BaseHTTPRequestHandler):
    """A web server that is not Klap's.

    ``/hops/N`` redirects N times and then serves a tiny video; ``/to?URL`` redirects to the URL; ``/slow`` serves a
    video that takes 1.5 s; ``/endless`` a video without a Content-Length; ``/big/N`` a video of N bytes.
    """

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "hops" and int(rest):
            self.redirect(f"/hops/{int(rest) - 1}")
        elif kind == "hops":
            self.start(200, {"Content-Length": str(len(TINY))})
            self.wfile.write(TINY)
        elif kind.startswith("to?"):
            self.redirect(self.path.partition("?")[2])
        elif kind == "slow":
            self.start(200, {"Content-Length": "62"})
            self.wfile.write(head_of_mp4(62))
            for _ in range(30):
                time.sleep(0.05)
                self.wfile.write(b"x")
        elif kind == "endless":
            self.start(200, {"Connection": "close"})
            for chunk in (head_of_mp4(32 + 100_000), *[bytes(1000)] * 100):
                self.wfile.write(chunk)
            self.close_connection = True
        else:
            self.start(200, {"Content-Length": rest})
            zeros, left = bytes(MEGABYTE), int(rest) - self.wfile.write(head_of_mp4(int(rest)))
            while left:
                left -= self.wfile.write(zeros[: min(left, MEGABYTE)])

    def redirect(self, location: str) -> None:
        self.start(302, {"Location": location, "Content-Length": "0"})

    def start(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            """The client has closed the connection."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a server that is not Klap's."""
    Elsewhere.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def moved(klap: Sandbox, short: dict[str, str]) -> Callable[[str], None]:
    """Let Klap return another address of the export's video."""

    def to(src_url: str) -> None:
        body = {"id": short["export_id"], "status": "ready", "src_url": src_url}
        klap.fault("GET", POLL, "status", times=None, code=200, body=body)

    return to


def videos(folder: Path) -> list[str]:
    """Return the names of the files in a folder, without the sidecars."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".json"))


def content(short: dict[str, str]) -> bytes:
    return requests.get(short["src_url"], timeout=30).content


def downloads(klap: Sandbox) -> int:
    return len(klap.requests("GET", RENDER))


def test_a_short_is_delivered_whole_with_its_size_and_hash(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path
) -> None:
    video = content(short)
    made = klap.call("GET", f"/projects/{short['folder_id']}/{short['project_id']}").json()
    result = deliver(short_name="Why we sleep", virality_score=87, subfolder="task1").run()
    file = tmp_path / "task1" / f"087_why-we-sleep_{short['export_id']}.mp4"
    assert result == {
        "project_id": short["project_id"],
        "export_id": short["export_id"],
        "path": f"file://{file}",
        "size": len(video),
        "sha256": hashlib.sha256(video).hexdigest(),
        "src_url": short["src_url"],
        "sidecar": f"file://{file.with_suffix('.json')}",
        "publication_captions": made["publication_captions"],
        "transcript": made["transcript_text"],
    }
    assert file.read_bytes() == video
    assert sorted(os.listdir(file.parent)) == [file.with_suffix(".json").name, file.name]


def test_the_fields_of_a_delivery_may_be_params_of_the_run(
    airflow: Airflow, short: dict[str, str], tmp_path: Path
) -> None:
    conf = {
        "export_id": short["export_id"],
        "project_id": short["project_id"],
        "folder_id": short["folder_id"],
        "destination": str(tmp_path),
        "subfolder": "task1",
        "short_name": "Why we sleep",
        "virality_score": 87,
        "source_video_url": "https://example.com/talk.mp4",
        "klap_task_id": "task000000000000",
        "klap_conn_id": "klap_default",
    }

    def make() -> DeliverShortOperator:
        dag = DagContext.get_current_dag()
        fields = {name: dag.param(name, None) for name in conf}
        allowed = {"allowed_destinations": [str(tmp_path)], "allowed_connections": ["klap_default"]}
        return DeliverShortOperator(task_id="deliver", **allowed, **fields)

    file = tmp_path / "task1" / f"087_why-we-sleep_{short['export_id']}.mp4"
    assert airflow(make, conf=conf).run()["path"] == f"file://{file}"
    written = json.loads(file.with_suffix(".json").read_text())
    named = ("export_id", "project_id", "folder_id", "virality_score", "source_video_url", "klap_task_id")
    assert {name: written[name] for name in named} == {name: conf[name] for name in named}


def test_a_delivery_is_shown_under_the_name_of_its_short() -> None:
    delivery = DeliverShortOperator(task_id="deliver", export_id="e", project_id="p", short_name="Why we sleep")
    assert (delivery.map_index_template, delivery.short_name) == ("{{ task.shown_name }}", "Why we sleep")


@pytest.mark.parametrize(
    ("rendered", "score"), [("87", 87), ("87.4", 87), ("None", None), ("", None), ("nan", None), ("1e999", None)]
)
def test_a_score_that_a_template_rendered_as_text_is_a_number(
    deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path, rendered: str, score: int | None
) -> None:
    file = f"{'' if score is None else f'{score:03d}_'}a_{short['export_id']}"
    assert deliver(short_name="a", virality_score=rendered).run()["path"] == f"file://{tmp_path / file}.mp4"
    if score is not None:
        assert json.loads((tmp_path / f"{file}.json").read_text())["virality_score"] == score


@pytest.mark.parametrize(
    ("short_name", "score", "name"),
    [
        (None, None, "short_{}.mp4"),
        ("", 0, "000_short_{}.mp4"),
        ("../../etc/passwd", 5, "005_etc-passwd_{}.mp4"),
        ("¿Qué? / Wie schön!", 100, "100_qué-wie-schön_{}.mp4"),
        ("なぜ眠るのか", 50.4, "050_なぜ眠るのか_{}.mp4"),
        ("x" * 500, 1, "001_" + "x" * 40 + "_{}.mp4"),
        ("🔥🔥", 1, "001_short_{}.mp4"),
    ],
)
def test_a_file_is_named_after_its_score_its_short_and_its_export(
    deliver: Callable[..., Played],
    short: dict[str, str],
    tmp_path: Path,
    short_name: str | None,
    score: float | None,
    name: str,
) -> None:
    deliver(short_name=short_name, virality_score=score).run()
    assert videos(tmp_path) == [name.format(short["export_id"])]


def test_a_captioned_video_is_delivered_without_folder_and_score(
    klap: Sandbox, airflow: Airflow, make_video: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    video = make_video()
    export = klap.call("POST", f"/projects/{video['id']}/exports").json()
    time.sleep(0.02)
    klap.outcome(f"/projects/{video['id']}/exports/{export['id']}")
    ids = {"export_id": export["id"], "project_id": video["id"], "folder_id": None}
    more = {"short_name": video["name"], "virality_score": video["virality_score"], "destination": str(tmp_path)}
    delivered = airflow(lambda: DeliverShortOperator(task_id="deliver", **ids, **more)).run()
    file = tmp_path / f"talk_{export['id']}.mp4"
    assert {*tmp_path.iterdir()} == {file, file.with_suffix(".json")}
    assert delivered["path"] == f"file://{file}"
    assert file.read_bytes()[4:8] == b"ftyp"


def test_a_second_try_makes_no_request(
    klap: Sandbox, deliver: Callable[..., Played], connect: Callable[..., None], supervisor: Supervisor
) -> None:
    task = deliver()
    first = task.run()
    assert not [message for message in supervisor.messages if '"GetXCom' in message], (
        "no XCom of an earlier task is read"
    )
    before = len(klap.requests())
    connect("http://127.0.0.1:9/v2")
    assert task.run() == first
    assert len(klap.requests()) == before


def test_an_existing_file_without_a_ledger_row_is_verified_by_its_hash(
    klap: Sandbox, deliver: Callable[..., Played]
) -> None:
    first = deliver().run()
    assert forgotten(deliver()).run() == {**first, "src_url": None}
    assert downloads(klap) == 1


@pytest.mark.parametrize("spoiled", [b"", b"another", None])
@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_changed_file_is_fetched_again(
    klap: Sandbox,
    deliver: Callable[..., Played],
    tmp_path: Path,
    spoiled: bytes | None,
    described: bool,
    remembered: bool,
) -> None:
    task = deliver()
    first = task.run()
    (file,) = tmp_path.glob("*.mp4")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if spoiled is None else spoiled)
    if not described:
        file.with_suffix(".json").unlink()
    assert (task if remembered else forgotten(task)).run() == first
    assert file.read_bytes() == whole
    assert downloads(klap) == 2


def test_an_empty_file_is_fetched_again_even_if_its_sidecar_matches(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    first = deliver().run()
    (file,) = tmp_path.glob("*.mp4")
    file.write_bytes(b"")
    sidecar = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps({**sidecar, "size": 0, "sha256": hashlib.sha256().hexdigest()}))
    assert deliver().run() == first
    assert (file.stat().st_size, downloads(klap)) == (first["size"], 2)


def test_a_file_with_a_known_hash_may_have_an_open_ended_last_box(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    deliver().run()
    (file,) = tmp_path.glob("*.mp4")
    file.write_bytes(OPEN_ENDED)
    sha256 = hashlib.sha256(OPEN_ENDED).hexdigest()
    sidecar = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps({**sidecar, "size": len(OPEN_ENDED), "sha256": sha256}))
    assert forgotten(deliver()).run()["sha256"] == sha256
    assert downloads(klap) == 1


def test_a_row_of_another_path_does_not_verify_a_file_of_the_same_size(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    task = deliver(subfolder="before")
    first = task.run()
    (file,) = tmp_path.glob("before/*.mp4")
    there = tmp_path / "now" / file.name
    there.parent.mkdir()
    there.write_bytes(bytes(first["size"]))
    task.make = deliver(subfolder="now").make
    assert task.run()["path"] == f"file://{there}"
    assert (there.read_bytes(), downloads(klap)) == (file.read_bytes(), 2)


def test_a_file_of_the_same_size_with_another_hash_is_fetched_again(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    first = deliver().run()
    (file,) = tmp_path.glob("*.mp4")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert forgotten(deliver()).run() == first
    assert (file.read_bytes(), downloads(klap)) == (whole, 2)


def test_a_file_without_row_and_sidecar_is_verified_by_its_boxes(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    first = deliver().run()
    (file,) = tmp_path.glob("*.mp4")
    file.with_suffix(".json").unlink()
    assert forgotten(deliver()).run() == {**first, "src_url": None}
    assert downloads(klap) == 1
    file.with_suffix(".json").unlink()
    file.write_bytes(OPEN_ENDED)
    assert forgotten(deliver()).run() == first
    assert downloads(klap) == 2


def test_a_failed_download_does_not_replace_the_existing_file(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    task = deliver()
    task.run()
    (file,) = tmp_path.glob("*.mp4")
    file.write_bytes(b"another")
    klap.fault("GET", RENDER, "truncate", bytes=1000)
    with pytest.raises(KlapDownloadError):
        task.run()
    assert file.read_bytes() == b"another"


def test_a_deleted_file_is_fetched_again(klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path) -> None:
    task = deliver()
    first = task.run()
    (file,) = tmp_path.glob("*.mp4")
    file.unlink()
    assert task.run() == first
    assert file.exists()
    assert downloads(klap) == 2


def test_leftovers_of_a_killed_try_are_removed(
    deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path
) -> None:
    task = deliver()
    name = f"short_{short['export_id']}.mp4"
    left = part_name(name, Writer(f"{DAG_ID} {RUN_ID} deliver {task.map_index}", 1))
    (tmp_path / left).write_bytes(b"half")
    task.tries = 1  # killed
    task.run()
    assert sorted(os.listdir(tmp_path)) == [f"{name.removesuffix('.mp4')}.json", name]


def test_partial_files_of_other_runs_are_kept(
    deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path
) -> None:
    name = f"short_{short['export_id']}.mp4"
    others = [part_name(name, Writer(f"{DAG_ID} tuesday deliver -1", 1)), part_name(name, None)]
    for each in others:
        (tmp_path / each).write_bytes(b"half")
    deliver().run()
    assert sorted(os.listdir(tmp_path)) == sorted([*others, f"{name.removesuffix('.mp4')}.json", name])


@pytest.mark.parametrize(
    "edited",
    [
        "[" * 100_000,
        "{}",
        '{"sha256": "SHA256"}',
        '{"sha256": "SHA256", "name": 3, "virality_score": 1, "explanation": null, "duration": null, '
        '"publication_captions": null, "transcript": 4}',
    ],
)
def test_an_edited_sidecar_is_written_again_and_does_not_fail_the_task(
    deliver: Callable[..., Played], tmp_path: Path, edited: str
) -> None:
    task = deliver(short_name="a")
    result = task.run()
    (file,) = tmp_path.glob("*.json")
    whole = file.read_text()
    file.write_text(edited.replace("SHA256", result["sha256"]))
    assert {**task.run(), "src_url": None} == {**result, "src_url": None}
    assert file.read_text() == whole


def sidecar(tmp_path: Path) -> dict[str, Any]:
    (file,) = tmp_path.glob("*.json")
    written: dict[str, Any] = json.loads(file.read_text())
    return written


def test_the_sidecar_has_klaps_fields_of_the_short(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path
) -> None:
    made = klap.call("GET", f"/projects/{short['folder_id']}/{short['project_id']}").json()
    talk = "s3://media@archive/talk.mp4"
    result = deliver(virality_score=87, source_video_url=talk, klap_task_id="task000000000000").run()
    assert sidecar(tmp_path) == {
        "project_id": short["project_id"],
        "export_id": short["export_id"],
        "folder_id": short["folder_id"],
        "name": made["name"],
        "virality_score": 87,
        "explanation": made["virality_score_explanation"],
        "duration": made["duration"],
        "publication_captions": made["publication_captions"],
        "transcript": made["transcript_text"],
        "source_video_url": "s3://archive/talk.mp4",  # without the connection
        "klap_task_id": "task000000000000",
        "file": f"087_short_{short['export_id']}.mp4",
        "size": result["size"],
        "sha256": result["sha256"],
    }
    assert made["publication_captions"]["tiktok"]
    assert made["transcript_text"]


def test_missing_and_malformed_fields_are_null_in_the_sidecar(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path
) -> None:
    body = {"id": short["project_id"], "name": None, "publication_captions": "none", "transcript_text": ["a", "b"]}
    klap.fault("GET", f"{short['project_id']}$", "status", code=200, body=body)
    result = deliver(short_name="Why we sleep").run()
    written = sidecar(tmp_path)
    assert written["name"] == "Why we sleep"
    assert [written[name] for name in ("virality_score", "publication_captions", "transcript")] == [None] * 3
    assert (result["publication_captions"], result["transcript"]) == (None, None)


@pytest.mark.parametrize(("length", "travels"), [(10_000, True), (10_001, False)])
def test_a_long_transcript_is_only_in_the_sidecar(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path, length: int, travels: bool
) -> None:
    body = {"id": short["project_id"], "transcript_text": "字" * length}
    klap.fault("GET", f"{short['project_id']}$", "status", code=200, body=body)
    assert deliver().run()["transcript"] == (body["transcript_text"] if travels else None)
    assert sidecar(tmp_path)["transcript"] == body["transcript_text"]


def test_fields_of_the_list_of_shorts_are_not_requested_again(
    klap: Sandbox,
    airflow: Airflow,
    supervisor: Supervisor,
    deliver: Callable[..., Played],
    short: dict[str, str],
    tmp_path: Path,
) -> None:
    airflow(lambda: ListShortsOperator(task_id="list", folder_id=short["folder_id"])).run()
    facts = supervisor.xcom("list", FACTS_KEY)
    another = {**facts[0], "project_id": "another", "transcript": "The transcript of another short."}
    supervisor.put_xcom("list", [another, *facts], FACTS_KEY)
    result = deliver(list_task_id="list").run()
    assert klap.requests("GET", f"{short['project_id']}$") == []
    from_list = sidecar(tmp_path)
    assert from_list["transcript"] == result["transcript"]
    for file in tmp_path.iterdir():
        file.unlink()
    deliver().run()
    assert klap.requests("GET", f"{short['project_id']}$")
    assert sidecar(tmp_path) == from_list


@pytest.mark.parametrize(
    "lean",
    [
        {"publication_captions": None},
        {"transcript_text": None},
        {"transcript_text": "字" * 10_001},
        {"publication_captions": {"tiktok": "字" * 10_001}},
    ],
    ids=lambda lean: f"{lean}"[:30],
)
def test_missing_or_long_fields_of_the_list_are_requested(
    klap: Sandbox,
    airflow: Airflow,
    deliver: Callable[..., Played],
    short: dict[str, str],
    tmp_path: Path,
    lean: dict[str, Any],
) -> None:
    made = klap.call("GET", f"/projects/{short['folder_id']}/{short['project_id']}").json()
    klap.fault("GET", f"^/projects/{short['folder_id']}$", "status", code=200, body=[{**made, **lean}])
    airflow(lambda: ListShortsOperator(task_id="list", folder_id=short["folder_id"])).run()
    deliver(list_task_id="list").run()
    assert sidecar(tmp_path)["publication_captions"] == made["publication_captions"]
    assert sidecar(tmp_path)["transcript"] == made["transcript_text"]


def test_a_failed_request_for_the_sidecar_does_not_repeat_the_download(
    klap: Sandbox,
    deliver: Callable[..., Played],
    short: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    klap.fault("GET", f"{short['project_id']}$", "status", times=4, code=500)
    task = deliver()
    with pytest.raises(KlapServerError):
        task.run()
    assert videos(tmp_path) == [f"short_{short['export_id']}.mp4"]
    assert list(tmp_path.glob("*.json")) == []
    assert task.run()["sha256"] == sidecar(tmp_path)["sha256"]
    assert sidecar(tmp_path)["project_id"] == short["project_id"]
    assert downloads(klap) == 1


@pytest.mark.parametrize("spoiled", ["{", "[]", '{"sha256": "of another video"}'])
def test_a_sidecar_of_another_video_is_written_again(
    deliver: Callable[..., Played], tmp_path: Path, spoiled: str
) -> None:
    task = deliver()
    first = task.run()
    (file,) = tmp_path.glob("*.json")
    whole = file.read_text()
    file.write_text(spoiled)
    assert task.run() == first
    assert file.read_text() == whole


FAULTS = [
    pytest.param({"action": "truncate", "bytes": 1000}, "was interrupted", id="cut short"),
    pytest.param({"action": "truncate", "bytes": 0}, "was interrupted", id="cut before it began"),
    pytest.param({"action": "drop"}, "was interrupted", id="dropped"),
    pytest.param({"action": "not_a_video"}, "not an MP4 video.*text/html", id="a web page"),
    pytest.param({"action": "empty"}, "not a complete MP4 video \\(0 bytes\\)", id="an empty body"),
    pytest.param({"action": "status", "code": 404}, "404.*new address", id="404"),
    pytest.param({"action": "status", "code": 403}, "403.*new address", id="403"),
    pytest.param({"action": "status", "code": 206, "body": "part"}, "206", id="a part that was not asked for"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_a_failed_download_leaves_no_file_and_a_retry_delivers(
    klap: Sandbox,
    deliver: Callable[..., Played],
    short: dict[str, str],
    tmp_path: Path,
    fault: dict[str, Any],
    words: str,
) -> None:
    others = [".other.mp4.0badcafe.part", "other.mp4"]
    for other in others:
        (tmp_path / other).write_bytes(b"other")
    before = len(klap.requests("GET", POLL))
    klap.fault("GET", RENDER, **fault)
    task = deliver()
    with pytest.raises(KlapDownloadError, match=words) as failure:
        task.run()
    assert failure.value.transient
    assert not [key for key in task.supervisor.ledger if not key.startswith("short_name.")]
    assert task.xcom("klap_error")["project_id"] == short["project_id"]
    assert sorted(os.listdir(tmp_path)) == others

    assert task.run()["size"] == len(content(short))
    assert len(klap.requests("GET", POLL)) - before == 2
    assert videos(tmp_path) == [*others, f"short_{short['export_id']}.mp4"]
    assert all((tmp_path / other).read_bytes() == b"other" for other in others)


class Raw(socketserver.BaseRequestHandler):
    """Answers with fixed bytes and closes the connection."""

    answer: bytes

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(self.answer)


@pytest.fixture
def raw(moved: Callable[[str], None]) -> Iterator[Callable[[str, bytes], None]]:
    """Serve the export's video with these header lines and this body."""
    with socketserver.TCPServer(("127.0.0.1", 0), Raw) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def answer(head: str, body: bytes) -> None:
            Raw.answer = f"HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n".encode() + body
            moved(f"http://127.0.0.1:{server.server_address[1]}/video.mp4?signature=s3cret")

        yield answer
        server.shutdown()
        thread.join()


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


OPEN_ENDED = box("ftyp", b"mp42") + box("moov", b"index") + b"\0\0\0\0mdat" + b"pictures"
CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param("", TINY[:-1], id="a body without a length, cut"),
        pytest.param("", OPEN_ENDED, id="a body without a length, and a last box without one"),
        pytest.param(CHUNKED, chunked(TINY[:20], TINY[20:-1]) + b"0\r\n\r\n", id="whole chunks of half a video"),
        pytest.param(CHUNKED, chunked(TINY[:20], TINY[20:]), id="chunks without their end"),
        pytest.param(CHUNKED, chunked(OPEN_ENDED)[:-4], id="a chunk that is cut"),
        pytest.param("Content-Length: 41\r\n", TINY, id="a body shorter than its length"),
        pytest.param(f"Content-Length: {len(TINY) - 1}\r\n", TINY[:-1], id="half a video, with its length"),
    ],
)
def test_a_truncated_video_is_refused_whatever_its_content_length(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None], tmp_path: Path, head: str, body: bytes
) -> None:
    raw(head, body)
    with pytest.raises(KlapDownloadError, match=r"not a complete MP4|was interrupted") as failure:
        deliver().run()
    assert failure.value.transient
    assert "s3cret" not in str(failure.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param("", TINY, id="a body without a length"),
        pytest.param("Content-Length: much\r\n", TINY, id="an invalid length"),
        pytest.param(CHUNKED, chunked(TINY[:20], TINY[20:]) + b"0\r\n\r\n", id="chunks"),
        pytest.param(CHUNKED, chunked(OPEN_ENDED) + b"0\r\n\r\n", id="chunks, and a last box without a length"),
        pytest.param(f"Content-Length: {len(OPEN_ENDED)}\r\n", OPEN_ENDED, id="a last box without a length"),
    ],
)
def test_a_complete_video_is_delivered_however_its_length_is_announced(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None], tmp_path: Path, head: str, body: bytes
) -> None:
    raw(head, body)
    assert deliver().run()["size"] in (len(TINY), len(OPEN_ENDED))
    (file,) = tmp_path.glob("*.mp4")
    assert file.read_bytes() in (TINY, OPEN_ENDED)


@pytest.mark.parametrize("head", ["", f"Content-Length: {len(TINY)}\r\n"])
def test_a_file_may_be_as_long_as_max_bytes(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None], head: str
) -> None:
    raw(head, TINY)
    with pytest.raises(KlapDownloadError, match="max_bytes"):
        deliver(max_bytes=len(TINY) - 1).run()
    assert deliver(max_bytes=len(TINY)).run()["size"] == len(TINY)


def test_the_error_of_a_refused_address_has_no_signature(
    klap: Sandbox, deliver: Callable[..., Played], moved: Callable[[str], None], short: dict[str, str]
) -> None:
    moved(f"{short['src_url']}?signature=s3cret")
    klap.fault("GET", RENDER, "status", code=403)
    with pytest.raises(KlapDownloadError, match="answered 403") as failure:
        deliver().run()
    assert "s3cret" not in str(failure.value)


def test_a_signed_address_is_not_recorded(
    deliver: Callable[..., Played], moved: Callable[[str], None], short: dict[str, str], tmp_path: Path
) -> None:
    moved(f"{short['src_url']}?signature=s3cret")
    task = deliver()
    assert task.run()["src_url"] is None
    written = b"".join(file.read_bytes() for file in tmp_path.glob("*.json"))
    assert "s3cret" not in repr([task.supervisor.messages, task.supervisor.ledger, written])


def test_the_error_of_a_video_without_a_length_names_the_cause(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None]
) -> None:
    raw("", OPEN_ENDED)
    with pytest.raises(KlapDownloadError, match=r"bytes\): neither the server nor its last box has a length\.$"):
        deliver().run()


def test_the_error_of_a_file_without_a_content_type_names_the_cause(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None]
) -> None:
    raw("", b"not found, sorry")
    with pytest.raises(KlapDownloadError, match=r"is not an MP4 video \(no content type\): it does not start"):
        deliver().run()


@pytest.mark.parametrize(
    "body", [gzip.compress(TINY), gzip.compress(TINY, mtime=0), TINY[:-1]], ids=["gzip", "no time", "cut"]
)
def test_a_compressed_video_is_refused(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None], tmp_path: Path, body: bytes
) -> None:
    raw(f"Content-Type: video/mp4\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n", body)
    with pytest.raises(KlapDownloadError, match="is not a") as failure:
        deliver().run()
    assert failure.value.transient
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("encoding", ["identity", "Identity ", "", "aws-chunked", "gzip"])
def test_a_complete_video_is_delivered_whatever_its_content_encoding(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None], encoding: str
) -> None:
    raw(f"Content-Encoding: {encoding}\r\nContent-Length: {len(TINY)}\r\n", TINY)
    assert deliver().run()["size"] == len(TINY)


def test_a_file_is_synced_before_its_rename_and_the_folder_after_it(
    deliver: Callable[..., Played], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, bool]] = []
    fsync = os.fsync

    def note(number: int) -> None:
        written.append((os.readlink(f"/proc/self/fd/{number}"), any(tmp_path.glob("*.mp4"))))
        fsync(number)

    monkeypatch.setattr(os, "fsync", note)
    deliver().run()
    (part, named), (folder, there) = written[:2]
    assert (part.endswith(".part"), named) == (True, False)
    assert (folder, there) == (str(tmp_path), True)


def test_a_file_appears_under_its_name_only_when_complete(
    deliver: Callable[..., Played], short: dict[str, str], moved: Callable[[str], None], elsewhere: str, tmp_path: Path
) -> None:
    moved(f"{elsewhere}/slow")
    name, sizes, over = f"short_{short['export_id']}.mp4", set(), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if (tmp_path / name).exists():
                sizes.add((tmp_path / name).stat().st_size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    deliver().run()
    time.sleep(0.1)
    over.set()
    watcher.join()
    assert sizes == {62}


def test_a_file_over_max_bytes_fails_without_retries(deliver: Callable[..., Played], tmp_path: Path) -> None:
    with pytest.raises(KlapDownloadError, match=r"limit is 1000.*max_bytes") as failure:
        deliver(max_bytes=1000).run()
    assert not failure.value.transient
    assert os.listdir(tmp_path) == []


def test_max_bytes_holds_for_a_file_without_a_content_length(
    deliver: Callable[..., Played], moved: Callable[[str], None], elsewhere: str, tmp_path: Path
) -> None:
    moved(f"{elsewhere}/endless")
    with pytest.raises(KlapDownloadError, match=r"limit is 5000.*max_bytes"):
        deliver(max_bytes=5000).run()
    assert os.listdir(tmp_path) == []
    assert deliver().run()["size"] == 32 + 100_000


def test_the_default_limits_of_a_download_are_5_gib_and_30_minutes(
    deliver: Callable[..., Played], raw: Callable[[str, bytes], None]
) -> None:
    raw(f"Content-Length: {5 * 1024**3 + 1}\r\n", TINY)
    with pytest.raises(KlapDownloadError, match=r"has at least 5368709121 bytes, but the limit is 5368709120\."):
        deliver().run()
    raw(f"Content-Length: {5 * 1024**3}\r\n", TINY)
    with pytest.raises(KlapDownloadError, match="was interrupted"):
        deliver().run()
    assert DeliverShortOperator(task_id="deliver", export_id="e", project_id="p").download_timeout == 1800


def test_a_download_fails_after_the_download_timeout(
    deliver: Callable[..., Played], moved: Callable[[str], None], elsewhere: str, tmp_path: Path
) -> None:
    moved(f"{elsewhere}/slow")
    with pytest.raises(KlapDownloadError, match=r"0\.3 s.*download_timeout") as failure:
        deliver(download_timeout=0.3).run()
    assert failure.value.transient
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "piece", "pause"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", b"x", 0.02, id="a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x", 0.02, id="the size of a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n", 0.0, id="trailers"),
    ],
)
def test_a_server_that_drips_headers_ends_at_the_download_timeout(
    deliver: Callable[..., Played],
    moved: Callable[[str], None],
    tmp_path: Path,
    start: bytes,
    piece: bytes,
    pause: float,
) -> None:
    with Endless(start, piece, pause) as server:
        moved(f"{server.url}/a.mp4?SECRET")
        with pytest.raises(KlapDownloadError, match=r"not complete after 0\.3 s.*download_timeout") as failure:
            deliver(download_timeout=0.3).run()
    assert failure.value.transient
    assert "SECRET" not in str(failure.value)
    assert os.listdir(tmp_path) == []


def test_a_silent_server_ends_at_the_read_timeout(
    klap: Sandbox, deliver: Callable[..., Played], connect: Callable[..., None], tmp_path: Path
) -> None:
    connect(klap.url, read_timeout=0.5)
    klap.fault("GET", RENDER, "delay", seconds=2)
    with pytest.raises(KlapDownloadError, match="was interrupted"):
        deliver().run()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_up_to_three_redirects_are_followed_without_the_key(
    deliver: Callable[..., Played],
    moved: Callable[[str], None],
    elsewhere: str,
    tmp_path: Path,
    hops: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    moved(f"{elsewhere}/hops/{hops}")
    assert deliver().run()["size"] == len(TINY)
    assert [path for path, _ in Elsewhere.seen] == [f"/hops/{left}" for left in range(hops, -1, -1)]
    assert not [headers for _, headers in Elsewhere.seen if "authorization" in headers or "x-on-behalf-of" in headers]
    assert {headers["accept-encoding"] for _, headers in Elsewhere.seen} == {"identity"}, "the hash is that of the file"


def test_a_redirect_of_klap_to_another_server_gets_no_key(
    klap: Sandbox, deliver: Callable[..., Played], elsewhere: str
) -> None:
    klap.fault("GET", RENDER, "redirect", location=f"{elsewhere}/hops/0")
    assert deliver().run()["size"] == len(TINY)
    ((_, headers),) = Elsewhere.seen
    assert "authorization" not in headers


def test_a_fourth_redirect_is_not_followed(
    deliver: Callable[..., Played], moved: Callable[[str], None], elsewhere: str, tmp_path: Path
) -> None:
    moved(f"{elsewhere}/hops/4")
    with pytest.raises(KlapDownloadError, match="More than 3 redirects") as failure:
        deliver().run()
    assert not failure.value.transient
    assert [path for path, _ in Elsewhere.seen] == [f"/hops/{left}" for left in (4, 3, 2, 1)]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("address", ["http://files.example.com/a.mp4?signature=s3cret", "ftp://127.0.0.1/a.mp4"])
@pytest.mark.parametrize("redirected", [False, True])
def test_an_address_without_https_is_not_fetched_or_logged(
    deliver: Callable[..., Played],
    moved: Callable[[str], None],
    elsewhere: str,
    tmp_path: Path,
    address: str,
    redirected: bool,
) -> None:
    moved(f"{elsewhere}/to?{address}" if redirected else address)
    with pytest.raises(KlapDownloadError, match="not an https address") as failure:
        deliver().run()
    assert not failure.value.transient
    assert "s3cret" not in str(failure.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "/etc/passwd", "gopher://127.0.0.1/"])
def test_an_address_that_is_not_https_is_refused(
    deliver: Callable[..., Played], moved: Callable[[str], None], tmp_path: Path, address: str
) -> None:
    moved(address)
    with pytest.raises(KlapDownloadError, match="not an https address"):
        deliver().run()
    assert os.listdir(tmp_path) == []


def test_an_unfinished_export_with_an_address_is_not_delivered(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path
) -> None:
    body = {"id": short["export_id"], "status": "processing", "src_url": short["src_url"]}
    klap.fault("GET", POLL, "status", code=200, body=body)
    with pytest.raises(KlapDownloadError, match="is 'processing'"):
        deliver().run()
    assert (downloads(klap), os.listdir(tmp_path)) == (0, [])


@pytest.mark.parametrize(("status", "transient"), [("processing", True), ("error", False), ("ready", True)])
def test_an_export_without_a_video_is_not_delivered(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str], tmp_path: Path, status: str, transient: bool
) -> None:
    body = {"id": short["export_id"], "status": status, "src_url": None}
    klap.fault("GET", POLL, "status", code=200, body=body)
    with pytest.raises(KlapDownloadError, match=f"{short['export_id']} is '{status}'.*ExportStatusSensor") as failure:
        deliver().run()
    assert failure.value.transient is transient
    assert downloads(klap) == 0
    assert os.listdir(tmp_path) == []


def test_a_missing_export_is_an_error(deliver: Callable[..., Played], tmp_path: Path) -> None:
    with pytest.raises(KlapNotFoundError):
        deliver(export_id="nosuchexport0000").run()
    assert os.listdir(tmp_path) == []


def test_a_large_file_is_delivered_with_little_memory(
    deliver: Callable[..., Played], moved: Callable[[str], None], elsewhere: str
) -> None:
    size = 300 * MEGABYTE
    moved(f"{elsewhere}/big/{size}")
    tracemalloc.start()
    result = deliver().run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    head, zeros = head_of_mp4(size), bytes(MEGABYTE)
    digest = hashlib.sha256(head)
    for _ in range(299):
        digest.update(zeros)
    digest.update(zeros[len(head) :])
    assert (result["size"], result["sha256"]) == (size, digest.hexdigest())
    assert peak < 32 * MEGABYTE


@contextmanager
def memory_storage() -> Iterator[fsspec.AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    try:
        yield memory
    finally:
        memory.rm("/bucket", recursive=True)


def test_a_short_is_delivered_to_object_storage(
    klap: Sandbox, deliver: Callable[..., Played], short: dict[str, str]
) -> None:
    with memory_storage() as memory:
        task = deliver(destination="memory://bucket/shorts", subfolder="task1")
        klap.fault("GET", RENDER, "truncate", bytes=1000)
        with pytest.raises(KlapDownloadError):
            task.run()
        assert memory.find("/bucket") == []
        first = task.run()
        file = f"/bucket/shorts/task1/short_{short['export_id']}.mp4"
        assert first["path"] == f"memory:/{file}"
        assert memory.find("/bucket") == [file.replace(".mp4", ".json"), file]
        assert memory.cat(file) == content(short)
        fetched = downloads(klap)
        assert task.run() == first
        assert forgotten(task).run() == {**first, "src_url": None}
        assert downloads(klap) == fetched


@pytest.mark.parametrize("destination", ["clips", "nope://bucket/clips"])
def test_an_invalid_destination_is_refused_before_any_request(
    klap: Sandbox, deliver: Callable[..., Played], destination: str
) -> None:
    before = len(klap.requests())
    task = deliver(destination=destination)
    with pytest.raises(KlapInputError, match=f"destination is '{destination}'"):
        task.run()
    assert task.xcom("klap_error")["type"] == "KlapInputError"
    assert len(klap.requests()) == before


def test_a_folder_that_cannot_be_created_fails_before_the_download(
    klap: Sandbox, deliver: Callable[..., Played], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    task = deliver(destination=str(tmp_path / "file"), subfolder="task1")
    with pytest.raises(KlapStorageError, match=r"destination: .*file") as failure:
        task.run()
    assert failure.value.transient, "the short is paid for, so a retry is worthwhile"
    assert str(tmp_path / "file") in task.xcom("klap_error")["error"]
    assert downloads(klap) == 0


def test_an_unreachable_klap_is_an_error(
    deliver: Callable[..., Played], connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    connect("http://127.0.0.1:9/v2")
    with pytest.raises(KlapConnectionError, match="cannot be reached"):
        deliver().run()
    assert os.listdir(tmp_path) == []


def test_the_path_of_a_delivery_is_in_the_ledger_without_secrets(
    supervisor: Supervisor, deliver: Callable[..., Played], short: dict[str, str]
) -> None:
    fields = {"source_video_url": "https://me:pass@example.com/talk.mp4?token=s3cret", "virality_score": 87}
    left = deliver(**fields).run()
    entry = delivered_entry(DAG_ID, RUN_ID, short["project_id"])
    row = json.loads(supervisor.ledger[entry])
    assert row.keys() == DeliveredRow.__required_keys__
    assert row["src_url"] == left["src_url"]
    assert [row[name] for name in ("path", "size", "sha256")] == [left[name] for name in ("path", "size", "sha256")]
    assert (row["score"], row["export_id"]) == (87, short["export_id"])
    assert "s3cret" not in str(row)
    assert "pass" not in row["video"]
    supervisor.ledger.clear()
    deliver(**fields).run()
    assert json.loads(supervisor.ledger[entry])["path"] == left["path"]


@pytest.mark.parametrize("broken", [comms.GetAssetStateStoreByName, comms.SetAssetStateStoreByName])
def test_a_ledger_that_fails_does_not_fail_a_delivery(
    supervisor: Supervisor,
    klap: Sandbox,
    deliver: Callable[..., Played],
    monkeypatch: pytest.MonkeyPatch,
    broken: type,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    supervisor.broken = (broken,)
    task = deliver()
    assert task.run()["src_url"]
    assert task.run()["size"] > 0
    assert downloads(klap) == 1


def test_the_address_of_the_wait_is_used(
    klap: Sandbox, short: dict[str, str], deliver: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.put_xcom("wait", short)
    before = len(klap.requests("GET", POLL))
    assert deliver(wait_task_id="wait").run()["src_url"] == short["src_url"]
    assert len(klap.requests("GET", POLL)) == before


@pytest.mark.parametrize(
    "address",
    [
        "/renders/gone.mp4",
        "/no-such-sample",
        "/_sandbox/ledger",
        "http://example.com/not-encrypted.mp4",
        "file:///etc/passwd",
    ],
)
def test_an_expired_address_of_the_wait_is_requested_again(
    klap: Sandbox, short: dict[str, str], deliver: Callable[..., Played], supervisor: Supervisor, address: str
) -> None:
    supervisor.put_xcom("wait", {**short, "src_url": urljoin(klap.root, address)})
    assert deliver(wait_task_id="wait").run()["src_url"] == short["src_url"]


def test_an_address_of_another_export_is_not_used(
    klap: Sandbox, short: dict[str, str], deliver: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.put_xcom("wait", {**short, "export_id": "another", "src_url": f"{klap.root}/renders/other.mp4"})
    assert deliver(wait_task_id="wait").run()["src_url"] == short["src_url"]
    assert klap.requests("GET", "/renders/other") == []


def test_a_failed_download_is_not_repeated_at_the_same_address(
    klap: Sandbox, short: dict[str, str], deliver: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.put_xcom("wait", short)
    klap.fault("GET", RENDER, "not_a_video", times=None)
    with pytest.raises(KlapDownloadError):
        deliver(wait_task_id="wait").run()
    assert downloads(klap) == 1


@pytest.mark.parametrize("left", [None, "s3://media/xcoms/videos/monday/wait/0f6d1c1e"], ids=["nothing", "a lost file"])
def test_missing_xcoms_of_earlier_tasks_are_requested_from_klap(
    supervisor: Supervisor, short: dict[str, str], deliver: Callable[..., Played], tmp_path: Path, left: str | None
) -> None:
    supervisor.put_xcom("wait", left)
    supervisor.put_xcom("list", left, FACTS_KEY)
    assert deliver(wait_task_id="wait", list_task_id="list").run()["src_url"] == short["src_url"]
    assert sidecar(tmp_path)["project_id"] == short["project_id"]


@pytest.mark.parametrize("refused", [".mp4", ".json"])
def test_a_refused_write_of_a_paid_short_is_retried(
    deliver: Callable[..., Played], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    writes: list[str] = []

    def opened(path: str, mode: str = "rb", **more: Any) -> Any:
        if "w" in mode:
            writes.append(path)
            if len(writes) == [".mp4", ".json"].index(refused) + 1:  # in this order
                raise PermissionError(path)
        return open_(path, mode, **more)

    with memory_storage():
        storage = ObjectStoragePath("memory://bucket").fs
        open_ = storage.open
        task = deliver(destination="memory://bucket")
        with monkeypatch.context() as patch:
            patch.setattr(storage, "open", opened)
            with pytest.raises(KlapStorageError, match=rf"destination: access to .*{refused} was refused") as failure:
                task.run()
        assert failure.value.transient
        assert task.run()["size"]
