"""The sandbox starts with one command and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import psutil
import pytest
import requests

from klap_sandbox.process import FAST, SandboxProcess
from tests.support.sandbox import REPOSITORY, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "klap_sandbox"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_sandbox_with_its_ffmpeg_processes_and_files(
    end: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Sandbox(render=True) as sandbox:
        sandbox.call("POST", "/tasks/video-to-shorts", json={"source_video_url": sandbox.sample})
        while not (children := psutil.Process(sandbox.process.pid).children()):
            time.sleep(0.01)
        for child in children:
            child.suspend()  # it does not end, so a sandbox that waits for it does not end, either
        assert list(tmp_path.iterdir())

        os.kill(sandbox.process.pid, end)
        assert sandbox.process.wait() == 0
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.iterdir()) == []


def test_it_ends_while_a_response_is_delayed() -> None:
    with Sandbox() as sandbox:
        sandbox.fault("GET", "^/exports", "delay", seconds=3600)
        with socket.create_connection(("127.0.0.1", int(sandbox.root.rpartition(":")[2]))) as client:
            client.sendall(b"GET /v2/exports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n\r\n")
            while not sandbox.requests(path="^/exports"):
                time.sleep(0.01)
            sandbox.process.terminate()
            assert sandbox.process.wait() == 0


def test_it_keeps_idle_connections_longer_than_five_seconds() -> None:
    with Sandbox() as sandbox, closing(HTTPConnection(sandbox.root.removeprefix("http://"))) as client:
        client.connect()
        client.auto_open = 0  # no second connection
        for pause in (0, 5.2):
            time.sleep(pause)
            client.request("GET", "/v2/exports", headers={"Authorization": "Bearer k"})
            with client.getresponse() as response:
                assert (response.status, response.read()) == (200, b"[]")


def test_a_used_port_is_named() -> None:
    with Sandbox() as sandbox:
        port = sandbox.root.rpartition(":")[2]
        second = subprocess.run([*COMMAND, "--port", port], cwd=REPOSITORY, capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert f"Port {port}" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_keep_continues_with_the_jobs_of_the_last_sandbox(end: signal.Signals, tmp_path: Path) -> None:
    with Sandbox(render=True, keep=tmp_path / "jobs") as first:
        user = first.user()
        task = first.call("POST", "/tasks/video-to-shorts", json={"source_video_url": first.sample}).json()
        folder = first.outcome(f"/tasks/{task['id']}")["output_id"]
        shorts = first.call("GET", f"/projects/{folder}").json()
        paths = [f"/projects/{folder}/{short['id']}/exports" for short in shorts[:2]]
        done = first.call("POST", paths[0], json={}).json()
        done = first.outcome(f"{paths[0]}/{done['id']}")
        begun = first.call("POST", paths[1], json={}).json()
        paid = [entry["id"] for entry in first.ledger()]
        os.kill(first.process.pid, end)
        first.process.wait(10)

    with Sandbox(render=True, keep=tmp_path / "jobs", port=int(first.root.rpartition(":")[2])) as second:
        assert [entry["id"] for entry in second.ledger()] == paid
        assert second.call("GET", f"/projects/{folder}").json() == shorts
        for export in (done, second.outcome(f"{paths[1]}/{begun['id']}")):
            assert requests.get(export["src_url"], timeout=10).content[4:8] == b"ftyp"
        if end == signal.SIGTERM:  # a killed sandbox may not have written its latest users
            assert second.call("GET", "/exports", headers={"X-On-Behalf-Of": user}).ok
        second.reset()
    with Sandbox(keep=tmp_path / "jobs") as third:
        assert third.ledger() == []


def test_unreadable_kept_jobs_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "store.pickle").write_bytes(b"of another version")
    with Sandbox(keep=tmp_path) as sandbox:
        assert sandbox.ledger() == []


def test_a_sandbox_without_ffmpeg_warns_and_serves_a_small_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "imageio_ffmpeg.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with Sandbox(render=True) as sandbox:
        task = sandbox.call("POST", "/tasks/video-to-video", json={"source_video_url": sandbox.sample}).json()
        project = sandbox.outcome(f"/tasks/{task['id']}")["output_id"]
        export = sandbox.call("POST", f"/projects/{project}/exports").json()
        export = sandbox.outcome(f"/projects/{project}/exports/{export['id']}")
        videos = [requests.get(url, timeout=30).content for url in (sandbox.sample, export["src_url"])]
    assert videos[0] == videos[1]
    assert videos[0][4:8] == b"ftyp"
    assert "klap-sandbox[rendering]" in capfd.readouterr().err


def test_host_listens_on_another_address(tmp_path: Path) -> None:
    with SandboxProcess("--host", "127.0.0.2", *FAST) as sandbox:
        assert sandbox.url.startswith("http://127.0.0.2:")
        assert requests.get(sandbox.sample, timeout=30).ok
        with pytest.raises(requests.ConnectionError):
            requests.get(sandbox.root.replace("127.0.0.2", "127.0.0.1"), timeout=30)
    refused = subprocess.run([*COMMAND, "--host", "192.0.2.1"], cwd=REPOSITORY, capture_output=True, text=True)
    assert "of 192.0.2.1 cannot be used" in refused.stderr


def test_help_names_every_option() -> None:
    ended = subprocess.run([*COMMAND, "--help"], cwd=REPOSITORY, capture_output=True, text=True, timeout=20)
    for option in ("--host", "--port", "--task-seconds", "--export-seconds", "--no-render", "--keep", "--verbose"):
        assert option in ended.stdout
