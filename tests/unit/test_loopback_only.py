"""A test that tries to reach another machine fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: A test for each way to leave this machine. Each swallows the error, as careless code does.
ATTEMPTS = """
import asyncio, socket, subprocess, sys, threading

import aiohttp
import pytest
import requests


def connect(host):
    socket.create_connection((host, 9), timeout=1)


def connect_by_method(host):
    socket.socket().connect((host, 9))


def connect_without_waiting(host):
    assert socket.socket().connect_ex((host, 9)) == 0


def connect_by_asyncio(host):
    asyncio.run(asyncio.open_connection(host, 9))


def connect_by_aiohttp(host):
    async def get():
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://{host}:9")

    asyncio.run(get())


def connect_by_requests(host):
    requests.get(f"http://{host}:9", timeout=1)


def connect_in_a_thread(host):
    thread = threading.Thread(target=suppressed, args=(connect, host))
    thread.start()
    thread.join()


def connect_in_a_process(host):
    command = f"import socket; socket.create_connection(({host!r}, 9), timeout=1)"
    subprocess.run([sys.executable, "-c", command], stderr=subprocess.DEVNULL)


def send_without_a_connection(host):
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"?", (host, 9))


def resolve(host):
    socket.getaddrinfo(host, 9)


def resolve_by_asyncio(host):
    async def find():
        await asyncio.get_running_loop().getaddrinfo(host, 9)

    asyncio.run(find())


def resolve_a_name(host):
    socket.gethostbyname(host)


def resolve_an_address(host):
    socket.gethostbyaddr(host)


def resolve_a_service(host):
    socket.getnameinfo((host, 9), 0)


def suppressed(attempt, host):
    try:
        attempt(host)
    except (Exception, pytest.fail.Exception):
        pass


WAYS = [each for name, each in sorted(globals().items()) if name.startswith(("connect", "send", "resolve"))]
BY_NAME = [way for way in WAYS if way is not resolve_a_service]
BY_ADDRESS = [way for way in WAYS if way not in (resolve, resolve_a_name, resolve_by_asyncio)]


@pytest.mark.parametrize("way", BY_NAME, ids=lambda way: way.__name__)
def test_outside_by_name(way):
    suppressed(way, "talks.example.com")


@pytest.mark.parametrize("way", BY_ADDRESS, ids=lambda way: way.__name__)
def test_outside_by_address(way):
    suppressed(way, "198.51.100.1")


@pytest.mark.parametrize("host", ["198.51.100.1", "198.1", "2001:db8::1"])
def test_inside_as_an_address_needs_no_lookup(host):
    resolve(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", socket.gethostname()])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_inside(way, host):
    suppressed(way, host)


@pytest.mark.parametrize("host", ["::1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_inside_by_other_addresses(host):
    suppressed(connect, host)


@pytest.mark.parametrize("way", BY_NAME, ids=lambda way: way.__name__)
def test_inside_as_the_name_is_known_to_be_unknown(way):
    suppressed(way, "talks.invalid")


def test_inside_by_file(tmp_path):
    suppressed(socket.socket(socket.AF_UNIX).connect, str(tmp_path / "socket"))


@pytest.fixture
def careless():
    yield
    suppressed(connect, "198.51.100.2")


def test_outside_at_the_end(careless):
    pass


@pytest.fixture(scope="module")
def careless_at_the_start():
    suppressed(connect, "198.51.100.3")


def test_outside_at_the_start(careless_at_the_start):
    pass


def test_inside_after_the_others():
    pass
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return the outcomes of each attempt: of the test itself and of its teardown."""
    folder = tmp_path_factory.mktemp("attempts")
    (folder / "test_attempts.py").write_text(textwrap.dedent(ATTEMPTS))
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    del plain["KLAP_TESTS_REFUSED_CALLS"]
    plugins = [f"-p{name}" for name in ("tests.support.network", "no:cacheprovider", "no:xdist", "no:asyncio")]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", folder, "-rA", "--tb=line", *plugins, folder],
        cwd=ROOT,
        env={**plain, "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    found: dict[str, list[str]] = {}
    for outcome, test in re.findall(r"^(PASSED|ERROR|FAILED) \S+::(\S+)", ended.stdout, re.MULTILINE):
        found.setdefault(test, []).append(outcome)
    return found


def test_every_call_beyond_this_machine_fails_its_test(
    outcomes: dict[str, list[str]],
) -> None:
    outside = {test: outcome for test, outcome in outcomes.items() if test.startswith("test_outside")}
    assert len(outside) > 20
    assert set(map(tuple, outside.values())) == {("PASSED", "ERROR")}


def test_calls_within_this_machine_are_allowed(outcomes: dict[str, list[str]]) -> None:
    inside = {test: outcome for test, outcome in outcomes.items() if test.startswith("test_inside")}
    assert len(inside) > 50
    assert set(map(tuple, inside.values())) == {("PASSED",)}
