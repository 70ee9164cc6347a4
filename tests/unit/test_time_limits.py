"""Every test has a time limit, and only tests that exceeded it are retried, in suites that allow it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LIMITS

ROOT = Path(__file__).resolve().parents[2]

#: Each of these fails at its first try.
FIRST_TRIES = """
import time

import pytest


@pytest.fixture(scope="module")
def tries():
    return []


@pytest.fixture
def is_first_try(tries, request):
    tries.append(request.node.name)
    return tries.count(request.node.name) == 1


def test_waits_in_vain(is_first_try):
    if is_first_try:
        raise TimeoutError("waited 1 s for nothing")


@pytest.mark.timeout(1)
def test_hangs(is_first_try):
    if is_first_try:
        time.sleep(60)


def test_is_wrong(is_first_try):
    assert not is_first_try


def test_fails_otherwise(is_first_try):
    if is_first_try:
        raise RuntimeError("TimeoutError: not really")
"""


def limit_of(item: pytest.Item, config: pytest.Config) -> float:
    own = item.get_closest_marker("timeout")
    return float(own.args[0] if own else config.getini("timeout"))


def test_every_test_has_the_time_limit_of_its_suite(
    request: pytest.FixtureRequest,
) -> None:
    usual = float(request.config.getini("timeout"))
    assert usual > 0
    for item in request.session.items:
        marks = [LIMITS[mark.name] for mark in item.iter_markers() if mark.name in LIMITS]
        assert limit_of(item, request.config) == max(marks, default=usual)
    assert min(LIMITS.values()) > usual


def run(folder: Path, *options: str) -> str:
    """Run the tests with this project's settings, and return what pytest prints."""
    (folder / "test_first_tries.py").write_text(FIRST_TRIES)
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "no:xdist"]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *options, folder],
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_only_tests_that_ran_out_of_time_are_repeated_and_listed(tmp_path: Path) -> None:
    printed = run(tmp_path, "--reruns", "1")
    assert set(re.findall(r"^RERUN \S+::(\w+)", printed, re.MULTILINE)) == {"test_waits_in_vain", "test_hangs"}
    assert set(re.findall(r"^FAILED \S+::(\w+)", printed, re.MULTILINE)) == {"test_is_wrong", "test_fails_otherwise"}


def test_tests_are_repeated_only_if_a_suite_asks_for_it(tmp_path: Path) -> None:
    printed = run(tmp_path)
    assert len(re.findall(r"^FAILED ", printed, re.MULTILINE)) == 4
    assert "RERUN" not in printed


@pytest.mark.parametrize(
    ("target", "retries"),
    [(target, False) for target in ("test", "test-clients", "fuzz", "test-storage")]
    + [(target, True) for target in ("test-chaos", "test-cluster", "test-config", "test-frozen", "test-browser")],
)
def test_make_repeats_only_tests_with_a_whole_airflow(target: str, *, retries: bool) -> None:
    planned = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [line for line in planned.splitlines() if "-m pytest" in line]
    assert commands
    assert {"--reruns 1" in command for command in commands} == {retries}
