"""Where Klap's behavior is unknown, the sandbox supports each variant, and the client works with each."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import pytest
import requests

from klap_provider.api import calls
from klap_provider.api.requests import ExportRequest, ShortsRequest
from klap_provider.errors import KlapInvalidResponseError, KlapNotFoundError
from klap_provider.hooks import KlapHook
from klap_provider.rules.retry import ONCE
from klap_provider.rules.selection import virality_percentages
from klap_sandbox.__main__ import main
from klap_sandbox.faults import AnyFault, Fault
from klap_sandbox.settings import Settings
from tests.support.sandbox import REPOSITORY, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TALK = "https://example.com/talk.mp4"
PAGE = REPOSITORY / "docs" / "reference" / "sandbox.md"
WAYS = [
    (name, value)
    for name, setting in Settings.model_fields.items()
    for value in ((False, True) if isinstance(setting.default, bool) else get_args(setting.annotation))
    if isinstance(setting.default, bool) or get_origin(setting.annotation) is Literal
]


@pytest.fixture
def sandbox(lenient_sandbox: Sandbox) -> Sandbox:
    return lenient_sandbox


def post_task(sandbox: Sandbox, kind: str = "shorts", **more: Any) -> requests.Response:
    return sandbox.call("POST", f"/tasks/video-to-{kind}", json={"source_video_url": TALK}, **more)


def folder_of(sandbox: Sandbox, **more: Any) -> str:
    return str(sandbox.outcome(f"/tasks/{post_task(sandbox, **more).json()['id']}", **more)["output_id"])


@pytest.mark.parametrize(("name", "value"), WAYS, ids=[f"{name}={value}" for name, value in WAYS])
def test_our_client_works_with_every_sandbox_setting(
    sandbox: Sandbox, connect: Callable[..., None], name: str, value: Any
) -> None:
    sandbox.reset(**{name: value})
    connect(sandbox.url, on_behalf_of=sandbox.user())
    hook = KlapHook()
    task = hook.call(calls.submit_shorts(ShortsRequest(source_video_url=TALK, max_clip_count=3)))
    folder = sandbox.outcome(f"/tasks/{task.id}", headers={"X-On-Behalf-Of": hook.connection.on_behalf_of})
    task = hook.call(calls.get_task(task.id))
    assert (task.status, task.output) == ("ready", folder["output_id"])
    assert task.created_at is not None

    projects = hook.call(calls.list_projects(str(task.output)))
    scores = virality_percentages(projects)
    known = name != "scores" or value in ("percent", "fraction")
    assert all(30 <= score <= 100 if known and score is not None else score is None for score in scores)

    short = hook.call(calls.get_project(projects[0].id, folder_id=task.output))
    export = hook.call(calls.create_export(ExportRequest(), project_id=short.id, folder_id=task.output))
    listed = hook.call(calls.list_exports(project_id=short.id))
    assert [each.id for each in listed] == [export.id]
    assert listed[0].created_at is not None
    time.sleep(0.02)  # until the export is ready
    done = hook.call(calls.get_export(export.id, project_id=short.id, folder_id=task.output))
    assert requests.get(str(done.src_url), timeout=30).content[4:8] == b"ftyp"

    sandbox.fault("GET", "^/tasks/", "job_error", error_code="no_speech", message="Nobody speaks.")
    failed = hook.call(calls.get_task(hook.call(calls.submit_shorts(ShortsRequest(source_video_url=TALK))).id))
    wordless = (name, value) == ("errors", "none")
    assert failed.failure == "Klap gave no reason" if wordless else "Nobody speaks." in failed.failure
    # A 404 without a body may come from a proxy, so it is a transient error.
    kind, words = (
        (KlapInvalidResponseError, "an empty body") if wordless else (KlapNotFoundError, "There is no task nosuchtask")
    )
    with pytest.raises(kind, match=words):
        hook.call(calls.get_task("nosuchtask"), backoff=ONCE)


def test_an_output_id_is_there_at_once_or_when_the_task_is_ready(sandbox: Sandbox) -> None:
    for kind in ("shorts", "video"):
        sandbox.reset(task_seconds=0.5)
        at_once = post_task(sandbox, kind).json()
        early = sandbox.call("GET", f"/projects/{at_once['output_id']}")
        assert (early.status_code, early.json()) == (200, []) if kind == "shorts" else early.status_code == 404
        assert sandbox.outcome(f"/tasks/{at_once['id']}")["output_id"] == at_once["output_id"]
        assert sandbox.call("GET", f"/projects/{at_once['output_id']}").json()

        sandbox.reset(task_seconds=0.5, output_id="when_ready")
        later = post_task(sandbox, kind).json()
        assert later["output_id"] is None
        assert sandbox.outcome(f"/tasks/{later['id']}")["output_id"]


def test_the_list_of_shorts_may_be_late_and_empty_or_late_and_missing(sandbox: Sandbox) -> None:
    for early, code in (("empty", 200), ("missing", 404)):
        sandbox.reset(list_seconds=0.5, early_list=early)
        folder, ready = folder_of(sandbox), time.monotonic()
        answer = sandbox.call("GET", f"/projects/{folder}")
        assert (answer.status_code, answer.json() == []) == (code, early == "empty")
        while (
            not sandbox.call("GET", f"/projects/{folder}").json() or not sandbox.call("GET", f"/projects/{folder}").ok
        ):
            time.sleep(0.05)
        assert time.monotonic() > ready + 0.3


def test_the_list_of_shorts_may_fill_gradually(sandbox: Sandbox) -> None:
    sandbox.reset(fill_seconds=1)
    folder, seen = folder_of(sandbox), []
    deadline = time.monotonic() + 10
    while not seen or seen[-1] < 10:
        assert time.monotonic() < deadline
        seen.append(len(sandbox.call("GET", f"/projects/{folder}").json()))
        time.sleep(0.1)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


def test_a_project_has_its_details_or_not(sandbox: Sandbox) -> None:
    there = sandbox.call("GET", f"/projects/{folder_of(sandbox)}").json()
    sandbox.reset(project_details="absent")
    absent = sandbox.call("GET", f"/projects/{folder_of(sandbox)}").json()
    assert there[0].keys() - absent[0].keys() == {"publication_captions", "transcript_text", "duration"}


def test_user_header_is_required_on_posts_only_or_on_every_call(sandbox: Sandbox) -> None:
    for needed, code in (("optional", 200), ("required", 404)):
        sandbox.reset(user_header=needed)
        theirs = {"X-On-Behalf-Of": sandbox.user()}
        another = {"X-On-Behalf-Of": sandbox.user()}
        task = post_task(sandbox, headers=theirs).json()
        folder = sandbox.outcome(f"/tasks/{task['id']}", headers=theirs)["output_id"]
        [short, *_] = sandbox.call("GET", f"/projects/{folder}", headers=theirs).json()
        path = f"/projects/{folder}/{short['id']}/exports"
        export = sandbox.call("POST", path, headers=theirs).json()
        assert export["author_id"] == theirs["X-On-Behalf-Of"]
        for read in (f"/tasks/{task['id']}", f"/projects/{folder}", f"{path}/{export['id']}"):
            codes = [sandbox.call("GET", read, headers=of).status_code for of in (theirs, {}, another)]
            assert codes == [200, code, 404], read
        assert len(sandbox.call("GET", "/exports").json()) == (1 if needed == "optional" else 0)


def test_an_unknown_user_id_is_refused(sandbox: Sandbox) -> None:
    answer = post_task(sandbox, headers={"X-On-Behalf-Of": "8c1f0f5e-0000-4000-8000-000000000000"})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "forbidden")
    assert post_task(sandbox, headers={"X-On-Behalf-Of": ""}).ok
    assert len(sandbox.ledger()) == 1


def test_the_direct_path_finds_all_projects_or_only_whole_videos(sandbox: Sandbox) -> None:
    folder = folder_of(sandbox)
    [short, *_] = sandbox.call("GET", f"/projects/{folder}").json()
    direct = sandbox.call("GET", f"/projects/{short['id']}").json()
    assert direct == {**short, "folder_id": None}
    export = sandbox.call("POST", f"/projects/{short['id']}/exports").json()
    assert export["folder_id"] is None
    assert sandbox.call("GET", f"/projects/{short['id']}/exports/{export['id']}").ok

    requests.post(f"{sandbox.root}/_sandbox/settings", json={"direct_path": "whole_videos"}, timeout=30)
    assert sandbox.call("GET", f"/projects/{short['id']}").status_code == 404
    assert sandbox.call("POST", f"/projects/{short['id']}/exports").status_code == 404
    assert sandbox.call("GET", f"/projects/{folder}/{short['id']}").json() == short


def test_a_video_that_is_too_long_is_refused_or_ends_in_error(sandbox: Sandbox) -> None:
    sandbox.reset(max_source_seconds=599)
    refused = post_task(sandbox)
    assert refused.status_code == 422
    assert refused.json() == {"message": "unprocessable-entity", "error_code": "video_too_long"}
    assert sandbox.ledger() == []

    sandbox.reset(max_source_seconds=599, too_long="error")
    task = sandbox.outcome(f"/tasks/{post_task(sandbox).json()['id']}")
    assert (task["status"], task["error_code"]) == ("error", "video_too_long")


def test_times_come_in_both_forms(sandbox: Sandbox) -> None:
    for form, pattern in (("offset", r"\.\d{6}\+00:00"), ("z", "Z")):
        sandbox.reset(timestamps=form)
        before = time.time()
        created_at = post_task(sandbox).json()["created_at"]
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d{pattern}", created_at)
        created = datetime.fromisoformat(created_at.replace("Z", "+00:00")).timestamp()
        assert int(before) <= created <= time.time()


def test_scores_come_in_all_forms(sandbox: Sandbox) -> None:
    seen = {}
    for form in ("percent", "fraction", "null", "absent"):
        sandbox.reset(scores=form)
        seen[form] = [
            p.get("virality_score", "absent") for p in sandbox.call("GET", f"/projects/{folder_of(sandbox)}").json()
        ]
    assert seen["fraction"] == [score / 100 for score in seen["percent"]]
    assert (set(seen["null"]), set(seen["absent"])) == ({None}, {"absent"})


def test_a_post_is_answered_with_200_or_201(sandbox: Sandbox) -> None:
    assert post_task(sandbox).status_code == 200
    sandbox.reset(created_code=201)
    assert post_task(sandbox).status_code == sandbox.call("POST", "/users").status_code == 201
    assert sandbox.call("GET", "/exports").status_code == 200


def test_errors_have_the_configured_form(sandbox: Sandbox) -> None:
    for words in ("error", "detail"):
        sandbox.reset(errors=words)
        assert "no task x here" in sandbox.call("GET", "/tasks/x").json()[words]
        assert sandbox.call("POST", "/tasks/video-to-video").json()[words] == "unprocessable-entity"
    sandbox.reset(errors="none")
    assert sandbox.call("GET", "/tasks/x").content == b""


def test_the_credits_of_a_key_run_out(sandbox: Sandbox) -> None:
    sandbox.reset(credits=2)
    project = sandbox.outcome(f"/tasks/{post_task(sandbox, 'video').json()['id']}")["output_id"]
    assert sandbox.call("POST", "/tasks/video-to-video", json={}).status_code == 422, "costs nothing"
    assert sandbox.call("POST", f"/projects/{project}/exports").ok
    for refused in (post_task(sandbox), sandbox.call("POST", f"/projects/{project}/exports")):
        assert (refused.status_code, refused.json()["error_code"]) == (402, "insufficient_credits")
    assert len(sandbox.ledger()) == 2
    assert sandbox.call("GET", "/exports").ok
    assert post_task(sandbox, headers={"Authorization": "Bearer kak_other"}).ok
    sandbox.set(credits=3)
    assert post_task(sandbox).ok


def test_the_rate_limit_holds_per_key_until_retry_after(sandbox: Sandbox) -> None:
    sandbox.reset(rate_limit=2)
    before = time.monotonic()
    answers = [sandbox.call("GET", "/exports") for _ in range(3)]
    assert time.monotonic() - before < 1, "too slow for this test"
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2].headers["Retry-After"], answers[2].json()["error_code"]) == ("1", "rate_limited")
    assert sandbox.call("GET", "/exports", headers={"Authorization": "Bearer kak_other"}).ok
    assert sandbox.call("GET", "/exports", headers={"Authorization": ""}).status_code == 401
    time.sleep(int(answers[2].headers["Retry-After"]))
    assert sandbox.call("GET", "/exports").ok


def test_the_player_can_be_switched_off(sandbox: Sandbox) -> None:
    [short, *_] = sandbox.call("GET", f"/projects/{folder_of(sandbox)}").json()
    for player, code in (("open", 200), ("login", 200), ("missing", 404)):
        requests.post(f"{sandbox.root}/_sandbox/settings", json={"player": player}, timeout=30)
        page = requests.get(f"{sandbox.root}/player/{short['id']}", timeout=30)
        assert page.status_code == code
        assert ("Log in" in page.text) == (player == "login")
        assert requests.get(f"{sandbox.root}/embed/{short['id']}", timeout=30).ok


def test_settings_are_shown_changed_and_reset(sandbox: Sandbox) -> None:
    settings = f"{sandbox.root}/_sandbox/settings"
    start = requests.get(settings, timeout=30).json()
    assert start == {**Settings().model_dump(), "task_seconds": 0, "export_seconds": 0}
    assert requests.post(settings, json={"scores": "null"}, timeout=30).json() == {**start, "scores": "null"}
    for wrong in ({"scores": "stars"}, {"score": "null"}, {"task_seconds": -1}, {"strict": None}):
        assert requests.post(settings, json=wrong, timeout=30).status_code == 422
    assert requests.get(settings, timeout=30).json() == {**start, "scores": "null"}
    sandbox.reset()
    assert requests.get(settings, timeout=30).json() == start


def test_https_is_served_with_a_certificate_to_trust(tmp_path: Path) -> None:
    certificate = tmp_path / "klap.pem"
    with Sandbox(https=certificate, strict=False) as sandbox:
        assert sandbox.root.startswith("https://")
        project = sandbox.outcome(f"/tasks/{post_task(sandbox, 'video').json()['id']}")["output_id"]
        export = sandbox.call("POST", f"/projects/{project}/exports").json()
        src_url = sandbox.outcome(f"/projects/{project}/exports/{export['id']}")["src_url"]
        assert src_url.startswith("https://")
        assert requests.get(src_url, timeout=30, verify=str(certificate)).content[4:8] == b"ftyp"
        sandbox.fault("GET", "^/exports$", "drop")
        with pytest.raises(requests.ConnectionError):
            sandbox.call("GET", "/exports")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(sandbox.root, timeout=30)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "99999"], "99999"),
        (["--port", "-1"], "-1"),
        (["--task-seconds", "soon"], "--task-seconds"),
        (["--export-seconds", "nan"], "--export-seconds"),
        (["--scores", "stars"], "--scores"),
        (["--https", "/nowhere/klap.pem"], "/nowhere/klap.pem"),
    ],
)
def test_an_invalid_option_is_named(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--port", "0", *arguments])
    assert end.value.code == 2
    assert named in capsys.readouterr().err


def test_every_setting_is_an_option_and_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    page = PAGE.read_text(encoding="utf-8")
    for name, value in [*WAYS, *((name, "") for name in Settings.model_fields)]:
        assert f"--{name.replace('_', '-')}" in output
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
        assert isinstance(value, bool) or not value or f"`{value}`" in row, (name, value)
        if value == Settings.model_fields[name].default:
            assert re.match(rf"\| `{name}` \| `?{value}`?\b", row)


def test_every_fault_is_documented_with_all_its_fields() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in get_args(get_args(AnyFault)[0]):
        (action,) = get_args(kind.model_fields["action"].annotation)
        [row] = [line for line in page.splitlines() if line.startswith("| `") and f"`{action}`" in line.split("|")[1]]
        assert all(f"`{field}`" in row for field in kind.model_fields.keys() - Fault.model_fields.keys()), row
