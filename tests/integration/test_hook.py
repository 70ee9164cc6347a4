"""KlapHook sends the calls of the API, and repeats only those that are safe to repeat."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
from airflow.sdk.log import redact

from klap_provider.api import calls, response_parser
from klap_provider.api.requests import ExportRequest, ShortsRequest, VideoRequest
from klap_provider.errors import (
    KlapAuthError,
    KlapConfigError,
    KlapConnectionError,
    KlapCreditsError,
    KlapError,
    KlapInputError,
    KlapInvalidResponseError,
    KlapNoResponseError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapResponseError,
    KlapServerError,
)
from klap_provider.hooks import KlapHook
from klap_provider.rules.retry import ONCE, Backoff
from tests.support.airflow_context import ACCESS_TOKEN, API_KEY
from tests.support.tcp_proxy import Endless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.airflow_context import Supervisor
    from tests.support.sandbox import Sandbox

VIDEO = "https://example.com/talk.mp4"
QUICK = Backoff(attempts=3, base=0.01, cap=0.5)
SUBMIT = calls.submit_shorts(ShortsRequest(source_video_url=VIDEO))

#: Failures of a GET: the sandbox's fault, its options, the error of the call, and whether it is retried.
FAILURES: list[tuple[str, dict[str, Any], type[KlapError], bool]] = [
    ("drop", {}, KlapNoResponseError, True),
    ("accept_then_drop", {}, KlapNoResponseError, True),
    ("truncate", {"bytes": 1}, KlapNoResponseError, True),
    ("html", {}, KlapInvalidResponseError, True),
    ("empty", {}, KlapInvalidResponseError, True),
    ("status", {"code": 200, "body": {"exports": []}}, KlapInvalidResponseError, True),
    ("redirect", {"location": "https://login.example.com/"}, KlapInvalidResponseError, True),
    ("html", {"code": 502}, KlapServerError, True),
    ("status", {"code": 500}, KlapServerError, True),
    ("status", {"code": 503, "headers": {"Retry-After": "0"}}, KlapServerError, True),
    ("status", {"code": 429}, KlapRateLimitError, True),
    ("status", {"code": 400, "body": {"detail": "no"}}, KlapRejectedError, False),
    ("status", {"code": 401}, KlapAuthError, False),
    ("status", {"code": 402, "body": {"message": "no"}}, KlapCreditsError, False),
    ("status", {"code": 403, "body": {"message": "no"}}, KlapAuthError, False),
    ("status", {"code": 404, "body": {"message": "no"}}, KlapNotFoundError, False),
    ("status", {"code": 422, "body": {"error_code": "video_too_long"}}, KlapRejectedError, False),
    ("html", {"code": 401}, KlapInvalidResponseError, True),
    ("html", {"code": 403}, KlapInvalidResponseError, True),
    ("html", {"code": 404}, KlapInvalidResponseError, True),
    ("status", {"code": 403}, KlapInvalidResponseError, True),
    ("status", {"code": 404}, KlapInvalidResponseError, True),
    ("status", {"code": 408}, KlapServerError, True),
]
each_failure = pytest.mark.parametrize(
    ("fault", "more", "kind", "transient"), FAILURES, ids=lambda value: str(value)[:30]
)


class Arrived(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: Any


class Listener:
    """A server that records its requests and gives each the same response; a context manager."""

    def __init__(
        self, *, status: int = 200, body: bytes = b"[]", headers: dict[str, str] | None = None, late: float = 0
    ) -> None:
        self.arrived: list[Arrived] = []
        arrived, extra = self.arrived, headers or {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                arrived.append(Arrived(self.command, self.path, dict(self.headers), sent, self.client_address))
                self.send_response(status)
                for name, value in {**extra, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.server_bind()
        self._late = late
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v2"

    def _serve(self) -> None:
        if self._late:
            time.sleep(self._late)
            self._server.server_activate()
        self._server.serve_forever(poll_interval=0.02)

    def __enter__(self) -> Listener:
        if not self._late:
            self._server.server_activate()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def deaf_url() -> Iterator[str]:
    """The URL of a server that accepts no connections, because its queue is full."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v2"


@pytest.fixture
def closed_url() -> Iterator[str]:
    """The URL of a port that refuses connections, and that no other process can use meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/v2"


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~/.netrc with another password for the API's host."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login somebody password else\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return everything that was logged, also by Airflow's logging, which bypasses pytest's."""

    def everything() -> str:
        KlapHook().log.error("the end of the log")
        output = "".join(capsys.readouterr()) + caplog.text
        assert "the end of the log" in output
        return output

    return everything


def test_every_call_of_the_api_makes_the_round_trip(klap: Sandbox) -> None:
    hook = KlapHook(backoff=QUICK)
    task = hook.call(calls.submit_shorts(ShortsRequest(source_video_url=VIDEO, target_clip_count=2)))
    klap.outcome(f"/tasks/{task.id}")
    folder = hook.call(calls.get_task(task.id)).output_id
    assert folder
    shorts = hook.call(calls.list_projects(folder))
    assert len(shorts) == 2
    short = hook.call(calls.get_project(shorts[0].id, folder_id=folder))
    assert short == shorts[0]
    export = hook.call(calls.create_export(ExportRequest(), project_id=short.id, folder_id=folder))
    klap.outcome(f"/projects/{folder}/{short.id}/exports/{export.id}")
    export = hook.call(calls.get_export(export.id, project_id=short.id, folder_id=folder))
    assert (export.status, bool(export.src_url)) == ("ready", True)
    assert [e.id for e in hook.call(calls.list_exports(folder_id=folder, project_id=short.id))] == [export.id]
    assert hook.call(calls.list_exports(project_id=shorts[1].id)) == []


def test_the_calls_without_a_folder_make_the_round_trip(klap: Sandbox) -> None:
    hook = KlapHook(backoff=QUICK)
    task = hook.call(calls.submit_video(VideoRequest(source_video_url=VIDEO)))
    klap.outcome(f"/tasks/{task.id}")
    project_id = hook.call(calls.get_task(task.id)).output_id
    assert project_id
    assert hook.call(calls.get_project(project_id)).folder_id is None
    export = hook.call(calls.create_export(ExportRequest(), project_id=project_id))
    assert hook.call(calls.get_export(export.id, project_id=project_id)).folder_id is None


def test_a_managed_user_and_a_masked_token_can_be_created(klap: Sandbox, supervisor: Supervisor) -> None:
    hook = KlapHook(backoff=QUICK)
    users = [hook.create_user(), hook.create_user()]
    assert len({user.id for user in users}) == 2
    assert all(user.email for user in users)
    token = hook.create_user_token(users[0].id)
    assert token in supervisor.masked
    assert redact(f"made {token}") == "made ***"


def test_a_token_for_nobody_is_an_error(klap: Sandbox) -> None:
    with pytest.raises(KlapNotFoundError, match="POST /users/nobody/tokens"):
        KlapHook(backoff=QUICK).create_user_token("nobody")


def test_a_hook_for_a_user_sees_only_that_users_data(klap: Sandbox) -> None:
    klap.reset(user_header="required")
    account = KlapHook(backoff=QUICK)
    user = KlapHook(backoff=QUICK, on_behalf_of=account.create_user().id)
    task = user.call(calls.submit_video(VideoRequest(source_video_url=VIDEO)))
    assert user.call(calls.get_task(task.id)).id == task.id
    with pytest.raises(KlapNotFoundError):
        account.call(calls.get_task(task.id))
    assert klap.ledger()[0]["on_behalf_of"] == user.connection.on_behalf_of


@pytest.mark.parametrize(
    ("extra", "token", "address"),
    [
        ({}, None, "https://klap.app/player/a%2Fb"),
        ({}, "", "https://klap.app/player/a%2Fb"),
        ({}, "t&1", "https://klap.app/embed/a%2Fb#external_access_token=t%261"),
        ({"external_access_token": " mine_own "}, None, "https://klap.app/embed/a%2Fb#external_access_token=mine_own"),
        ({"external_access_token": "mine_own"}, "other", "https://klap.app/embed/a%2Fb#external_access_token=other"),
        ({"embed_url": "https://e.example/x/"}, "t1", "https://e.example/x/a%2Fb#external_access_token=t1"),
        ({"player_url": "https://p.example/"}, None, "https://p.example/a%2Fb"),
    ],
)
def test_an_embedded_player_has_the_token_where_there_is_one(
    connect: Callable[..., None], extra: dict[str, str], token: str | None, address: str
) -> None:
    connect("https://api.klap.app", **{"external_access_token": None, **extra})
    assert KlapHook().embed_url("a/b", token) == address


def test_the_connections_token_is_masked_and_not_in_its_representation(
    connect: Callable[..., None], supervisor: Supervisor
) -> None:
    connect("https://api.klap.app")
    hook = KlapHook()
    assert hook.embed_url("project00001").endswith(ACCESS_TOKEN)
    assert ACCESS_TOKEN in supervisor.masked
    assert ACCESS_TOKEN not in repr(hook.connection)


def test_a_body_is_sent_as_json_and_ids_are_quoted(connect: Callable[..., None]) -> None:
    with Listener(body=b'{"id": "t", "status": "processing"}') as server:
        connect(server.url)
        hook = KlapHook()
        hook.call(calls.submit_shorts(ShortsRequest(source_video_url=VIDEO, transcription_context="Zoë 🎬")))
        hook.call(calls.create_export(ExportRequest(), project_id="a/../b", folder_id="ü"))
        hook.call(calls.get_task("a b?c#d"))
    posted, exported, got = server.arrived
    assert json.loads(posted.body) == {"source_video_url": VIDEO, "transcription_context": "Zoë 🎬"}
    assert posted.headers["Content-Type"] == "application/json"
    assert (exported.path, exported.body) == ("/v2/projects/%C3%BC/a%2F..%2Fb/exports", b"{}")
    assert got.path == "/v2/tasks/a%20b%3Fc%23d"


def test_a_query_is_sent_encoded(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url)
        KlapHook().call(calls.list_exports(folder_id="a&b=c"))
    assert server.arrived[0].path == "/v2/exports?folder_id=a%26b%3Dc"


@each_failure
def test_a_get_is_retried_after_transient_errors(
    klap: Sandbox, fault: str, more: dict[str, Any], kind: type[KlapError], transient: bool
) -> None:
    klap.fault("GET", "^/exports$", fault, times=2, **more)
    hook = KlapHook(backoff=QUICK)
    if transient:
        assert hook.call(calls.list_exports()) == []
    else:
        with pytest.raises(kind):
            hook.call(calls.list_exports())
    assert len(klap.requests("GET", "^/exports$")) == (3 if transient else 1)


@each_failure
def test_a_get_fails_with_its_error_after_the_last_attempt(
    klap: Sandbox, fault: str, more: dict[str, Any], kind: type[KlapError], transient: bool
) -> None:
    klap.fault("GET", "^/exports$", fault, times=None, **more)
    with pytest.raises(kind) as failed:
        KlapHook(backoff=QUICK).call(calls.list_exports())
    assert type(failed.value) is kind
    assert failed.value.transient is transient
    assert len(klap.requests("GET", "^/exports$")) == (3 if transient else 1)


@pytest.mark.parametrize(
    ("fault", "more", "kind", "paid"),
    [
        ("accept_then_drop", {}, KlapNoResponseError, 1),
        ("truncate", {"bytes": 5}, KlapNoResponseError, 1),
        ("drop", {}, KlapNoResponseError, 0),
        ("status", {"code": 500}, KlapServerError, 0),
        ("status", {"code": 502, "headers": {"Retry-After": "0"}}, KlapServerError, 0),
        ("status", {"code": 503}, KlapServerError, 0),
        ("html", {}, KlapInvalidResponseError, 0),
        ("html", {"code": 504}, KlapServerError, 0),
        ("empty", {}, KlapInvalidResponseError, 0),
        ("redirect", {"location": "/v2/tasks/video-to-shorts", "code": 307}, KlapInvalidResponseError, 0),
        ("status", {"code": 401}, KlapAuthError, 0),
        ("status", {"code": 402}, KlapCreditsError, 0),
        ("status", {"code": 422}, KlapRejectedError, 0),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_post_that_may_have_arrived_or_was_refused_is_sent_once(
    klap: Sandbox, fault: str, more: dict[str, Any], kind: type[KlapError], paid: int
) -> None:
    klap.fault("POST", "^/tasks/", fault, **more)
    with pytest.raises(kind) as failed:
        KlapHook(backoff=QUICK).call(SUBMIT)
    assert type(failed.value) is kind
    assert len(klap.requests("POST")) == 1
    assert len(klap.ledger()) == paid


@pytest.mark.parametrize("code", [429, 503])
def test_a_post_with_retry_after_is_retried_and_paid_once(klap: Sandbox, code: int) -> None:
    headers, body = {"Retry-After": "0"}, {"message": "busy"}
    klap.fault("POST", "^/tasks/", "status", times=2, code=code, headers=headers, body=body)
    task = KlapHook(backoff=QUICK).call(SUBMIT)
    assert len(klap.requests("POST")) == 3
    assert [entry["id"] for entry in klap.ledger("task")] == [task.id]


def test_a_post_is_retried_while_the_connection_is_refused(connect: Callable[..., None]) -> None:
    with Listener(body=b'{"id": "t", "status": "processing"}', late=0.3) as server:
        connect(server.url)
        assert KlapHook(backoff=Backoff(attempts=10, base=0.2, cap=0.2)).call(SUBMIT).id == "t"
        assert len(server.arrived) == 1


def test_retry_after_is_waited_for(klap: Sandbox) -> None:
    klap.fault("GET", "^/exports$", "status", code=429, headers={"Retry-After": "1"})
    KlapHook(backoff=Backoff(attempts=2, base=0.01, cap=2)).call(calls.list_exports())
    first, second = klap.requests("GET", "^/exports$")
    assert second["at"] - first["at"] >= 1


@pytest.mark.parametrize("call", [calls.list_exports(), SUBMIT], ids=str)
def test_a_retry_after_over_the_cap_is_raised(klap: Sandbox, call: calls.Call[Any]) -> None:
    klap.fault(call.method, f"^{call.path}$", "status", code=429, headers={"Retry-After": "3600"})
    with pytest.raises(KlapRateLimitError) as limited:
        KlapHook().call(call)
    assert limited.value.retry_after == 3600
    assert len(klap.requests(call.method)) == 1


def test_a_call_can_switch_off_the_retries_of_the_hook(klap: Sandbox) -> None:
    klap.fault("GET", "^/exports$", "status", code=500)
    with pytest.raises(KlapServerError):
        KlapHook(backoff=QUICK).call(calls.list_exports(), backoff=ONCE)
    assert len(klap.requests("GET")) == 1


def test_a_backoff_without_attempts_is_refused(klap: Sandbox) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KlapHook(backoff=Backoff(attempts=0)).call(calls.list_exports())
    assert klap.requests() == []


def test_a_call_without_a_response_fails_after_the_read_timeout(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, read_timeout=0.2)
    klap.fault("GET", "^/exports$", "delay", seconds=1.5)
    with pytest.raises(KlapNoResponseError, match=r"read_timeout of the connection 'klap_default' is 0\.2 s"):
        KlapHook().call(calls.list_exports(), backoff=ONCE)


def test_a_post_that_timed_out_is_not_retried(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, read_timeout=0.2)
    klap.fault("POST", "^/tasks/", "delay", seconds=0.6)
    with pytest.raises(KlapNoResponseError) as lost:
        KlapHook(backoff=QUICK).call(SUBMIT)
    assert not lost.value.refused
    assert len(klap.ledger("task")) == 1


def test_a_connection_without_a_response_fails_after_the_connect_timeout(
    deaf_url: str, connect: Callable[..., None]
) -> None:
    connect(deaf_url, connect_timeout=0.2)
    started = time.monotonic()
    with pytest.raises(KlapConnectionError) as failed:
        KlapHook().call(SUBMIT, backoff=ONCE)
    assert failed.value.refused
    assert time.monotonic() - started >= 0.2


def test_an_unreachable_host_is_named_with_klaps_hosts(closed_url: str, connect: Callable[..., None]) -> None:
    connect(closed_url)
    with pytest.raises(KlapConnectionError) as failed:
        KlapHook().call(SUBMIT, backoff=ONCE)
    for part in (closed_url, "at https://api.klap.app/v2, or at https://api.klap.video/v2.", "'klap_default'"):
        assert part in str(failed.value)
    assert failed.value.refused


def test_only_the_key_and_the_managed_user_are_sent_to_klap(connect: Callable[..., None]) -> None:
    extra = {"X-Evil": "1", "Authorization": "Bearer evil", "headers": {"X-Evil": "1"}, "proxies": {"http": "evil:1"}}
    with Listener() as server:
        connect(server.url, on_behalf_of="user-1", **extra)
        hook = KlapHook()
        hook.call(calls.list_exports())
        hook.run("exports")
    assert len(server.arrived) == 2
    for request in server.arrived:
        assert request.headers["Authorization"] == f"Bearer {API_KEY}"
        assert request.headers["X-On-Behalf-Of"] == "user-1"
        assert request.headers["User-Agent"].startswith("airflow-provider-klap/")
        assert "evil" not in str(request.headers).lower()


def test_the_header_of_managed_users_is_sent_only_with_a_user(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url)
        KlapHook().call(calls.list_exports())
    assert "X-On-Behalf-Of" not in server.arrived[0].headers


@pytest.mark.usefixtures("netrc")
def test_a_netrc_does_not_replace_the_key(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url)
        hook = KlapHook()
        hook.call(calls.list_exports())
        hook.run("exports")
    assert {request.headers["Authorization"] for request in server.arrived} == {f"Bearer {API_KEY}"}


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_the_key_stays_with_klap(code: int, connect: Callable[..., None]) -> None:
    with Listener() as elsewhere, Listener(status=code, headers={"Location": elsewhere.url}) as server:
        connect(server.url)
        hook = KlapHook(backoff=ONCE)
        for attempt in (
            lambda: hook.call(calls.list_exports()),
            lambda: hook.call(SUBMIT),
            lambda: hook.run("exports"),
        ):
            with pytest.raises(KlapInvalidResponseError, match="Host"):
                attempt()
    assert len(server.arrived) == 3
    assert elsewhere.arrived == []


@pytest.mark.parametrize("status", [401, 500])
def test_a_key_in_klaps_response_is_in_no_error_and_no_log(
    status: int, connect: Callable[..., None], logged: Callable[[], str]
) -> None:
    with Listener(status=status, body=json.dumps({"message": f"bad key {API_KEY}"}).encode()) as server:
        connect(server.url)
        hook = KlapHook(backoff=QUICK)
        for attempt in (lambda: hook.call(calls.list_exports()), lambda: hook.run("exports")):
            with pytest.raises(KlapResponseError, match=r"bad key \*\*\*") as failed:
                attempt()
            assert API_KEY not in "".join(traceback.format_exception(failed.value))
    assert API_KEY not in logged()


def test_a_retry_is_logged_with_its_reason(klap: Sandbox, logged: Callable[[], str]) -> None:
    klap.fault("GET", "^/exports$", "status", code=500, body={"message": "boom"})
    KlapHook(backoff=QUICK).call(calls.list_exports())
    assert "Attempt 1 of 3 failed: GET /exports: HTTP 500 (boom)" in logged()


def test_one_tcp_connection_serves_many_calls(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url)
        hook = KlapHook()
        for _ in range(5):
            hook.call(calls.list_exports())
            hook.run("exports")
    assert len(server.arrived) == 10
    assert len({request.client for request in server.arrived}) == 1


def test_run_of_the_http_hook_reaches_the_api_with_the_key(klap: Sandbox) -> None:
    hook = KlapHook()
    hook.method = "GET"
    assert hook.run("exports").json() == []
    assert [r["path"] for r in klap.requests()] == ["/exports"]


@pytest.mark.parametrize(
    ("endpoint", "operator"),
    [
        ("tasks/video-to-shorts", "SubmitShortsOperator"),
        ("/tasks//video%2Dto%2Dshorts/", "SubmitShortsOperator"),
        ("projects/../tasks/video-to-video", "SubmitVideoOperator"),
        ("projects/folder/short/exports?x=1", "ExportShortOperator"),
        ("projects/short/exports", "ExportShortOperator"),
    ],
)
def test_run_of_the_http_hook_sends_nothing_that_klap_bills(klap: Sandbox, endpoint: str, operator: str) -> None:
    with pytest.raises(KlapInputError, match=operator):
        KlapHook().run(endpoint, json={"source_video_url": VIDEO})
    assert klap.ledger("task") == klap.ledger("export") == []


def test_run_of_the_http_hook_sends_a_post_that_is_free(klap: Sandbox) -> None:
    assert KlapHook().run("users", json={}).json()["id"]


def test_run_of_the_http_hook_keeps_to_the_read_timeout(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, read_timeout=0.2)
    klap.fault("*", "^/exports$", "delay", seconds=1.5)
    hook = KlapHook()
    hook.method = "GET"
    with pytest.raises(requests.Timeout):
        hook.run("exports")


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, KlapAuthError), (404, KlapNotFoundError), (422, KlapRejectedError), (500, KlapServerError)],
)
def test_run_of_the_http_hook_fails_like_a_call_and_logs_no_body(
    klap: Sandbox, logged: Callable[[], str], code: int, kind: type[KlapError]
) -> None:
    klap.fault("*", "^/exports$", "status", code=code, body={"message": "reason-from-klap"})
    with pytest.raises(kind, match="reason-from-klap"):
        KlapHook().run("exports")
    assert "reason-from-klap" not in logged()


def test_run_of_the_http_hook_can_return_error_responses(klap: Sandbox) -> None:
    klap.fault("*", "^/exports$", "status", code=404)
    assert KlapHook().run("exports", extra_options={"check_response": False}).status_code == 404


def test_the_connection_is_looked_up_once_per_hook(klap: Sandbox, connect: Callable[..., None]) -> None:
    hook = KlapHook()
    hook.call(calls.list_exports())
    connect("http://127.0.0.1:1/v2")
    hook.call(calls.list_exports())
    assert len(klap.requests("GET")) == 2


def test_a_call_without_a_key_fails_before_the_request(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, password=None)
    with pytest.raises(KlapConfigError, match="Password"):
        KlapHook().call(SUBMIT)
    assert klap.requests() == []


def test_a_connection_that_is_missing_is_named() -> None:
    with pytest.raises(KlapConfigError, match=r"no Airflow connection 'nowhere'.*klap_conn_id"):
        KlapHook("nowhere").call(SUBMIT)


def test_a_dripping_response_ends_in_time_and_its_connection_is_closed(
    connect: Callable[..., None],
) -> None:
    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(30):
                    self.wfile.write(b" ")
                    time.sleep(0.2)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server, Listener(body=b"[]") as sound:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        connect(f"http://127.0.0.1:{server.server_address[1]}", read_timeout=30)
        client = KlapHook().client
        dripping, began = client.session, time.monotonic()
        with pytest.raises(KlapNoResponseError, match="within 0 s"):
            client.call(calls.list_exports(), backoff=ONCE, within=0.4)
        assert time.monotonic() - began >= 0.4
        assert client.session is not dripping
        server.shutdown()
        connect(sound.url)
        assert KlapHook().client.call(calls.list_exports(), within=5) == []


@pytest.mark.parametrize("within", [None, 3600])
@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_poll_takes_no_longer_than_the_connections_timeouts(
    connect: Callable[..., None], start: bytes, within: float | None
) -> None:
    with Endless(start, b" ") as server:
        connect(server.url, connect_timeout=0.2, read_timeout=0.3)
        with pytest.raises(KlapNoResponseError, match="read_timeout of the connection 'klap_default'"):
            KlapHook().client.call(calls.list_exports(), backoff=ONCE, within=within)


def test_a_response_without_an_end_is_not_read_into_memory(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_parser, "MAX_RESPONSE_BYTES", 1024**2)
    with Endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536, 0) as server:
        connect(server.url)
        with pytest.raises(KlapInvalidResponseError, match=r"more than 1 MiB.*Host"):
            KlapHook().call(calls.list_exports(), backoff=ONCE)


def test_a_failure_within_the_timeout_is_unchanged(klap: Sandbox) -> None:
    klap.fault("GET", "^/exports$", "status", code=500)
    with pytest.raises(KlapServerError):
        KlapHook().client.call(calls.list_exports(), backoff=ONCE, within=5)
