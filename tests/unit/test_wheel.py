"""The wheel has the package, its metadata, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from klap_provider import __version__

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_the_wheel_has_every_file_of_the_package_and_no_other(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
    files = [path for path in (PLUGINS / "klap_provider").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    package = {str(path.relative_to(PLUGINS)) for path in files}
    assert {path.suffix or path.name for path in files} == {".py", ".js", ".json", ".svg", ".typed", ".airflowignore"}
    assert there == package | {f"airflow_provider_klap-{__version__}.dist-info/{name}" for name in METADATA}
