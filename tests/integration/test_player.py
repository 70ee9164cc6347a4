"""A delivered short is played from the team's storage, for users who may read the XComs of its Dag."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.errors import KlapNotServedError
from klap_provider.files import served_files
from klap_provider.files.allowlist import is_served, served_address
from klap_provider.rules.ledger_keys import delivered_entry
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE
from tests.support.object_storage import ACCESS_KEY, SECRET_KEY, ObjectStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAG, RUN = "klap_generate_shorts", "manual__2026-11-24T10:00:00+00:00"
AT = "2026-11-24T10:05:00+00:00"
#: Begins like an MP4, and is longer than one read from the storage.
VIDEO = b"\0\0\0\x18ftypisom" + bytes(12) + bytes(range(256)) * (served_files.PART_SIZE // 256) + b"the end"
NAME = "092_東京で学んだ-こと_export1.mp4"
CAPTIONS = {"tiktok": "Watch this", "youtube": None}


@dataclass
class Served:
    """A server, its storage, and its folder."""

    server: ApiServer
    storage: ObjectStorage
    folder: Path

    def get(self, project_id: str, what: str = "video", *, run: str = f"{DAG}/runs/{RUN}", **more: Any) -> Any:
        """Request the video or another part of a short."""
        method, user = more.pop("method", "GET"), more.pop("user", USER)
        headers = {**(self.server.token(user) if user else {}), **more.pop("headers", {})}
        address = f"{self.server.url}/klap/api/dags/{run}/shorts/{project_id}/{what}"
        return requests.request(method, address, headers=headers, timeout=60, **more)


DELIVERY = {"task_id": "deliver", "map_index": 0}


def row(
    project_id: str, path: str, *, dag_id: str = DAG, run_id: str = RUN, by: dict[str, Any] | None = DELIVERY
) -> dict[str, Any]:
    value = {"project_id": project_id, "path": path, "sha256": hashlib.sha256(VIDEO).hexdigest(), "at": AT}
    writer = {"dag_id": dag_id, "run_id": run_id, **by} if by else {}
    return {"key": delivered_entry(dag_id, run_id, project_id), "value": value, **writer}


def run(dag_id: str) -> dict[str, Any]:
    """Return a run with two delivering tasks and another task."""
    deliveries = [{"operator": "DeliverShortOperator", "task_id": "deliver", "map_index": index} for index in (0, 1)]
    return {
        "dag_id": dag_id,
        "run_id": RUN,
        "at": AT,
        "tasks": [*deliveries, {"operator": "PythonOperator", "task_id": "other", "map_index": -1}],
    }


#: Paths that a hostile Dag may write into a row. The API server must not open them.
TRAPS = {
    "file-of-the-server": "file:///etc/hostname",
    "plain-path": "/etc/hostname",
    "another-word-for-file": "local:///etc/hostname",
    "capital-file": "FILE:///etc/hostname",
    "dots": "file://{folder}/../../../../../../etc/hostname",
    "encoded-dots": "file://{folder}/%2e%2e/secret.mp4",
    "sibling": "file://{folder}-private/{name}",
    "link": "file://{folder}/link.mp4",
    "link-in-between": "file://{folder}/linked/secret.mp4",
    "no-mp4": "file://{folder}/text.mp4",
    "another-ending": "file://{folder}/video.txt",
    "empty": "file://{folder}/empty.mp4",
    "folder": "file://{folder}/folder.mp4",
    "pipe": "file://{folder}/pipe.mp4",
    "other-connection": "s3://other@media/shorts/{name}",
    "no-connection": "s3://media/shorts/{name}",
    "other-bucket": "s3://media@private/shorts/{name}",
    "other-folder": "s3://media@media/private/{name}",
    "longer-folder": "s3://media@media/shorts-private/{name}",
    "dots-in-a-bucket": "s3://media@media/shorts/../private/{name}",
    "text-in-a-bucket": "s3://media@media/shorts/text.mp4",
    "the-web": "http://127.0.0.1:1/{name}",
    "the-web-in-https": "https://169.254.169.254/{name}",
    "through-a-cache": "simplecache::file://{folder}/{name}",
    "through-an-archive": "zip://etc/hostname::file://{folder}/{name}",
    "another-storage": "gs://media@media/shorts/{name}",
    "two-at-signs": "s3://other@media@media/shorts/{name}",
    "not-printable": "file://{folder}/\n{name}",
    "no-address": "{name}",
    "nothing": "",
}


def make_traps(folder: Path, storage: ObjectStorage) -> None:
    """Create the files that these paths lead to."""
    private = folder.with_name(f"{folder.name}-private")
    private.mkdir()
    for file in (private / NAME, private / "secret.mp4", folder.parent / "secret.mp4", folder / "video.txt"):
        file.write_bytes(VIDEO)
    (folder / "link.mp4").symlink_to(private / "secret.mp4")
    (folder / "linked").symlink_to(private)
    (folder / "text.mp4").write_text("root:x:0:0:root:/root:/bin/bash")
    (folder / "empty.mp4").touch()
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    for key, content in (
        (f"private/{NAME}", VIDEO),
        (f"shorts-private/{NAME}", VIDEO),
        ("shorts/text.mp4", b"aws_secret_access_key=secret"),
    ):
        storage.put(key, content)
    # The same rules hold for the sidecar of a video.
    sidecar = json.dumps({"sha256": hashlib.sha256(VIDEO).hexdigest(), "transcript": "secret"})
    for beside in (private / "secret.json", (private / NAME).with_suffix(".json")):
        beside.write_text(sidecar)
    (folder / "beside.mp4").write_bytes(VIDEO)
    (folder / "beside.json").symlink_to(private / "secret.json")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home, folder = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("shorts")
    (folder / NAME).write_bytes(VIDEO)
    sidecar = {"sha256": hashlib.sha256(VIDEO).hexdigest(), "publication_captions": CAPTIONS, "transcript": "Hello."}
    (folder / NAME).with_suffix(".json").write_text(json.dumps({**sidecar, "klap_task_id": "task1"}))
    with ObjectStorage(home) as storage:
        storage.reset()
        storage.put(f"shorts/{NAME}", VIDEO)
        connections = {"media": storage.connection, "other": storage.connection}
        allowed = {
            "AIRFLOW__KLAP__ALLOWED_DESTINATIONS": f"{folder}, s3://media@media/shorts, s3://nobody@media, /on/a"
        }
        make_traps(folder, storage)
        with ApiServer(home, connections=connections, path="/airflow", env=allowed) as server:
            server.seed(
                runs=[run(DAG), run(PRIVATE)],
                rows=[
                    row("local", f"file://{folder / NAME}"),
                    row("s3", f"s3://media@media/shorts/{NAME}"),
                    row("deleted", f"file://{folder / 'gone.mp4'}"),
                    row("deleted-s3", "s3://media@media/shorts/gone.mp4"),
                    row("elsewhere", "file:///on/a/worker/short.mp4"),
                    row("unknown", "s3://nobody@media/shorts/short.mp4"),
                    row("by-hand", f"file://{folder / NAME}", by=None),
                    row("by-another-task", f"file://{folder / NAME}", by={"task_id": "other", "map_index": -1}),
                    row("by-no-task", f"file://{folder / NAME}", by={"task_id": "deliver", "map_index": 2}),
                    row("by-the-second", f"file://{folder / NAME}", by={"task_id": "deliver", "map_index": 1}),
                    row("of-a-deleted-run", f"file://{folder / NAME}", run_id="deleted"),
                    {**row("another-short", ""), "value": row("local", f"file://{folder / NAME}")["value"]},
                    row("local", f"file://{folder / NAME}", dag_id=PRIVATE),
                    *(row(name, path.format(folder=folder, name=NAME)) for name, path in TRAPS.items()),
                    {**row("no-dict", ""), "value": "s3://media@media/shorts"},
                    {**row("no-path", ""), "value": {"sha256": "", "at": AT}},
                    {**row("no-text", ""), "value": {"path": ["/etc/hostname"], "at": AT}},
                ],
            )
            yield Served(server, storage, folder)


@pytest.fixture(params=["local", "s3"])
def kept(request: pytest.FixtureRequest) -> str:
    """The id of a short in each kind of storage."""
    return str(request.param)


def test_a_short_is_sent(served: Served, kept: str) -> None:
    answer = served.get(kept)
    assert answer.status_code == 200
    assert answer.content == VIDEO
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(VIDEO))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in answer.headers


def test_the_videos_of_a_run_are_one_zip_that_names_missing_ones(served: Served) -> None:
    address = f"{served.server.url}/klap/api/dags/{DAG}/runs/{RUN}/videos.zip"
    answer = requests.get(address, headers=served.server.token(USER), timeout=60)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="shorts.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        videos = [name for name in archive.namelist() if name != "missing.txt"]
        assert (len(videos), len(set(videos)), NAME in videos) == (3, 3, True)
        assert {archive.read(name) for name in videos} == {VIDEO}
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
        missing = archive.read("missing.txt").decode()
    assert "gone.mp4" in missing
    assert SECRET_KEY not in missing
    for dag_id, user, status in ((DAG, VIEWER, 403), (PRIVATE, USER, 403)):
        where = address.replace(DAG, dag_id)
        assert requests.get(where, headers=served.server.token(user), timeout=60).status_code == status
    assert requests.get(address, timeout=60).status_code == 401


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, len(VIDEO)),
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=-7", len(VIDEO) - 7, len(VIDEO)),
        (
            f"bytes={served_files.PART_SIZE - 1}-{served_files.PART_SIZE}",
            served_files.PART_SIZE - 1,
            served_files.PART_SIZE + 1,
        ),
        (f"bytes=10-{len(VIDEO) * 2}", 10, len(VIDEO)),
        (f"bytes=-{len(VIDEO) * 2}", 0, len(VIDEO)),
    ],
)
def test_a_range_is_sent(served: Served, kept: str, asked: str, start: int, end: int) -> None:
    answer = served.get(kept, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == VIDEO[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(VIDEO)}"
    assert answer.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={len(VIDEO)}-", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(served: Served, kept: str, asked: str) -> None:
    answer = served.get(kept, headers={"Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(VIDEO)}")


def test_head_returns_the_headers(served: Served, kept: str) -> None:
    answer = served.get(kept, method="HEAD")
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", str(len(VIDEO)))
    part = served.get(kept, method="HEAD", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.headers["Content-Length"]) == (206, "5")


def test_etags_answer_304_and_guard_ranges(served: Served, kept: str) -> None:
    tag = served.get(kept, method="HEAD").headers["ETag"]
    assert served.get(kept, headers={"If-None-Match": tag}).status_code == 304
    assert served.get(kept, headers={"If-None-Match": '"another"'}).status_code == 200
    assert served.get(kept, headers={"If-Range": tag, "Range": "bytes=0-3"}).status_code == 206
    assert served.get(kept, headers={"If-Range": '"another"', "Range": "bytes=0-3"}).status_code == 200


def test_the_sidecar_of_a_video_cannot_be_a_link_to_another_file(served: Served) -> None:
    served.server.seed(rows=[row("beside", f"file://{served.folder}/beside.mp4")])
    assert served.get("beside").status_code == 200
    answer = served.get("beside", "texts")
    assert (answer.status_code, "secret" in answer.json().get("transcript", "")) == (403, False)


def test_a_changed_file_has_another_etag(served: Served) -> None:
    before = served.get("local", method="HEAD").headers["ETag"]
    (served.folder / NAME).touch()
    assert served.get("local", method="HEAD").headers["ETag"] != before


def test_download_sends_the_file_under_its_name(served: Served, kept: str) -> None:
    disposition = served.get(kept, params={"download": 1}, method="HEAD").headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=")
    assert requests.utils.unquote(disposition.partition("filename*=utf-8''")[2]) == NAME
    assert served.get(kept, method="HEAD").headers["Content-Disposition"].startswith("inline;")


def test_only_the_texts_of_the_sidecar_are_sent(served: Served) -> None:
    answer = served.get("local", "texts")
    assert answer.json() == {"publication_captions": CAPTIONS, "transcript": "Hello."}
    assert served.get("s3", "texts").json() == {"publication_captions": None, "transcript": None}


@pytest.mark.parametrize("what", ["video", "texts"])
def test_a_request_is_401_without_login_and_403_without_permission(served: Served, what: str) -> None:
    assert served.get("local", what, user=None).status_code == 401
    assert served.get("local", what, user=VIEWER).status_code == 403
    assert served.get("local", what, run=f"{PRIVATE}/runs/{RUN}").status_code == 403
    assert served.get("local", what, run=f"{PRIVATE}/runs/{RUN}", user=ADMIN).status_code == 200


def test_the_cookie_of_the_ui_is_enough_for_a_video_element(served: Served) -> None:
    token = served.server.token(USER)["Authorization"].removeprefix("Bearer ")
    assert served.get("local", user=None, cookies={"_token": token}).status_code == 200


@pytest.mark.parametrize("project_id", ["deleted", "deleted-s3"])
def test_a_deleted_file_is_404_with_the_reason(served: Served, project_id: str) -> None:
    answer = served.get(project_id)
    assert answer.status_code == 404
    assert "was deleted or moved after its delivery" in answer.json()["detail"]


def test_a_folder_of_another_machine_is_reported(served: Served) -> None:
    answer = served.get("elsewhere")
    assert answer.status_code == 404
    assert "it is on the worker that delivered the file" in answer.json()["detail"]


def test_a_missing_connection_is_named_without_a_secret(served: Served) -> None:
    answer = served.get("unknown")
    assert answer.status_code == 502
    assert "'nobody'" in answer.json()["detail"]
    assert ACCESS_KEY not in answer.text
    assert SECRET_KEY not in answer.text


@pytest.mark.parametrize("name", [*TRAPS])
def test_a_row_of_a_hostile_dag_sends_no_file_outside_of_the_allowlist(served: Served, name: str) -> None:
    for what in ("video", "texts"):
        answer = served.get(name, what)
        if what == "texts" and answer.status_code == 200:  # traps in which only the video is not sent
            assert answer.json() == {"publication_captions": None, "transcript": None}
            continue
        assert answer.status_code in (403, 404), answer.text
        assert "secret" not in answer.text.replace("secret.mp4", "").replace("secret.json", "")
        if answer.status_code == 403:
            assert re.search("is not (allowed to send|an MP4 file)", answer.json()["detail"])


@pytest.mark.parametrize("name", ["no-dict", "no-path", "no-text"])
def test_a_malformed_row_sends_no_file(served: Served, name: str) -> None:
    assert served.get(name).status_code == served.get(name, "texts").status_code == 404


def test_a_server_without_allowed_destinations_sends_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__KLAP__ALLOWED_DESTINATIONS", raising=False)
    for address in ("file:///opt/airflow/klap_shorts/a.mp4", "s3://media@media/shorts/a.mp4"):
        assert not is_served(address)
        with pytest.raises(KlapNotServedError, match="An administrator of Airflow can add the destination to"):
            served_address(address)
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_DESTINATIONS", "https://, s3://media@")
    assert not is_served("https://169.254.169.254/latest")
    assert is_served("S3://media@any/a.mp4")
    assert served_address("S3://media@any//a.mp4") == "s3://media@any/a.mp4"


@pytest.mark.parametrize("name", ["by-hand", "by-another-task", "by-no-task", "another-short"])
def test_a_file_is_sent_only_if_the_delivering_task_wrote_its_row(served: Served, name: str) -> None:
    assert served.get("by-the-second").status_code == 200
    for what in ("video", "texts"):
        assert served.get(name, what).status_code == 404


def test_deliveries_of_a_deleted_run_are_sent(served: Served) -> None:
    assert served.get("of-a-deleted-run", run=f"{DAG}/runs/deleted").status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        f"dags/{DAG}/runs/another/shorts/local/video",
        f"dags/{DAG}/runs/{RUN}/shorts/none/video",
        f"dags/~/runs/{RUN}/shorts/local/video",
        f"dags/{DAG}/runs/{RUN}/shorts/..%2f..%2fetc%2fpasswd/video",
    ],
)
def test_a_short_that_was_not_delivered_is_404(served: Served, address: str) -> None:
    answer = requests.get(f"{served.server.url}/klap/api/{address}", headers=served.server.token(ADMIN), timeout=30)
    assert answer.status_code == 404


def test_no_page_reveals_anything_without_a_login(served: Served) -> None:
    for page in ("docs", "redoc", "openapi.json", "api", "api/docs"):
        assert requests.get(f"{served.server.url}/klap/{page}", timeout=30).status_code == 404
