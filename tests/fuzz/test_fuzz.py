"""
Thousands of hostile inputs: form values, lists, addresses, responses, headers, and storage that fails.

Each case succeeds or fails with an error of this project, reveals no secret, and sends no unexpected POST.
"""

from __future__ import annotations

import io
import json
import socket
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import requests
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.io import attach
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from klap_provider.api import calls, response_parser
from klap_provider.api.addresses import is_local
from klap_provider.api.redaction import shown, without_secrets
from klap_provider.api.requests import ExportRequest
from klap_provider.errors import KlapConfigError, KlapError, KlapInputError
from klap_provider.files.allowlist import require_allowed_address
from klap_provider.files.safe_http import RefusedAddressError, safe_request
from klap_provider.hooks.client import KlapClient
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    ReadVideoListOperator,
    SubmitShortsOperator,
)
from klap_provider.rules.retry import Backoff
from tests.support.airflow_context import ACCESS_TOKEN, API_KEY, Played

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Supervisor

SIGNATURE = "s3cr3tsignature"
SECRETS = (API_KEY, ACCESS_TOKEN, SIGNATURE)
API = "https://api.klap.app"
SOON = (0.2, 0.2)

#: Number of cases: thousands in ``make fuzz``, fewer if each case runs a task; a few in ``make test``.
MANY = settings.get_current_profile_name() == "fuzz"
fuzz = settings(settings.get_profile("hostile"), max_examples=500 if MANY else 20)
light = settings(settings.get_profile("hostile"), max_examples=5000 if MANY else 100)

#: Texts of users, without the secrets: hypothesis takes texts from the modules that it sees.
texts = (st.text() | st.sampled_from(["ready", "error", "", "\x00", "..", "../..", "null", "x" * 5000])).filter(
    lambda text: not any(secret in text for secret in SECRETS)
)
#: Texts of Klap, which may contain the secrets.
words = texts | st.sampled_from([API_KEY, ACCESS_TOKEN, f"bad {API_KEY}!"])
plain = st.none() | st.booleans() | st.integers() | st.floats()
values = st.recursive(
    plain | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
hosts = st.sampled_from(
    ["talks.invalid", "127.0.0.1", "nas.local", "127.1", "[::1", "a@b", "[::1]", "日本.invalid", "x:99999"]
)
signed = st.builds(
    "{}://{}{}/{}{}{}={}".format,
    st.sampled_from(["https", "http", "HTTPS", "s3", "gs", "ftp"]),
    st.sampled_from(["", f"ada:{SIGNATURE}@"]),
    hosts,
    st.sampled_from(["a.mp4", "in/a.mp4", "%2e%2e/a", ""]),
    st.sampled_from(["?", "?a=b&", "?a=b#"]),
    st.sampled_from(["X-Amz-Signature", "sig", "token", "odd"]),
    st.just(SIGNATURE),
)
answer_names = st.sampled_from(
    [
        "id",
        "status",
        "task",
        "export",
        "task_id",
        "output_id",
        "src_url",
        "error",
        "error_code",
        "message",
        "name",
        "project_id",
        "folder_id",
        "virality_score",
        "publication_captions",
        "transcript_text",
        "detail",
        "created_at",
    ]
)
documents = st.recursive(
    plain | words | signed,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(answer_names, inner, max_size=8),
    max_leaves=12,
)
bodies = (
    documents.map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=200)
    | st.sampled_from(
        [b"", b"<html>" + API_KEY.encode(), b"[" * 100_000, b'{"id": "\\ud800"}', b"1" * 10_000, b'{"id": NaN}']
    )
)
codes = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 502, 503])
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Type", "Location", "Content-Encoding"]),
    st.text(st.characters(max_codepoint=255, categories=["L", "N", "P", "Zs"]))
    | st.sampled_from(["-1", "1e999", "9" * 50]),
    max_size=3,
)


class StrangeKlap(BaseAdapter):
    """A transport that answers with any response; ``sent`` has the requests."""

    def __init__(self, answer: Callable[[], tuple[int, dict[str, str], bytes]]) -> None:
        super().__init__()
        self.answer = answer
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.sent.append(request)
        response = requests.Response()
        response.status_code, found, body = self.answer()
        response.raw = HTTPResponse(io.BytesIO(body), preload_content=False)
        response.headers.update(found)
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Close nothing."""

    @property
    def posts(self) -> list[requests.PreparedRequest]:
        return [request for request in self.sent if request.method == "POST"]


@pytest.fixture
def play(
    supervisor: Supervisor, connect: Callable[..., None], in_doubt_window_over: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Exception | None]:
    """Return a function that runs a task against a strange Klap and returns the task's error, if it fails."""
    connect(f"{API}/v2")

    def one(klap: StrangeKlap, make: Callable[[], Any]) -> Exception | None:
        supervisor.messages.clear()
        supervisor.ledger.clear()
        # Paid requests are sent on a connection of their own.
        monkeypatch.setattr("klap_provider.hooks.client.DeadlineAdapter", lambda *_, **__: klap)

        def operator() -> Any:
            made = make()
            made.__dict__["client"] = client = KlapClient(backoff=Backoff(attempts=1))
            client.session.mount("https://", klap)
            return made

        failure: Exception | None = None
        try:
            Played(supervisor, operator).run()
        except (KlapError, AirflowFailException) as ours:
            failure = ours
        except ValueError as odd:  # raised by the constructor
            failure = odd
        if isinstance(failure, ValueError):
            assert "Klap" in str(failure) or "takes" in str(failure), repr(failure)
        outputs = [str(failure), *supervisor.messages]
        assert not [text for text in outputs for secret in SECRETS if secret in text]
        return failure

    return one


FORM_FIELDS = [
    "language",
    "translate_to",
    "name",
    "transcription_context",
    "style_preset_id",
    "max_clip_count",
    "min_duration",
    "target_duration",
    "budget",
    "klap_task_id",
    "project_ids",
    "aspect_ratio",
    "dimensions",
    "editing_options",
]


@fuzz
@given(
    url=signed | texts | st.just("https://example.com/talk.mp4"),
    form=st.dictionaries(st.sampled_from(FORM_FIELDS), values, max_size=2),
    destination=signed | texts | st.just("{}/shorts"),
    code=codes,
    body=bodies | st.just(b'{"id": "t1", "status": "processing"}'),
    found=headers,
)
@example(  # settings that cause a request for the video
    url="https://example.com/talk.mp4",
    form={},
    destination="{}/shorts",
    code=200,
    body=b'{"id": "t1", "status": "processing"}',
    found={},
)
def test_form_values(
    play: Callable[..., Exception | None],
    tmp_path: Path,
    url: str,
    form: dict[str, Any],
    destination: str,
    code: int,
    body: bytes,
    found: dict[str, str],
) -> None:
    klap = StrangeKlap(lambda: (code, found, body))
    params = {"url": url, "destination": destination.replace("{}", str(tmp_path))}
    failure = play(
        klap,
        lambda: SubmitShortsOperator(
            task_id="t",
            source_video_url="{{ params.url }}",
            destination="{{ params.destination }}",
            params=params,
            allowed_sources=["https://", "http://"],
            allowed_destinations=[str(tmp_path)],
            **form,
        ),
    )
    assert len(klap.posts) <= 1
    if isinstance(failure, KlapInputError | KlapConfigError | ValueError):
        assert klap.posts == []
    for post in klap.posts:
        sent = json.loads(post.body or b"")["source_video_url"]
        assert sent.startswith(("http://", "https://"))
        assert not is_local(sent)
        assert set(tmp_path.iterdir()) <= {tmp_path / "shorts"}


@fuzz
@given(bodies=st.lists(bodies, min_size=1, max_size=4), code=codes, found=headers)
def test_responses_to_a_task_that_pays(
    play: Callable[..., Exception | None], bodies: list[bytes], code: int, found: dict[str, str]
) -> None:
    queue = [*bodies]
    klap = StrangeKlap(lambda: (code if len(queue) == len(bodies) else 200, found, queue.pop() if queue else b"[]"))
    play(klap, lambda: ExportShortOperator(task_id="t", project_id="p1", folder_id="f1"))
    assert len(klap.posts) <= 1
    assert not [request for request in klap.sent if not str(request.url).startswith(f"{API}/v2/")]


def test_the_strange_klap_receives_paid_requests(play: Callable[..., Exception | None]) -> None:
    klap = StrangeKlap(lambda: (200, {}, b"[]" if not klap.posts else b'{"id": "e1", "status": "processing"}'))
    assert play(klap, lambda: ExportShortOperator(task_id="t", project_id="p1", folder_id="f1")) is None
    assert len(klap.posts) == 1


@fuzz
@given(src_url=signed | words, name=words, more=documents, code=codes)
def test_responses_to_a_delivery(
    play: Callable[..., Exception | None], tmp_path: Path, src_url: str, name: str, more: Any, code: int
) -> None:
    answers = iter([{"id": "e1", "status": "ready", "src_url": src_url}, {"id": "p1", "name": name, "error": more}])
    klap = StrangeKlap(lambda: (200, {}, json.dumps(next(answers, more)).encode()))
    failure = play(
        klap,
        lambda: DeliverShortOperator(
            task_id="t", export_id="e1", project_id="p1", folder_id="../..", destination=str(tmp_path)
        ),
    )
    assert failure is not None  # none of these is a reachable video
    assert klap.posts == []
    assert list(tmp_path.rglob("*")) == []


CALLS: list[calls.Call[Any]] = [
    calls.get_task("t"),
    calls.list_projects("f"),
    calls.get_project("p"),
    calls.create_export(ExportRequest(), project_id="p"),
    calls.get_export("e", project_id="p"),
    calls.list_exports(),
    calls.create_user(),
    calls.create_user_token("u"),
]


@light
@given(call=st.sampled_from(CALLS), body=bodies, code=codes, found=headers, key=words.filter(lambda key: len(key) > 7))
def test_any_response_to_any_call(
    call: calls.Call[Any], body: bytes, code: int, found: dict[str, str], key: str
) -> None:
    reported: list[str]
    try:
        answer = response_parser.parse_response(
            call, status=code, headers=found, body=body, now=0, secrets=(key, API_KEY)
        )
        jobs = answer if isinstance(answer, list) else [answer]
        reported = [str(getattr(job, "failure", "")) for job in jobs]
        assert not [job for job in jobs if API_KEY in str(getattr(job, "name", ""))]
    except KlapError as failure:
        reported = [str(failure), str(failure.error_code)]
    assert not [text for text in reported if API_KEY in text or SIGNATURE in text]
    "".join(reported).encode()  # no lone surrogates, which databases refuse


lines = (
    texts
    | signed
    | st.sampled_from(
        ["url,limit", "url;name", "[core]", "fernet_key = s3cr3tsignature", "https://youtu.be/dQw4w9WgXcQ"]
    )
    | st.builds("https://youtu.be/{:011},{}".format, st.integers(0, 9), texts)
)


@fuzz
@given(
    content=st.lists(lines, max_size=6).map(lambda found: "\n".join(found).encode()) | st.binary(max_size=300),
    name=st.sampled_from(["list.csv", "list.txt", "airflow.cfg"]),
)
def test_list_files(
    play: Callable[..., Exception | None], tmp_path: Path, supervisor: Supervisor, content: bytes, name: str
) -> None:
    from klap_provider.dag_parts.generate_shorts import shorts_form

    (tmp_path / name).write_bytes(content)
    klap = StrangeKlap(lambda: (200, {}, b"{}"))
    form = shorts_form()
    failure = play(
        klap,
        lambda: ReadVideoListOperator(
            task_id="t",
            form=form,
            trigger_dag_id="d",
            list_path="{{ params.path }}",
            params={"path": f"{tmp_path}/{name}"},
            allowed_lists=[str(tmp_path)],
            allowed_sources=["https://youtu.be"],
        ),
    )
    assert failure is None or isinstance(failure, KlapInputError), failure
    assert klap.sent == []


octets = st.integers(0, 255)
private = st.one_of(
    st.builds(lambda a, b, c: IPv4Address(f"127.{a}.{b}.{c}"), octets, octets, octets),
    st.builds(lambda a, b, c: IPv4Address(f"10.{a}.{b}.{c}"), octets, octets, octets),
    st.builds(lambda a, b: IPv4Address(f"192.168.{a}.{b}"), octets, octets),
    st.builds(lambda a, b: IPv4Address(f"172.{16 + a % 16}.{a}.{b}"), octets, octets),
    st.builds(lambda a, b: IPv4Address(f"100.{64 + a % 64}.{a}.{b}"), octets, octets),
    st.builds(lambda a, b: IPv4Address(f"169.254.{a}.{b}"), octets, octets),
    st.builds(lambda a, b: IPv4Address(f"0.0.{a}.{b}"), octets, octets),
)


def spellings(address: IPv4Address) -> list[str]:
    a, b, c, d = address.packed
    number = int(address)
    return [
        str(address),
        f"{address}.",
        f"{a}.{number % 2**24}",
        f"{a}.{b}.{number % 2**16}",
        str(number),
        hex(number),
        hex(number).upper().replace("0X", "0x"),
        f"0{number:o}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"0{a}.0{b}.0{c}.0{d}",
        f"00{a}.{b}.{c}.{d}",
        "".join(chr(ord(letter) + 0xFEE0) if letter.isdigit() else letter for letter in str(address)),
        str(address).replace(".", "\u3002"),
        f"[::ffff:{address}]",
        f"[::ffff:{a:x}{b:02x}:{c:x}{d:02x}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1]",
    ]


@light
@given(host=private.map(spellings).flatmap(st.sampled_from), scheme=st.sampled_from(["http", "https"]))
def test_no_spelling_of_a_private_address_is_requested(monkeypatch: pytest.MonkeyPatch, host: str, scheme: str) -> None:
    def connect(*_: Any, **__: Any) -> None:
        raise AssertionError(f"{host} was connected to")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        with pytest.raises((RefusedAddressError, requests.RequestException)):
            safe_request("GET", f"{scheme}://{host}/a", local=False, timeout=SOON)


@light
@given(url=signed, before=texts, after=texts)
def test_no_error_shows_the_secret_of_an_address(url: str, before: str, after: str) -> None:
    assert SIGNATURE not in shown(url)
    redacted = without_secrets(f"{before} {url!r} {after}")
    assert SIGNATURE not in redacted
    assert without_secrets(redacted) == redacted


@light
@given(
    address=st.lists(
        st.sampled_from(
            ["/", "..", ".", "media", "media-private", "link", "%2e%2e", "\\", "file:", "//", "a", "::", "~"]
        ),
        max_size=8,
    ).map("".join),
    whole=st.booleans(),
)
def test_no_path_leads_outside_of_the_allowlist(tmp_path: Path, address: str, whole: bool) -> None:
    from klap_provider.files.storage import folder_at

    media = tmp_path / "media"
    media.mkdir(exist_ok=True)
    if not (media / "link").is_symlink():
        (media / "link").symlink_to(tmp_path)
    try:
        given_ = f"{media}/{address}" if whole else address
        require_allowed_address("destination", given_, [str(media)])
        folder = folder_at(given_)
    except KlapInputError:
        return
    if given_:
        from pathlib import Path

        assert Path(folder.path).resolve().is_relative_to(media.resolve())


class Broken(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]  # made at run time
    """Storage whose n-th operation fails."""

    protocol = "broken"
    cachable = False
    failure: BaseException
    when = 0

    def __getattribute__(self, name: str) -> Any:
        if name in ("info", "open", "mv", "makedirs", "ls", "rm_file", "cat_file"):
            Broken.when -= 1
            if Broken.when == 0:
                raise Broken.failure
        return super().__getattribute__(name)


@fuzz
@given(
    kind=st.sampled_from([OSError, FileNotFoundError, PermissionError, TimeoutError, ValueError, KeyError]),
    message=texts | signed,
    when=st.integers(1, 9),
)
def test_storage_that_fails(
    play: Callable[..., Exception | None], kind: type[Exception], message: str, when: int
) -> None:
    Broken.failure, Broken.when = kind(message), when
    attach("broken", fs=Broken())
    klap = StrangeKlap(lambda: (200, {}, b'{"id": "t1", "status": "processing"}'))
    failure = play(
        klap,
        lambda: SubmitShortsOperator(
            task_id="t", source_video_url="https://example.com/a.mp4", destination="broken://bucket/shorts"
        ),
    )
    Broken.when = 0
    assert len(klap.posts) == (failure is None)
