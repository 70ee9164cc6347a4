"""``make dist``: build the distribution, check it, and run its main Dag in a new environment."""

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


def build() -> Path:
    """Build sdist and wheel into dist/, check them with twine, and return the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([*BUILD, "--out-dir", DIST, ROOT], check=True)
    files = sorted(path for path in DIST.iterdir() if path.suffix in (".gz", ".whl"))
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    (wheel,) = DIST.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install only the wheel into a new environment, and return its Python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    uv = [*UV, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*uv, "--constraint", ROOT / "constraints.txt", wheel], check=True)
    return python


def main() -> int:
    """Build, install and run; return the exit code."""
    wheel = build()
    print_step(f"Built {wheel.name}")
    with tempfile.TemporaryDirectory(prefix="klap-dist-") as name, sandbox() as (url, video):
        folder = Path(name)
        python = install(wheel, folder / "venv")
        print_step("Installed into a new environment. Starting Airflow there …")
        dags, shorts = folder / "dags", folder / "shorts"
        dags.mkdir()
        (dags / "shorts.py").write_text(DAG_FILE)
        connection = {"conn_type": "klap", "host": url, "password": "kak_sandbox", "extra": {"poke_interval": 2}}
        with LocalAirflow(
            folder / "airflow", connections={"klap_default": connection}, dags=dags, python=python
        ) as airflow:
            run_id = run(airflow, "klap_generate_shorts", {"source_video_url": video, "destination": str(shorts)})
            return 0 if report(airflow, "klap_generate_shorts", run_id) else 1


if __name__ == "__main__":
    sys.exit(main())
