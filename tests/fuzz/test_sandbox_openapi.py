"""Schemathesis checks that the sandbox behaves as its own OpenAPI document describes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from klap_sandbox.process import FAST, SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Checks of Schemathesis that the sandbox fails on purpose.
EXCLUDED = {
    "negative_data_rejection": "it is as lenient as Klap",
    "positive_data_acceptance": "it refuses URLs without a host, and a max_duration below min_duration",
    "ignored_auth": "any text is a valid API key",
}
#: Options of ``make test`` and of ``make fuzz``.
FEW = ("--phases", "fuzzing", "--max-examples", "10")
MANY = ("--phases", "coverage,fuzzing,stateful", "--max-examples", "200")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(*FAST) as running:
        yield running


@pytest.mark.parametrize("options", [FEW, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize("paths", ["^/v2/", "^/_sandbox/"])
def test_it_behaves_as_its_document_describes(
    sandbox: SandboxProcess, paths: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    sandbox.reset()
    command = [Path(sys.executable).with_name("st"), "--no-color", "run", f"{sandbox.root}/openapi.json", *options]
    command += ["--include-path-regex", paths, "--header", f"Authorization: Bearer {sandbox.api_key}"]
    command += ["--exclude-checks", ",".join(EXCLUDED), "--generation-deterministic", "--warnings", "off"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_call_describes_its_parameters_and_errors(sandbox: SandboxProcess) -> None:
    document = requests.get(f"{sandbox.root}/openapi.json", timeout=30).json()
    calls = {
        (method, path): call
        for path, methods in document["paths"].items()
        for method, call in methods.items()
        if path.startswith("/v2/")
    }
    assert len(calls) == 12
    for (method, path), call in calls.items():
        described = {"401", "403", "422", "429"} | ({"200", "201", "400"} if method == "post" else {"200"})
        described |= {"404"} if "{" in path else set()
        described |= {"402"} if method == "post" and not path.startswith("/v2/users") else set()
        assert call["responses"].keys() == described, (method, path)
        assert all(response["content"]["application/json"]["schema"] for response in call["responses"].values())
        assert {each["name"] for each in call.get("parameters", []) if each["in"] == "path"} == {
            part[1:-1] for part in path.split("/") if part.startswith("{")
        }
        assert call["security"]
