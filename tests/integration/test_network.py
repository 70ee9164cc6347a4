"""Workers and the triggerer trust the same certificates and use the same proxy."""

from __future__ import annotations

import asyncio
import socket
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.api import calls
from klap_provider.api.requests import VideoRequest
from klap_provider.errors import KlapConfigError, KlapConnectionError
from klap_provider.files.network import TRUST_STORES
from klap_provider.files.safe_http import safe_request
from klap_provider.hooks import KlapHook
from klap_provider.hooks.async_client import KlapAsyncClient
from klap_provider.hooks.client import KlapClient
from klap_provider.rules.retry import ONCE
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL = calls.list_exports()


def on_a_worker() -> Any:
    return KlapClient().call(POLL, backoff=ONCE)


def by_the_hook() -> Any:
    hook = KlapHook()
    hook.method = "GET"
    return hook.run("exports").json()


def in_the_triggerer() -> Any:
    async def poll() -> Any:
        async with KlapAsyncClient() as client:
            return await client.call(POLL)

    return asyncio.run(poll())


@pytest.fixture(params=[on_a_worker, in_the_triggerer])
def poll(request: pytest.FixtureRequest) -> Callable[[], Any]:
    found: Callable[[], Any] = request.param
    return found


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TRUST_STORES, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """A Klap whose certificate comes from a CA of its own, and that CA's certificate."""
    certificate = tmp_path_factory.mktemp("tls") / "ca.pem"
    with Sandbox(https=certificate) as klap:
        yield klap, certificate


class Proxy:
    """A proxy that records its requests; a context manager."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        method, target, _ = head.decode().split("\r\n")[0].split(" ")
        self.asked.append(f"{method} {target}")
        address = target.removeprefix("http://").partition("/")[0]
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                server.sendall(head.replace(f"http://{address}".encode(), b"", 1))
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            self._pump(server, client)
        client.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.parametrize("variable", TRUST_STORES)
def test_a_trust_store_in_the_environment_is_used_by_all_processes(
    own_ca: tuple[Sandbox, Path],
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    poll: Callable[[], Any],
    variable: str,
) -> None:
    klap, certificate = own_ca
    connect(klap.url)
    with pytest.raises(KlapConnectionError, match="cannot be reached"):
        poll()
    monkeypatch.setenv(variable, str(certificate))
    assert poll() == []


def test_the_hook_and_downloads_use_the_same_trust_store(
    own_ca: tuple[Sandbox, Path], connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    klap, certificate = own_ca
    connect(klap.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert by_the_hook() == []
    with safe_request("GET", f"{klap.root}/spaces/none", local=True, timeout=(5, 5), headers={}) as answer:
        assert answer.status_code == 404


def test_a_folder_can_be_a_trust_store(
    own_ca: tuple[Sandbox, Path],
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    poll: Callable[[], Any],
    tmp_path: Path,
) -> None:
    klap, _ = own_ca
    connect(klap.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with pytest.raises(KlapConnectionError, match="cannot be reached"):
        poll()


@pytest.mark.parametrize("variable", TRUST_STORES)
def test_a_missing_trust_store_is_named_with_its_variable(
    own_ca: tuple[Sandbox, Path],
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    poll: Callable[[], Any],
    tmp_path: Path,
    variable: str,
) -> None:
    klap, _ = own_ca
    connect(klap.url)
    file = tmp_path / "ca.pem"
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(KlapConfigError, match=rf"{file} \({variable}\) cannot be read"):
        poll()
    file.write_text("no certificate")
    with pytest.raises(KlapConfigError, match=rf"{file} \({variable}\) cannot be read"):
        poll()


def test_a_request_without_tls_reads_no_certificates(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any], tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert poll() == []
    with safe_request("GET", f"{klap.root}/spaces/none", local=True, timeout=(5, 5), headers={}) as answer:
        assert answer.status_code == 404


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_in_the_environment_is_used_by_all_processes(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any], variable: str
) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert poll() == []
        assert proxy.asked == [f"GET {klap.url}/exports"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert poll() == []
        assert len(proxy.asked) == 1


def test_a_socks_proxy_is_named_and_nothing_is_sent(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any]
) -> None:
    submit = calls.submit_video(VideoRequest(source_video_url="https://example.com/talk.mp4"))
    with monkeypatch.context() as behind_a_proxy:
        behind_a_proxy.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
        with pytest.raises(KlapConfigError, match="socks5 proxy"):
            poll()
        with pytest.raises(KlapConfigError) as stopped:
            KlapClient().call(submit, until=9e9)
    assert stopped.value.refused
    assert klap.requests() == []


def test_tls_goes_through_the_proxy_and_is_checked_against_the_trust_store(
    own_ca: tuple[Sandbox, Path], connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any]
) -> None:
    klap, certificate = own_ca
    connect(klap.url)
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert poll() == []
        assert proxy.asked == [f"CONNECT {klap.root.removeprefix('https://')}"]
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(KlapConnectionError):
            poll()


def test_an_unreachable_proxy_is_not_a_response_of_klap(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any]
) -> None:
    with monkeypatch.context() as behind_a_proxy:
        behind_a_proxy.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        with pytest.raises(KlapConnectionError):
            poll()
    assert klap.requests() == []


@pytest.mark.parametrize(
    "proxy",
    [
        "http://ada:s3cr[t@proxy.example.com:3128",
        "http://ada:s3cr#t@proxy.example.com:3128",
        "http://ada:s3crt@proxy.example.com:99999",
        "http://ada:s3crt@",
        "s3crt://proxy.example.com",
    ],
)
def test_an_invalid_proxy_is_named_without_its_password(
    connect: Callable[..., None], poll: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    connect("https://klap.example.com/v2")
    monkeypatch.setenv("ALL_PROXY", proxy)
    for request in (poll, lambda: safe_request("GET", "https://talks.example.com/a", local=False, timeout=(1, 1))):
        with pytest.raises(KlapConfigError, match=r"HTTPS_PROXY.*Correct the variable") as wrong:
            request()
        assert wrong.value.refused
        assert "s3cr" not in "".join(traceback.format_exception(wrong.value))
