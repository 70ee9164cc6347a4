"""
``make dist``: build both distributions, check them, and use each in a new environment.

The provider runs its main Dag. The sandbox runs a test with its pytest fixture, without Airflow.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from demo.airflow import ROOT, LocalAirflow
from demo.run import print_step, report, run, sandbox

DIST = ROOT / "dist"
UV = [sys.executable, "-m", "uv"]

#: Builds with the hatchling of this environment, without a network.
BUILD = [*UV, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
DAG_FILE = """\
# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts
dag = klap_generate_shorts()
"""
TEST_FILE = """\
import importlib.util
import json
from urllib.request import Request, urlopen

def test_a_paid_request_is_recorded(klap):
    assert importlib.util.find_spec("airflow") is None
    headers = {"Authorization": f"Bearer {klap.api_key}", "Content-Type": "application/json"}
    body = json.dumps({"source_video_url": klap.sample}).encode()
    with urlopen(Request(f"{klap.url}/tasks/video-to-shorts", body, headers), timeout=10) as response:
        task = json.load(response)
    assert [entry["id"] for entry in klap.ledger()] == [task["id"]]
"""


def build(project: Path, folder: Path) -> Path:
    """Build the sdist and the wheel of a project into a folder, and return the wheel."""
    before = set(folder.glob("*.whl"))
    subprocess.run([*BUILD, "--out-dir", folder, project], check=True)
    (wheel,) = set(folder.glob("*.whl")) - before
    return wheel


def install(folder: Path, *packages: str | Path) -> Path:
    """Install packages into a new environment, and return its Python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    uv = [*UV, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*uv, "--constraint", ROOT / "constraints.txt", *packages], check=True)
    return python


def check_sandbox(wheel: Path, folder: Path) -> None:
    """Install the sandbox without ffmpeg and Airflow, and run its command and a test with its fixture."""
    python = install(folder / "venv", wheel, "pytest")
    subprocess.run([python.with_name("klap-sandbox"), "--help"], check=True, stdout=subprocess.DEVNULL)
    (folder / "test_sandbox.py").write_text(TEST_FILE)
    subprocess.run([python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "."], cwd=folder, check=True)


def check_provider(wheel: Path, folder: Path) -> bool:
    """Install the provider, run its main Dag on an Airflow, and return whether it delivered all shorts."""
    with sandbox() as (url, video):
        python = install(folder / "venv", wheel)
        print_step("Installed into a new environment. Starting Airflow there …")
        dags, shorts = folder / "dags", folder / "shorts"
        dags.mkdir()
        (dags / "shorts.py").write_text(DAG_FILE)
        connection = {"conn_type": "klap", "host": url, "password": "kak_sandbox", "extra": {"poke_interval": 2}}
        with LocalAirflow(
            folder / "airflow", connections={"klap_default": connection}, dags=dags, python=python
        ) as airflow:
            run_id = run(airflow, "klap_generate_shorts", {"source_video_url": video, "destination": str(shorts)})
            return report(airflow, "klap_generate_shorts", run_id)


def main() -> int:
    """Build, install and run; return the exit code."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    provider, local = build(ROOT, DIST), build(ROOT / "klap_sandbox", DIST)
    files = [*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    print_step(f"Built {provider.name} and {local.name}")
    with tempfile.TemporaryDirectory(prefix="klap-dist-") as name:
        folders = [Path(name, part) for part in ("sandbox", "provider")]
        for folder in folders:
            folder.mkdir()
        check_sandbox(local, folders[0])
        print_step("The sandbox works in a new environment without Airflow.")
        return 0 if check_provider(provider, folders[1]) else 1


if __name__ == "__main__":
    sys.exit(main())
