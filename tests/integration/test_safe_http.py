"""Requests to untrusted addresses, over real sockets: where they go, and what they send."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
import requests

from klap_provider.files.preflight import problems
from klap_provider.files.safe_http import RefusedAddressError, safe_request
from tests.support.tcp_proxy import Endless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON = (0.3, 5.0)


class Inside(BaseHTTPRequestHandler):
    """A server of this network: ``/to?URL`` and ``/raw`` redirect, ``/gone`` is missing, other paths exist."""

    location = ""
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        path, _, location = self.path.partition("?")
        self.send_response({"/to": 302, "/raw": 302, "/gone": 404}.get(path, 200))
        if path in ("/to", "/raw"):
            self.send_header("Location", unquote(location) or self.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def inside() -> Iterator[int]:
    """The port of a server on this machine."""
    Inside.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Inside) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


LOCAL = ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost", "localhost.", "[::ffff:127.0.0.1]", "0.0.0.0"]


@pytest.mark.parametrize("host", [*LOCAL, "169.254.169.254", "100.64.0.1", "010.0.0.1", "[64:ff9b::7f00:1]"])
def test_a_private_host_is_not_requested(inside: int, host: str) -> None:
    with pytest.raises(RefusedAddressError, match="private network"):
        safe_request("GET", f"http://{host}:{inside}/a", local=False, timeout=SOON)
    assert Inside.seen == []


@pytest.mark.parametrize("answer", ["127.0.0.1", "::1", "8.8.8.8 127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1"])
def test_a_name_that_resolves_to_a_private_host_is_not_requested(
    inside: int, dns: dict[str, list[str]], answer: str
) -> None:
    dns["talks.example.com"] = [answer]
    with pytest.raises(RefusedAddressError, match=r"talks\.example\.com is on this machine or on a private network"):
        safe_request("GET", f"http://talks.example.com:{inside}/a", local=False, timeout=SOON)
    with pytest.raises(RefusedAddressError, match="private network"):
        safe_request("GET", f"https://talks.example.com:{inside}/a", local=False, timeout=SOON)
    assert Inside.seen == []


def test_the_connection_uses_the_address_that_was_checked(
    inside: int, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here 127.0.0.2 counts as public. Nobody listens there.
    monkeypatch.setattr("klap_provider.files.safe_http.is_public", lambda address: str(address) == "127.0.0.2")
    dns["rebound.example.com"] = ["127.0.0.2", "127.0.0.1"]
    with pytest.raises(requests.ConnectionError):
        safe_request("GET", f"http://rebound.example.com:{inside}/a", local=False, timeout=SOON)
    assert Inside.seen == []


@pytest.mark.parametrize("host", ["unknown.example.com", f"{'a' * 64}.example.com", "empty.example.com"])
def test_an_unknown_host_name_is_neither_response_nor_refusal(dns: dict[str, list[str]], host: str) -> None:
    dns |= {"unknown.example.com": ["nothing"], "empty.example.com": [""]}
    for scheme in ("http", "https"):
        with pytest.raises(requests.RequestException):
            safe_request("GET", f"{scheme}://{host}/a", local=False, timeout=SOON)


def test_an_address_that_cannot_be_requested_is_no_redirect() -> None:
    with pytest.raises(requests.RequestException):
        safe_request("GET", "http://talks.example.com:99999/a", local=False, timeout=SOON)


def test_tls_uses_the_host_name_and_not_the_resolved_address(
    dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klap_provider.files.safe_http.is_public", lambda _: True)
    dns["talks.example.com"] = ["127.0.0.1"]
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hear() -> None:
            with server.accept()[0] as connection:
                hello.append(connection.recv(4096))

        thread = threading.Thread(target=hear)
        thread.start()
        with pytest.raises(requests.RequestException):
            safe_request("GET", f"https://talks.example.com:{server.getsockname()[1]}/a", local=False, timeout=SOON)
        thread.join()
    assert b"talks.example.com" in hello[0]


@pytest.mark.parametrize("first", ["127.0.0.2", "::1"])
def test_each_address_of_a_name_is_tried_under_the_names_own_host_header(
    inside: int, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    # The test's machine has no public address: here the loopback interface counts as one.
    monkeypatch.setattr("klap_provider.files.safe_http.is_public", lambda _: True)
    dns["talks.example.com"] = [f"{first} 127.0.0.1"]
    assert safe_request("GET", f"http://talks.example.com:{inside}/a", local=False, timeout=SOON).status_code == 200
    ((_, headers),) = Inside.seen
    assert headers["host"] == f"talks.example.com:{inside}"


def test_local_hosts_are_allowed_with_a_local_klap(inside: int) -> None:
    assert safe_request("GET", f"http://127.0.0.1:{inside}/to?/a", local=True, timeout=SOON).status_code == 200
    assert [path for path, _ in Inside.seen] == ["/to?/a", "/a"]


def test_three_redirects_are_followed_without_tls_on_this_machine(inside: int) -> None:
    url = f"http://127.0.0.1:{inside}/to?/to?/to?/a"
    assert safe_request("GET", url, local=True, encrypted=True, timeout=SOON).status_code == 200
    assert [path for path, _ in Inside.seen] == ["/to?/to?/to?/a", "/to?/to?/a", "/to?/a", "/a"]


def test_the_body_of_a_redirect_is_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as first:
                first.recv(4096)
                first.sendall(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 9\r\n\r\n")
                with server.accept()[0] as second:
                    first.settimeout(2)
                    assert first.recv(1) == b""
                    second.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
                    over.wait(10)

        server.settimeout(5)
        over, thread = threading.Event(), threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/to"
        with safe_request("GET", url, local=True, timeout=SOON) as response:
            assert response.status_code == 200
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/a", "http://[::1]:{port}/a", "file:///etc/passwd", "//["]
)
def test_redirects_are_checked_in_the_same_way(
    inside: int, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setattr("klap_provider.files.safe_http.is_public", lambda _: True)  # so that the first hop is allowed
    dns["talks.example.com"] = ["127.0.0.1"]
    with pytest.raises(RefusedAddressError):
        safe_request(
            "GET", f"http://talks.example.com:{inside}/to?{location.format(port=inside)}", local=False, timeout=SOON
        )
    assert len(Inside.seen) == 1


@pytest.mark.parametrize(
    ("url", "more", "words"),
    [
        ("http://10.0.0.1/a?SECRET", {"local": False}, "private network"),
        ("http://10.0.0.1/a?SECRET", {"encrypted": True}, "is not an https address"),
        ("ftp://10.0.0.1/a?SECRET", {}, "is not an http address"),
        ("http://127.0.0.1:{port}/to?//[SECRET", {}, "redirects to an invalid address"),
        ("http://127.0.0.1:{port}/to?/to?/to?/to?/a?SECRET", {}, "More than 3 redirects"),
    ],
)
def test_no_refusal_shows_a_signature(inside: int, url: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedAddressError, match=words) as refused:
        safe_request("GET", url.format(port=inside), **{"local": True, "timeout": SOON, **more})
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("local_dns", [True, False])
def test_no_credentials_of_this_machine_are_sent(
    inside: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_dns: bool
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    host = "localhost" if local_dns else "127.0.0.1"
    safe_request("GET", f"http://{host}:{inside}/to?http://127.0.0.1:{inside}/a", local=True, timeout=SOON)
    assert len(Inside.seen) == 2
    assert not [headers for _, headers in Inside.seen if "authorization" in headers]
    assert problems({f"http://127.0.0.1:{inside}/gone": True}) != {}
    assert not [headers for _, headers in Inside.seen if "authorization" in headers]


def test_a_proxy_of_the_environment_gets_the_requests(inside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{inside}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert safe_request("GET", "http://talks.example.com/a", local=False, timeout=SOON).status_code == 200
    assert [path for path, _ in Inside.seen] == ["http://talks.example.com/a"]
    with pytest.raises(RefusedAddressError):
        safe_request("GET", "http://169.254.169.254/latest/meta-data", local=False, timeout=SOON)
    assert len(Inside.seen) == 1


def test_videos_of_youtube_are_not_checked(inside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{inside}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert problems({"http://youtu.be/00000000000": False, "http://talks.example.com/a": False}) == {}
    assert {path for path, _ in Inside.seen} == {"http://talks.example.com/a"}


def test_a_list_does_not_reveal_hosts_of_the_network(inside: int, dns: dict[str, list[str]]) -> None:
    dns["wiki.example.com"] = ["127.0.0.1"]
    urls = [f"http://{host}:{inside}/gone" for host in ("127.0.0.1", "127.1", "localhost", "wiki.example.com")]
    assert problems(dict.fromkeys(urls, False)) == {}
    assert Inside.seen == []
    assert problems({urls[0]: True}) == {urls[0]: "HTTP 404"}
    assert Inside.seen[-1][1]["range"] == "bytes=0-0", "no more is read than needed"


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/\u00fcber uns \u6771\u4eac.mp4".encode(), "/%C3%BCber%20uns%20%E6%9D%B1%E4%BA%AC.mp4"),
        (
            "/caf\u00c5\u2026.mp4?a=\u00e9".encode(),
            "/caf%C3%85%E2%80%A6.mp4?a=%C3%A9",
        ),
        (b"/caf%C3%A9.mp4?a=%2F&b=1", "/caf%C3%A9.mp4?a=%2F&b=1"),
    ],
)
def test_a_redirect_requests_the_exact_bytes_of_its_location(location: bytes, asked: str) -> None:
    answers = [
        b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]
    lines: list[bytes] = []

    def answer(server: socket.socket) -> None:
        for each in answers:
            with server.accept()[0] as connection:
                lines.append(connection.recv(4096).partition(b"\r\n")[0])
                connection.sendall(each)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a"
        assert safe_request("GET", url, local=True, timeout=SOON).status_code == 200
        thread.join()
    assert lines[1] == f"GET {asked} HTTP/1.1".encode()


def test_a_redirect_to_a_host_in_raw_utf_8_is_followed(
    inside: int, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klap_provider.files.safe_http.is_public", lambda _: True)
    dns |= {"talks.example.com": ["127.0.0.1"], "xn--bcher-kva.example.com": ["127.0.0.1"]}
    Inside.location = f"http://b\u00fccher.example.com:{inside}/a".encode().decode("latin-1")
    assert safe_request("GET", f"http://talks.example.com:{inside}/raw", local=False, timeout=SOON).status_code == 200
    assert Inside.seen[-1][1]["host"] == f"xn--bcher-kva.example.com:{inside}"


def test_a_signature_is_masked_before_it_can_be_logged(inside: int, supervisor: Any) -> None:
    safe_request("GET", f"http://127.0.0.1:{inside}/to?/a?X-Amz-Signature=s3cr3tsignature", local=True, timeout=SOON)
    assert "X-Amz-Signature=s3cr3tsignature" in supervisor.masked


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_slow_headers_end_at_the_timeout(start: bytes) -> None:
    with Endless(start, b"x") as server, pytest.raises(requests.Timeout):
        safe_request("GET", f"{server.url}/a?SECRET", local=True, timeout=SOON, longest=0.3)


def test_a_slow_server_of_one_video_does_not_delay_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klap_provider.files.preflight.LONGEST", 0.3)
    with Endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"x") as server:
        assert problems({f"{server.url}/a.mp4": True}) == {}


def test_a_hanging_dns_lookup_ends_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(10) and [])
    with pytest.raises(requests.Timeout):
        safe_request("GET", "http://talks.example.com/a", local=False, timeout=SOON, longest=0.3)
    over.set()


@pytest.mark.parametrize("scheme", ["HTTP", "Http"])
def test_the_case_of_a_scheme_does_not_matter(inside: int, scheme: str) -> None:
    assert safe_request("GET", f"{scheme}://127.0.0.1:{inside}/a", local=True, timeout=SOON).status_code == 200
