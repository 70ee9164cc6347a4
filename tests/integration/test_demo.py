"""What the commands of demo/ refuse, print and delete before Airflow starts."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import requests

from demo.airflow import LocalAirflow, free_ports
from tests.support.api_server import ADMIN, ApiServer
from tests.support.checkout import Checkout

if TYPE_CHECKING:
    from pathlib import Path

TALK = "https://example.com/talk.mp4"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a check-out, ünd %20 more")


@pytest.mark.parametrize(
    ("command", "environ", "words"),
    [
        ("demo", {"DAG": "nope"}, ["nope is not in", "klap_caption_video, klap_generate_shorts"]),
        ("demo", {"DAG": "nope", "PYTHONIOENCODING": "ascii"}, ["nope is not in", "klap_caption_video"]),
        ("demo", {"DAG": "klap_generate_shorts_batch"}, ["has no parameter source_video_url", "klap_caption_video"]),
        ("demo", {"VIDEO_URL": "notaurl"}, ["VIDEO_URL cannot be used", "source_video_url"]),
        ("demo", {"VIDEO_URL": "https://"}, ["VIDEO_URL cannot be used"]),
        ("demo", {"VIDEO_URL": "/home/me/talk.mp4"}, ["VIDEO_URL cannot be used"]),
        ("demo", {"VIDEO_URL": "s3://aws_default@bucket/talk.mp4"}, ["VIDEO_URL", "object storage", "make up"]),
        ("demo", {"VIDEO_URL": "https://www.youtube.com/watch?v=dQw4w9WgXcQ"}, ["YouTube", "KLAP_API_KEY"]),
        ("demo", {"VIDEO_URL": "https://youtu.be/dQw4w9WgXcQ", "KLAP_API_KEY": " "}, ["YouTube", "KLAP_API_KEY"]),
        ("demo", {"KLAP_API_KEY": "kak_no-real-key"}, ["bills you", "VIDEO_URL"]),
        ("demo", {"KLAP_API_KEY": "kak_no-real-key", "VIDEO_URL": " "}, ["bills you", "VIDEO_URL"]),
        ("demo", {"KLAP_API_KEY": "kak_01 23456789", "VIDEO_URL": TALK}, ["KLAP_API_KEY cannot be used", "characters"]),
        ("up", {"KLAP_API_KEY": "kak"}, ["KLAP_API_KEY cannot be used"]),
        ("demo", {"KLAP_API_KEY": "kak_no-real-key", "VIDEO_URL": "http://localhost:8000/talk.mp4"}, ["VIDEO_URL"]),
        ("up", {"PORT": "http"}, ["PORT must be a number from 1 to 65535"]),
        ("up", {"PORT": "0"}, ["PORT must be a number from 1 to 65535"]),
        ("up", {"PORT": "65536"}, ["PORT must be a number from 1 to 65535"]),
        ("up", {"PORT": "²"}, ["PORT must be a number from 1 to 65535"]),
    ],
)
def test_invalid_options_are_refused_before_anything_starts(
    checkout: Checkout, command: str, environ: dict[str, str], words: list[str]
) -> None:
    ended = checkout.make(command, **environ)
    assert ended.returncode == 2  # make's exit code if a command fails
    for word in words:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not checkout.state.exists()


def test_a_key_may_have_a_newline_and_an_empty_key_is_no_key(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        checkout.make("up", PORT=port, KLAP_API_KEY="kak_no-real-key\n")
        assert [file.name for file in checkout.state.iterdir()] == ["klap.lock"]
        (checkout.state / "klap.lock").unlink()
        checkout.make("up", PORT=port, KLAP_API_KEY=" ")
        assert [file.name for file in checkout.state.iterdir()] == ["sandbox.lock"]


def test_a_broken_dag_file_is_named_beside_working_ones(checkout: Checkout) -> None:
    (checkout.folder / "dags" / "broken.py").write_text("from airflow.sdk import DAG, nothing_like_it")
    ended = checkout.make("demo", DAG="mine")
    assert "broken.py cannot be imported: ImportError" in ended.stderr
    assert "klap_caption_video, klap_generate_shorts" in ended.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_of_another_program_is_named_with_what_to_do(checkout: Checkout, host: str) -> None:
    with socket.create_server((host, 0)) as taken:
        port = taken.getsockname()[1]
        ended = checkout.make("up", f"PORT={port}")
    assert f"Port {port} is used by another program. Set another port, such as: make up PORT=" in ended.stderr
    assert ended.returncode == 2


def test_a_port_of_another_airflow_of_ours_is_named_with_its_address(checkout: Checkout) -> None:
    with checkout.locked("klap", "http://127.0.0.1:8123"):
        ended = checkout.make("up", "PORT=8123")
    assert "Port 8123 is used by the Airflow at http://127.0.0.1:8123" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (["up"], "sandbox"),
        (["up", "PORT=9000"], "sandbox"),
        (["up", "KLAP_API_KEY=kak_no-real-key"], "klap"),
        (["demo", "KLAP_API_KEY=kak_no-real-key", f"VIDEO_URL={TALK}"], "klap"),
        (["demo"], "demo"),
        (["reset", "YES=1"], "sandbox"),
        (["reset", "YES=1"], "demo"),
        (["clean"], "klap"),
    ],
)
def test_a_second_start_names_the_first_one_and_changes_nothing(
    checkout: Checkout, arguments: list[str], folder: str
) -> None:
    kept = checkout.state / folder / "airflow.db"
    kept.parent.mkdir(parents=True)
    kept.touch()
    with checkout.locked(folder, "http://127.0.0.1:8123") as pid:
        ended = checkout.make(*arguments)
        assert "make up is already running: http://127.0.0.1:8123" in ended.stderr
        assert f"kill {pid}" in ended.stderr
        assert ended.returncode == 2
        assert psutil.pid_exists(pid)
    assert kept.exists()


def test_a_new_installation_is_refused_while_the_old_one_runs(checkout: Checkout) -> None:
    (checkout.folder / ".venv" / "ready").unlink()
    with checkout.locked("sandbox", "http://127.0.0.1:8123"):
        ended = checkout.make("up")
    assert "make up is already running: http://127.0.0.1:8123" in ended.stderr
    assert (checkout.folder / ".venv" / "bin" / "python").exists()


@pytest.mark.parametrize("command", ["up", "demo", "cluster"])
def test_an_old_python_is_refused_with_how_to_choose_another(checkout: Checkout, command: str, tmp_path: Path) -> None:
    (checkout.folder / ".venv" / "ready").unlink()
    old = tmp_path / "python3.9"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2); $2"\n')
    old.chmod(0o755)
    ended = checkout.make(command, f"PYTHON={old}")
    assert f"Python 3.10 or newer is needed, and {old} is 3.9." in ended.stderr
    assert f"make PYTHON=python3.12 {command}" in " ".join(ended.stderr.split())


def test_an_installation_without_a_network_fails_and_can_be_repeated(checkout: Checkout) -> None:
    (checkout.folder / ".venv" / "ready").unlink()
    nowhere = dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), "http://127.0.0.1:1/simple")
    ended = checkout.make("setup", **nowhere, PIP_RETRIES="0", PIP_NO_INDEX="1", PIP_FIND_LINKS="/nowhere")
    assert "Check the network" in ended.stderr + ended.stdout
    assert ended.returncode == 2
    assert not (checkout.folder / ".venv" / "ready").exists()


def test_a_real_key_is_refused_for_the_cluster(checkout: Checkout) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "demo", "cluster"],
        cwd=checkout.folder,
        env=checkout.environ(KLAP_API_KEY="kak_no-real-key"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "make cluster KLAP_API_KEY=" in ended.stderr
    assert not checkout.state.exists()


class TestReset:
    """``make reset`` deletes the kept files after a confirmation."""

    @pytest.fixture(autouse=True)
    def kept(self, checkout: Checkout) -> list[Path]:
        files = [
            checkout.state / "klap" / "klap_shorts" / "task" / "092_talk.mp4",
            checkout.state / "sandbox" / "airflow.db",
            checkout.folder / "shorts" / "task" / "071_talk.mp4",
        ]
        for file in files:
            file.parent.mkdir(parents=True)
            file.write_bytes(bytes(1_500_000))
        return files

    def test_refuses_without_a_terminal(self, checkout: Checkout, kept: list[Path]) -> None:
        ended = checkout.make("reset")
        assert "make reset YES=1" in ended.stderr
        assert ended.returncode == 2
        assert all(file.exists() for file in kept)

    @pytest.mark.parametrize("no", ["0", "no", "", "false"])
    def test_accepts_only_yes(self, checkout: Checkout, kept: list[Path], no: str) -> None:
        assert checkout.make("reset", f"YES={no}").returncode == 2
        assert all(file.exists() for file in kept)

    def test_deletes_everything_with_yes_and_lists_it(self, checkout: Checkout, kept: list[Path]) -> None:
        ended = checkout.make("reset", "YES=1")
        assert ended.returncode == 0
        assert "paid for with KLAP_API_KEY: 1 MP4 files, 2 MB" in ended.stdout
        assert "you pay again" in ended.stdout
        assert not any(file.exists() for file in kept)
        assert "There is nothing to delete." in checkout.make("reset").stdout

    @pytest.mark.parametrize(("answer", "deletes"), [(b"yes\n", True), (b"\n", False), (b"n\n", False), (b"\4", False)])
    def test_asks_on_a_terminal(self, checkout: Checkout, kept: list[Path], answer: bytes, deletes: bool) -> None:
        code, output = self.on_a_terminal(checkout, answer)
        assert b"Type yes to delete all of this:" in output
        assert (code == 0) == deletes
        assert all(file.exists() != deletes for file in kept)

    def test_deletes_nothing_when_interrupted(self, checkout: Checkout, kept: list[Path]) -> None:
        code, output = self.on_a_terminal(checkout, b"\3")
        assert b"Traceback" not in output
        assert code != 0
        assert all(file.exists() for file in kept)

    def test_ends_with_its_message_when_interrupted_while_it_prints(self) -> None:
        program = """
import io, os, signal, sys
from demo.state import set_up_process

class Terminal(io.FileIO):
    def write(self, text):
        os.kill(os.getpid(), signal.SIGINT)
        return super().write(text)

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Terminal(1, "wb", closefd=False)))
set_up_process()
print("Type yes", flush=True)
"""
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "Stopping …" in ended.stdout
        assert "Traceback" not in ended.stderr
        assert ended.returncode == 128 + signal.SIGINT

    def test_keeps_the_target_of_a_link(self, checkout: Checkout, tmp_path: Path) -> None:
        elsewhere = tmp_path / "other disk"
        shutil.move(checkout.folder / "shorts", elsewhere)
        (checkout.folder / "shorts").symlink_to(elsewhere)
        assert checkout.make("reset", "YES=1").returncode == 0
        assert list(elsewhere.rglob("*.mp4"))

    def test_is_the_only_command_that_deletes_paid_files(self, checkout: Checkout, kept: list[Path]) -> None:
        assert checkout.make("clean").returncode == 0
        assert not (checkout.folder / ".venv").exists()
        assert all(file.exists() for file in kept)

    @staticmethod
    def on_a_terminal(checkout: Checkout, answer: bytes) -> tuple[int, bytes]:
        """Run ``make reset`` on a terminal, type an answer to its question, and return the exit code and the output."""
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(checkout.folder)
            os.execvpe("make", ["make", "reset"], checkout.environ())
        output = b""
        try:
            while b"all of this: " not in output:
                output += os.read(terminal, 1000)
            os.write(terminal, answer)
            while piece := os.read(terminal, 1000):
                output += piece
        except OSError:  # EIO: all processes of the terminal have ended
            pass
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("seconds", [0.3, 1.5, 4])
def test_an_interrupted_start_leaves_no_process_and_no_traceback(
    checkout: Checkout, ending: signal.Signals, seconds: float
) -> None:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "up"],
        cwd=checkout.folder,
        env=checkout.environ(PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(ending, signal.SIG_DFL),  # background jobs may ignore the signal
    )
    time.sleep(seconds)
    process.send_signal(ending)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    assert process.returncode == 128 + ending
    assert left_over(checkout) == []


def test_processes_of_a_killed_start_are_ended_by_the_next_one(checkout: Checkout) -> None:
    folder = str(checkout.state / "sandbox")
    orphan = subprocess.Popen(["sleep", "60"], env={**os.environ, "KLAP_DEMO_FOLDER": folder})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        checkout.make("up", PORT=str(taken.getsockname()[1]))
    assert orphan.wait(5) == -signal.SIGKILL


def left_over(checkout: Checkout) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(checkout.state) in process.environ().get("KLAP_DEMO_FOLDER", ""):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("environ", "excepted"),
    [
        ({}, []),
        ({"NO_PROXY": "intranet.example, .corp.example"}, ["intranet.example", "a.corp.example"]),
        ({"no_proxy": "intranet.example"}, ["intranet.example"]),
        ({"no_proxy": "intranet.example", "NO_PROXY": "other.example"}, ["intranet.example", "other.example"]),
        ({"NO_PROXY": "*"}, ["example.com"]),
        ({"NO_PROXY": "localhost,127.0.0.1"}, []),
    ],
)
def test_a_proxy_is_used_except_for_this_machine(
    environ: dict[str, str], excepted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environ, "http_proxy": "http://proxy.example:3128"}.items():
        monkeypatch.setenv(name, value)
    started = LocalAirflow(tmp_path, connections={}).env
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, started[name])
    for host in ("127.0.0.1", "localhost", *excepted):
        assert requests.utils.should_bypass_proxies(f"http://{host}:8080/x", None), host
    if environ.get("NO_PROXY") != "*":
        assert not requests.utils.should_bypass_proxies("http://api.klap.app/v2", None)


def test_all_task_instances_of_a_run_are_read(tmp_path: Path) -> None:
    names = [("submit", -1), *((step, index) for step in ("export", "deliver") for index in range(120))]
    tasks = [{"operator": operator, "map_index": index} for operator, index in names]
    run = {"dag_id": "klap_generate_shorts", "run_id": "r", "at": "2026-11-01T10:00:00+00:00", "tasks": tasks}
    with ApiServer(tmp_path) as server:
        server.run("-m", "airflow", "dags", "reserialize")
        server.seed(runs=[run])
        server.airflow._session.headers.update(server.token(ADMIN))
        found = server.airflow.task_instances("klap_generate_shorts", "r")
    assert sorted((ti["task_id"], ti["map_index"]) for ti in found) == sorted(names)


def test_the_lock_names_the_command_that_uses_a_folder(checkout: Checkout) -> None:
    with checkout.locked("sandbox", "http://127.0.0.1:8123") as pid:
        lock = json.loads((checkout.state / "sandbox.lock").read_text())
    assert lock == {"command": "make up", "pid": pid, "url": "http://127.0.0.1:8123"}
