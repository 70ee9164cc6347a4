"""The sandbox applies the faults that were requested, and no others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_sandbox.faults import Delay, Drop, match_fault
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = {"source_video_url": "https://example.com/talk.mp4"}
TASKS = "^/tasks/video-to-shorts$"


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server


def post_task(sandbox: Sandbox) -> requests.Response:
    return sandbox.call("POST", "/tasks/video-to-shorts", json=BODY)


def make_project(sandbox: Sandbox) -> str:
    task = sandbox.call("POST", "/tasks/video-to-video", json=BODY).json()
    return str(sandbox.outcome(f"/tasks/{task['id']}")["output_id"])


def make_clip(sandbox: Sandbox) -> str:
    project = make_project(sandbox)
    export = sandbox.call("POST", f"/projects/{project}/exports").json()
    return str(sandbox.outcome(f"/projects/{project}/exports/{export['id']}")["src_url"])


def post_export(sandbox: Sandbox, **more: Any) -> str:
    return str(sandbox.call("POST", f"/projects/{make_project(sandbox)}/exports", **more).json()["id"])


def make_folder(sandbox: Sandbox) -> str:
    task = post_task(sandbox).json()
    return str(sandbox.outcome(f"/tasks/{task['id']}")["output_id"])


def scores(sandbox: Sandbox, folder: str) -> dict[str, int]:
    return {each["id"]: each["virality_score"] for each in sandbox.call("GET", f"/projects/{folder}").json()}


def test_a_delayed_request_is_handled_after_the_client_has_gone(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "late", seconds=1)
    with pytest.raises(requests.Timeout):
        requests.post(f"{sandbox.url}{TASKS[1:-1]}", json=BODY, headers={"Authorization": "Bearer k"}, timeout=0.3)
    assert sandbox.ledger() == []
    time.sleep(1.5)
    assert [entry["body"] for entry in sandbox.ledger()] == [BODY]


def test_a_response_can_be_only_the_id_or_wrapped(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "reshape")
    sandbox.fault("POST", TASKS, "reshape", shape="wrapped")
    sandbox.fault("POST", "/exports$", "reshape", shape="wrapped")
    alone, wrapped = post_task(sandbox).json(), post_task(sandbox).json()
    assert [alone, wrapped["task"]["id"]] == [{"id": sandbox.ledger()[0]["id"]}, sandbox.ledger()[1]["id"]]
    project = make_project(sandbox)
    assert sandbox.call("POST", f"/projects/{project}/exports").json()["export"]["project_id"] == project


def test_an_export_can_be_listed_late(sandbox: Sandbox) -> None:
    sandbox.fault("POST", "/exports$", "listed_late", seconds=1)
    export_id = post_export(sandbox)
    assert sandbox.call("GET", "/exports").json() == []
    time.sleep(1.1)
    assert [export["id"] for export in sandbox.call("GET", "/exports").json()] == [export_id]


def test_a_list_can_grow_shrink_and_get_new_scores(sandbox: Sandbox) -> None:
    folder = make_folder(sandbox)
    before = scores(sandbox, folder)
    best = max(before, key=lambda each: before[each])
    sandbox.fault("GET", "^/projects/", "changed_list", rescore=True)
    turned = scores(sandbox, folder)
    assert sorted(turned.values()) == sorted(before.values())
    assert turned[best] == min(before.values())
    sandbox.fault("GET", "^/projects/", "changed_list", grow=1, shrink=1)
    after = scores(sandbox, folder)
    assert len(after) == len(before)
    assert after == scores(sandbox, folder), "it stays so"
    (new,) = after.keys() - before.keys()
    (gone,) = before.keys() - after.keys()
    assert max(after.values()) == after[new]
    assert sandbox.call("GET", f"/projects/{folder}/{gone}").status_code == 404


def test_the_first_matching_fault_is_used_and_counted() -> None:
    slow = Delay(method="GET", path="^/tasks/", action="delay", seconds=1, times=2)
    drop = Drop(method="*", path="/", action="drop", times=None)

    met, left = match_fault([slow, drop], "GET", "/tasks/a")
    assert met is slow
    assert [fault.times for fault in left] == [1, None]

    met, left = match_fault(left, "GET", "/tasks/a")
    assert isinstance(met, Delay)
    assert left == [drop]

    met, left = match_fault(left, "POST", "/projects/a")
    assert met is drop
    assert left == [drop]


def test_a_fault_with_skip_lets_the_next_fault_match() -> None:
    late = Drop(method="get", path="x", action="drop", skip=1)
    met, left = match_fault([late], "GET", "/x")
    assert met is None
    met, left = match_fault(left, "GET", "/x")
    assert met is not None
    assert left == []


def test_a_fault_leaves_other_methods_and_paths_alone() -> None:
    drop = Drop(method="GET", path="^/tasks/", action="drop")
    assert match_fault([drop], "POST", "/tasks/a") == (None, [drop])
    assert match_fault([drop], "GET", "/projects/tasks/a") == (None, [drop])


def test_status_answers_with_code_headers_and_body(sandbox: Sandbox) -> None:
    body = {"message": "slow down"}
    sandbox.fault("POST", TASKS, "status", code=429, headers={"Retry-After": "7"}, body=body)
    answer = post_task(sandbox)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json() == body
    assert sandbox.ledger() == []
    assert post_task(sandbox).ok


def test_status_can_answer_with_plain_text(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "status", code=503, body="upstream is down")
    answer = post_task(sandbox)
    assert (answer.status_code, answer.text) == (503, "upstream is down")


def test_drop_closes_the_connection_and_nothing_is_paid(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "drop")
    with pytest.raises(requests.ConnectionError):
        post_task(sandbox)
    assert sandbox.ledger() == []
    assert [(r["status"], r["fault"]) for r in sandbox.requests()] == [(None, "drop")]


def test_accept_then_drop_closes_the_connection_after_the_task_was_paid(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "accept_then_drop")
    with pytest.raises(requests.ConnectionError):
        post_task(sandbox)
    assert len(sandbox.ledger("task")) == 1
    assert [r["status"] for r in sandbox.requests()] == [None]


def test_delay_handles_at_once_and_answers_late_without_blocking_others(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "delay", seconds=3)
    with ThreadPoolExecutor(1) as pool:
        before = time.monotonic()
        late = pool.submit(post_task, sandbox)
        while not sandbox.ledger():
            time.sleep(0.01)
        assert sandbox.call("GET", "/exports").ok
        assert not late.done()
        assert late.result().ok
        assert time.monotonic() - before >= 3


def test_html_answers_with_a_web_page(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "html")
    sandbox.fault("POST", TASKS, "html", code=502)
    for code in (200, 502):
        answer = post_task(sandbox)
        assert answer.status_code == code
        assert answer.headers["Content-Type"].startswith("text/html")
    assert sandbox.ledger() == []


def test_empty_answers_with_nothing(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "empty")
    answer = post_task(sandbox)
    assert (answer.status_code, answer.content) == (200, b"")
    assert sandbox.ledger() == []


def test_redirect_sends_the_client_elsewhere(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "redirect", location="https://login.example.com/")
    answer = sandbox.call("POST", "/tasks/video-to-shorts", json=BODY, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://login.example.com/")


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_job_error_ends_a_task_in_error(sandbox: Sandbox, method: str) -> None:
    sandbox.fault(method, "^/tasks/", "job_error", error_code="no_speech", message="Nobody speaks.")
    task = sandbox.outcome(f"/tasks/{post_task(sandbox).json()['id']}")
    assert task["status"] == "error"
    assert (task["error_code"], task["message"]) == ("no_speech", "Nobody speaks.")


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_job_error_ends_an_export_in_error(sandbox: Sandbox, method: str) -> None:
    project = make_project(sandbox)
    sandbox.fault(method, "/exports", "job_error", error_code="boom")
    export = sandbox.call("POST", f"/projects/{project}/exports").json()
    export = sandbox.outcome(f"/projects/{project}/exports/{export['id']}")
    assert (export["status"], export["src_url"], export["error_code"]) == ("error", None, "boom")


def test_unknown_status_gives_a_job_an_undocumented_status(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "unknown_status", word="paused")
    path = f"/tasks/{post_task(sandbox).json()['id']}"
    assert [sandbox.call("GET", path).json()["status"] for _ in range(2)] == ["paused", "paused"]


def test_stuck_keeps_a_job_processing(sandbox: Sandbox) -> None:
    sandbox.fault("POST", TASKS, "stuck")
    stuck, sound = (post_task(sandbox).json()["id"] for _ in range(2))
    assert sandbox.outcome(f"/tasks/{sound}")["status"] == "ready"
    assert sandbox.call("GET", f"/tasks/{stuck}").json()["status"] == "processing"


@pytest.mark.parametrize(("method", "path"), [("POST", TASKS), ("GET", "^/projects/")])
def test_late_list_hides_the_shorts_for_some_polls(sandbox: Sandbox, method: str, path: str) -> None:
    sandbox.fault(method, path, "late_list", polls=2)
    task = sandbox.outcome(f"/tasks/{post_task(sandbox).json()['id']}")
    counts = [len(sandbox.call("GET", f"/projects/{task['output_id']}").json()) for _ in range(4)]
    assert counts == [0, 0, 10, 10]


@pytest.mark.parametrize("sent", [0, 1000])
def test_truncate_announces_the_full_length_and_sends_a_part(sandbox: Sandbox, sent: int) -> None:
    clip = make_clip(sandbox)
    whole = requests.get(clip, timeout=30).content
    sandbox.fault("GET", "^/renders/", "truncate", bytes=sent)
    part = requests.get(clip, stream=True, timeout=30)
    assert (part.status_code, part.headers["Content-Length"]) == (200, str(len(whole)))
    got: list[bytes] = []
    with pytest.raises(requests.RequestException):
        got.extend(part.iter_content(100))
    assert b"".join(got) == whole[:sent]
    assert requests.get(clip, timeout=30).content == whole


def test_truncate_counts_from_the_start_of_a_range(sandbox: Sandbox) -> None:
    clip = make_clip(sandbox)
    whole = requests.get(clip, timeout=30).content
    sandbox.fault("GET", "^/renders/", "truncate", bytes=10**9)
    tail = requests.get(clip, headers={"Range": "bytes=1000-"}, timeout=30)
    assert (tail.status_code, tail.content) == (206, whole[1000:])


def test_not_a_video_downloads_a_web_page(sandbox: Sandbox) -> None:
    clip = make_clip(sandbox)
    sandbox.fault("GET", "^/renders/", "not_a_video")
    answer = requests.get(clip, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_fault_is_used_the_given_number_of_times(sandbox: Sandbox) -> None:
    sandbox.fault("GET", "^/exports$", "status", code=500, times=2, skip=1)
    assert [sandbox.call("GET", "/exports").status_code for _ in range(5)] == [200, 500, 500, 200, 200]


def test_a_fault_without_a_number_is_used_until_it_is_deleted(sandbox: Sandbox) -> None:
    sandbox.fault("GET", "^/exports$", "status", code=500, times=None)
    faults = f"{sandbox.root}/_sandbox/faults"
    assert [sandbox.call("GET", "/exports").status_code for _ in range(3)] == [500, 500, 500]
    assert [fault["action"] for fault in requests.get(faults, timeout=30).json()] == ["status"]
    assert requests.delete(faults, timeout=30).ok
    assert requests.get(faults, timeout=30).json() == []
    assert sandbox.call("GET", "/exports").ok


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"action": "explode"}, "explode"),
        ({"path": "("}, "path"),
        ({"times": 0}, "times"),
        ({"action": "delay"}, "seconds"),
        ({"action": "status", "code": 99}, "code"),
        ({"second": 1}, "second"),
        ({"method": None}, "method"),
    ],
)
def test_an_invalid_fault_is_refused_by_field(sandbox: Sandbox, wrong: dict[str, Any], named: str) -> None:
    fault = {"method": "GET", "path": "/", "action": "drop", **wrong}
    answer = requests.post(f"{sandbox.root}/_sandbox/faults", json=[fault], timeout=30)
    assert answer.status_code == 422
    assert named in answer.text


def test_a_fault_for_a_key_leaves_other_keys_alone(sandbox: Sandbox) -> None:
    other = {"Authorization": "Bearer kak_other"}
    sandbox.fault("POST", TASKS, "status", code=500, times=None, key="kak_other")
    assert post_task(sandbox).ok
    assert sandbox.call("POST", "/tasks/video-to-shorts", json=BODY, headers=other).status_code == 500
    sandbox.fault("GET", "^/exports$", "status", code=503, times=None)
    sandbox.clear_faults(key="kak_other")
    assert sandbox.call("POST", "/tasks/video-to-shorts", json=BODY, headers=other).ok
    assert sandbox.call("GET", "/exports", headers=other).status_code == 503


def test_the_records_of_one_key_can_be_read_alone_and_contain_no_key(sandbox: Sandbox) -> None:
    other = {"Authorization": "Bearer kak_other"}
    task = post_task(sandbox).json()
    theirs = sandbox.call("POST", "/tasks/video-to-shorts", json=BODY, headers=other).json()
    assert [[each["id"] for each in sandbox.ledger(key=key)] for key in (sandbox.api_key, "kak_other", None)] == [
        [task["id"]],
        [theirs["id"]],
        [task["id"], theirs["id"]],
    ]
    assert [len(sandbox.requests("POST", key=key)) for key in ("kak_other", "kak_unused", None)] == [1, 0, 2]
    assert "kak_" not in f"{sandbox.ledger()}{sandbox.requests()}"


def test_control_requests_meet_no_faults(sandbox: Sandbox) -> None:
    sandbox.fault("*", "", "drop", times=None)
    assert sandbox.ledger() == []
