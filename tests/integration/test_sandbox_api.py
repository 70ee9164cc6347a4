"""The sandbox keeps the contract of Klap's API."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server


def make_shorts(sandbox: Sandbox, **asked: Any) -> tuple[str, list[dict[str, Any]]]:
    body = {"source_video_url": "https://example.com/talk.mp4", **asked}
    task = sandbox.call("POST", "/tasks/video-to-shorts", json=body).json()
    folder = sandbox.outcome(f"/tasks/{task['id']}")["output_id"]
    return folder, sandbox.call("GET", f"/projects/{folder}").json()


def refused_fields(answer: requests.Response) -> list[str]:
    assert answer.status_code == 422
    assert answer.json()["message"] == "unprocessable-entity"
    fields = [".".join(map(str, error["loc"][1:])) for error in answer.json()["detail"]]
    code = "invalid_url" if fields == ["source_video_url"] else "invalid_request"
    assert answer.json()["error_code"] == code
    return fields


def test_a_video_becomes_a_folder_of_shorts_and_a_short_becomes_a_file(sandbox: Sandbox) -> None:
    task = sandbox.call(
        "POST", "/tasks/video-to-shorts", json={"source_video_url": "https://example.com/talk.mp4"}
    ).json()
    assert re.fullmatch(r"[A-Za-z0-9]{16}", task["id"])
    assert (task["type"], task["status"]) == ("video-to-shorts", "processing")
    assert task["output_type"] == "folder"

    folder = sandbox.outcome(f"/tasks/{task['id']}")["output_id"]
    assert re.fullmatch(r"[A-Za-z0-9]{8}", folder)

    shorts = sandbox.call("GET", f"/projects/{folder}").json()
    short = shorts[0]
    assert re.fullmatch(r"[A-Za-z0-9]{12}", short["id"])
    assert short["folder_id"] == folder
    assert isinstance(short["virality_score"], int)
    assert 0 <= short["virality_score"] <= 100
    assert all(short[field] for field in ("name", "virality_score_explanation", "transcript_text", "duration"))
    assert set(short["publication_captions"]) == {"tiktok", "youtube", "linkedin", "instagram"}
    assert sandbox.call("GET", f"/projects/{folder}/{short['id']}").json() == short

    export = sandbox.call("POST", f"/projects/{folder}/{short['id']}/exports", json={}).json()
    assert re.fullmatch(r"[A-Za-z0-9]{16}", export["id"])
    assert (export["status"], export["src_url"], export["finished_at"]) == ("processing", None, None)

    export = sandbox.outcome(f"/projects/{folder}/{short['id']}/exports/{export['id']}")
    assert (export["status"], export["name"]) == ("ready", short["name"])
    assert (export["project_id"], export["folder_id"]) == (short["id"], folder)
    assert re.fullmatch(re.escape(sandbox.root) + r"/renders/[A-Za-z0-9]{16}\.mp4", export["src_url"])


def test_a_video_to_video_task_becomes_one_project_without_a_folder(sandbox: Sandbox) -> None:
    body = {"source_video_url": sandbox.sample, "name": "The whole talk"}
    task = sandbox.call("POST", "/tasks/video-to-video", json=body).json()
    assert (task["type"], task["output_type"]) == ("video-to-video", "project")

    project_id = sandbox.outcome(f"/tasks/{task['id']}")["output_id"]
    project = sandbox.call("GET", f"/projects/{project_id}").json()
    assert (project["id"], project["folder_id"]) == (project_id, None)
    assert (project["name"], project["duration"]) == ("The whole talk", 80)
    assert (project["virality_score"], project["virality_score_explanation"]) == (None, None)

    export = sandbox.call("POST", f"/projects/{project_id}/exports").json()
    export = sandbox.outcome(f"/projects/{project_id}/exports/{export['id']}")
    assert (export["status"], export["folder_id"]) == ("ready", None)


def test_the_list_of_shorts_is_not_sorted_by_score(sandbox: Sandbox) -> None:
    for count in range(2, 8):
        _, shorts = make_shorts(sandbox, target_clip_count=count)
        scores = [short["virality_score"] for short in shorts]
        assert len(scores) == count
        assert scores != sorted(scores, reverse=True)


def test_the_same_request_gives_the_same_shorts_under_new_ids(sandbox: Sandbox) -> None:
    (first_folder, first), (second_folder, second) = make_shorts(sandbox), make_shorts(sandbox)
    assert first_folder != second_folder
    assert [short["name"] for short in first] == [short["name"] for short in second]
    assert [short["virality_score"] for short in first] == [short["virality_score"] for short in second]
    assert not {short["id"] for short in first} & {short["id"] for short in second}


@pytest.mark.parametrize(
    ("asked", "count", "shortest", "longest"),
    [
        ({"max_clip_count": 3}, 3, 1, 60),
        ({"target_clip_count": 2, "max_clip_count": 5}, 2, 1, 60),
        ({"max_duration": 30, "target_clip_count": 4}, 4, 1, 30),
        ({"min_duration": 100, "target_duration": 60}, 6, 100, 180),
        ({"min_duration": 20, "max_duration": 20}, 10, 20, 20),
    ],
)
def test_shorts_have_the_requested_number_and_length(
    sandbox: Sandbox, asked: dict[str, int], count: int, shortest: int, longest: int
) -> None:
    _, shorts = make_shorts(sandbox, **asked)
    assert len(shorts) == count
    assert all(shortest <= short["duration"] <= longest for short in shorts)


def test_a_source_too_short_for_one_clip_yields_an_empty_list(sandbox: Sandbox) -> None:
    _, shorts = make_shorts(sandbox, source_video_url=sandbox.sample, min_duration=81)
    assert shorts == []


def test_jobs_have_the_configured_duration(sandbox: Sandbox) -> None:
    sandbox.reset(task_seconds=0.5)
    before = time.monotonic()
    _, shorts = make_shorts(sandbox)
    assert shorts
    assert time.monotonic() - before >= 0.5


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"watermark": null}'])
def test_an_export_may_come_without_settings(sandbox: Sandbox, body: bytes | None) -> None:
    folder, shorts = make_shorts(sandbox)
    path = f"/projects/{folder}/{shorts[0]['id']}/exports"
    assert sandbox.call("POST", path, data=body, headers={"Content-Type": "application/json"}).ok


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"watermark": True}, "watermark"),
        ({"watermark": {"pos_x": 0.5}}, "watermark.src_url"),
        ({"watermark": {"src_url": "ftp://example.com/logo.png"}}, "watermark.src_url"),
        ({"watermark": {"src_url": "https://example.com/logo.png", "pos_x": 1.1}}, "watermark.pos_x"),
        ({"watermark": {"src_url": "https://example.com/logo.png", "pos_y": -0.1}}, "watermark.pos_y"),
        ({"watermark": {"src_url": "https://example.com/logo.png", "scale": 0}}, "watermark.scale"),
        ({"quality": "best"}, "quality"),
    ],
)
def test_an_invalid_export_is_refused_by_field(sandbox: Sandbox, body: dict[str, Any], field: str) -> None:
    folder, shorts = make_shorts(sandbox)
    answer = sandbox.call("POST", f"/projects/{folder}/{shorts[0]['id']}/exports", json=body)
    assert refused_fields(answer) == [field]
    assert sandbox.ledger("export") == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"source_video_url": None}, "source_video_url"),
        ({"source_video_url": "s3://bucket/talk.mp4"}, "source_video_url"),
        ({"source_video_url": "https://"}, "source_video_url"),
        ({"source_video_url": "https://example.com:99999/talk.mp4"}, "source_video_url"),
        ({"dimension": {"width": 1080, "height": 1080}}, "dimension"),
        ({"dimensions": {"width": 1081, "height": 1920}}, "dimensions.width"),
        ({"dimensions": {"width": 1080, "height": 0}}, "dimensions.height"),
        ({"min_duration": 0}, "min_duration"),
        ({"min_duration": 121}, "min_duration"),
        ({"max_duration": 181}, "max_duration"),
        ({"min_duration": 30, "max_duration": 29}, "max_duration"),
        ({"target_duration": 121}, "target_duration"),
        ({"max_clip_count": "5"}, "max_clip_count"),
        ({"target_clip_count": 0}, "target_clip_count"),
        ({"transcription_context": "x" * 1001}, "transcription_context"),
        ({"editing_options": {"captions": "yes"}}, "editing_options.captions"),
        ({"editing_options": {"caption": True}}, "editing_options.caption"),
    ],
)
def test_an_invalid_task_is_refused_by_field(sandbox: Sandbox, asked: dict[str, Any], field: str) -> None:
    body = {"source_video_url": "https://example.com/talk.mp4", **asked}
    assert refused_fields(sandbox.call("POST", "/tasks/video-to-shorts", json=body)) == [field]
    assert sandbox.ledger() == []


def test_video_to_video_has_no_counts_and_durations(sandbox: Sandbox) -> None:
    body = {"source_video_url": "https://example.com/talk.mp4", "max_clip_count": 3}
    assert refused_fields(sandbox.call("POST", "/tasks/video-to-video", json=body)) == ["max_clip_count"]


def test_a_task_without_a_body_or_with_broken_json_is_refused(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/tasks/video-to-shorts").status_code == 422
    broken = sandbox.call("POST", "/tasks/video-to-shorts", data=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 422


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic a2V5"])
def test_a_request_without_a_key_is_refused(sandbox: Sandbox, authorization: str | None) -> None:
    for method, path in (("GET", "/exports"), ("GET", "/tasks/x"), ("POST", "/users")):
        answer = sandbox.call(method, path, headers={"Authorization": authorization})
        assert answer.status_code == 401
        assert answer.json()["error_code"] == "unauthorized"


def test_unknown_ids_are_not_found(sandbox: Sandbox) -> None:
    folder, shorts = make_shorts(sandbox)
    other_folder, other_shorts = make_shorts(sandbox)
    short, other = shorts[0]["id"], other_shorts[0]["id"]
    export = sandbox.call("POST", f"/projects/{folder}/{short}/exports").json()["id"]
    for method, path in (
        ("GET", "/tasks/nosuchtask"),
        ("GET", "/projects/nosuchid"),
        ("GET", f"/projects/{folder}/nosuchid"),
        ("GET", f"/projects/{other_folder}/{short}"),
        ("POST", f"/projects/{folder}/nosuchid/exports"),
        ("GET", f"/projects/{folder}/{short}/exports/nosuchid"),
        ("GET", f"/projects/{other_folder}/{other}/exports/{export}"),
        ("POST", "/users/nosuchuser/tokens"),
        ("GET", "/nosuchpath"),
    ):
        answer = sandbox.call(method, path)
        assert answer.status_code == 404, path
        assert answer.json()["error_code"] == "not_found"
        assert answer.json()["message"]


def test_exports_are_listed_by_folder_and_by_project(sandbox: Sandbox) -> None:
    folder, shorts = make_shorts(sandbox)
    other_folder, other_shorts = make_shorts(sandbox)
    places = [(folder, shorts[0]), (folder, shorts[1]), (other_folder, other_shorts[0])]
    ids = [sandbox.call("POST", f"/projects/{f}/{short['id']}/exports").json()["id"] for f, short in places]

    def listed(query: str = "") -> list[str]:
        return [export["id"] for export in sandbox.call("GET", f"/exports{query}").json()]

    assert listed() == ids
    assert listed(f"?folder_id={folder}") == ids[:2]
    assert listed(f"?project_id={other_shorts[0]['id']}") == ids[2:]
    assert listed(f"?folder_id={folder}&project_id={shorts[1]['id']}") == ids[1:2]
    assert listed("?folder_id=nosuchid") == []


def test_jobs_of_a_managed_user_belong_to_that_user(sandbox: Sandbox) -> None:
    sandbox.reset(user_header="required")
    user = sandbox.call("POST", "/users", json={}).json()
    assert user["email"]
    assert user["organizationId"]
    assert user["isGuest"] is True
    other = {"X-On-Behalf-Of": sandbox.user()}
    token = sandbox.call("POST", f"/users/{user['id']}/tokens", json={}).json()
    assert token["external_access_token"]

    headers = {"X-On-Behalf-Of": user["id"]}
    body = {"source_video_url": sandbox.sample}
    task = sandbox.call("POST", "/tasks/video-to-video", json=body, headers=headers).json()
    project = sandbox.outcome(f"/tasks/{task['id']}", headers=headers)["output_id"]
    assert sandbox.call("GET", f"/projects/{project}", headers=headers).json()["author_id"] == user["id"]
    export = sandbox.call("POST", f"/projects/{project}/exports", headers=headers).json()
    for path in (f"/tasks/{task['id']}", f"/projects/{project}", f"/projects/{project}/exports/{export['id']}"):
        answers = [sandbox.call("GET", path, headers=of).status_code for of in (headers, {}, other)]
        assert answers == [200, 404, 404], path

    assert sandbox.call("GET", "/exports").json() == []
    assert [e["id"] for e in sandbox.call("GET", "/exports", headers=headers).json()] == [export["id"]]
    assert export["author_id"] == user["id"]
    assert {entry["on_behalf_of"] for entry in sandbox.ledger()} == {user["id"]}
    assert sandbox.requests("POST", "^/tasks/")[0]["on_behalf_of"] == user["id"]


def test_the_ledger_has_exactly_the_paid_posts(sandbox: Sandbox) -> None:
    before = time.time()
    folder, shorts = make_shorts(sandbox, max_clip_count=1)
    short = shorts[0]["id"]
    for _ in range(2):
        sandbox.call("POST", f"/projects/{folder}/{short}/exports", json={})

    task, *exports = sandbox.ledger()
    assert task["kind"] == "task"
    assert task["body"] == {"source_video_url": "https://example.com/talk.mp4", "max_clip_count": 1}
    assert before <= task["at"] <= time.time()
    assert [(e["kind"], e["folder_id"], e["project_id"]) for e in exports] == [("export", folder, short)] * 2
    assert len({e["id"] for e in exports}) == 2


def test_the_request_log_has_every_request_with_its_response(sandbox: Sandbox) -> None:
    before = time.monotonic()
    sandbox.call("GET", "/exports?folder_id=abc")
    took = time.monotonic() - before
    sandbox.call("GET", "/tasks/nosuchtask")
    listed, missing = sandbox.requests()
    assert (listed["method"], listed["path"], listed["query"]) == ("GET", "/exports", "folder_id=abc")
    assert listed["status"] == 200
    assert 0 <= listed["seconds"] <= took
    assert missing["status"] == 404


def test_reset_forgets_everything(sandbox: Sandbox) -> None:
    folder, _ = make_shorts(sandbox)
    sandbox.fault("GET", "^/exports", "status", times=None, code=500)
    sandbox.reset()
    assert sandbox.ledger() == sandbox.requests() == []
    assert sandbox.call("GET", f"/projects/{folder}").status_code == 404
    assert sandbox.call("GET", "/exports").json() == []


def test_the_player_shows_a_short_and_its_newest_export(sandbox: Sandbox) -> None:
    folder, shorts = make_shorts(sandbox, target_clip_count=14, max_clip_count=14)
    awkward = next(short for short in shorts if "<pick two>" in short["name"])
    player = f"{sandbox.root}/player/{awkward['id']}"

    page = requests.get(player, timeout=30).text
    assert "Fast, cheap &amp; good &lt;pick two&gt;" in page
    assert "no source video to play" in page, "this sandbox fetches nothing"
    assert requests.get(f"{sandbox.root}/sources/{awkward['id']}", timeout=30).status_code == 404

    export = sandbox.call("POST", f"/projects/{folder}/{awkward['id']}/exports").json()
    export = sandbox.outcome(f"/projects/{folder}/{awkward['id']}/exports/{export['id']}")
    page = requests.get(player, timeout=30).text
    assert f'<video src="{export["src_url"].removeprefix(sandbox.root)}"' in page
    assert requests.get(f"{sandbox.root}/embed/{awkward['id']}", timeout=30).text == page
    assert requests.get(f"{sandbox.root}/player/nosuchid", timeout=30).status_code == 404


def test_the_player_plays_the_source_before_the_first_export(sandbox: Sandbox) -> None:
    _, shorts = make_shorts(sandbox, source_video_url=f"{sandbox.sample}?signature=secret")
    for short in shorts:
        page = requests.get(f"{sandbox.root}/embed/{short['id']}", timeout=30).text
        assert "secret" not in page
        found = re.search(r'<video src="(/sources/\w+)#t=([\d.]+),([\d.]+)"', page)
        assert found
        start, end = float(found[2]), float(found[3])
        assert end - start == pytest.approx(short["duration"], abs=0.02)
        assert 0 <= start < end <= 80
        part = requests.get(f"{sandbox.root}{found[1]}", headers={"Range": "bytes=0-99"}, timeout=30)
        assert (part.status_code, len(part.content), part.headers["content-type"]) == (206, 100, "video/mp4")


def test_a_folder_has_a_page_with_an_anchor_for_each_of_its_shorts(sandbox: Sandbox) -> None:
    folder, shorts = make_shorts(sandbox)
    page = requests.get(f"{sandbox.root}/spaces/{folder}", timeout=30).text
    assert re.findall(r'<dt id="([^"]*)"', page) == [
        short["id"] for short in sorted(shorts, key=lambda short: -short["virality_score"])
    ]
    assert requests.get(f"{sandbox.root}/spaces/nosuchid", timeout=30).status_code == 404


def test_the_index_describes_the_sandbox(sandbox: Sandbox) -> None:
    page = requests.get(f"{sandbox.root}/", timeout=30).text
    assert sandbox.url in page
    assert sandbox.sample in page
    for link in re.findall(r'href="(/[^"]*)"', page):
        if link != "/sample.mp4":
            assert requests.get(sandbox.root + link, timeout=30).ok, link
