"""A copy of the package in a plugins folder is one plugin, beside other plugins, with any ignore file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOADED = """
import json, sys
import requests
from airflow import plugins_manager
names = [plugin["name"] for plugin in plugins_manager.get_plugin_info()]
executed = [
    name for name, module in sys.modules.items()
    if "klap_provider" in (getattr(module, "__file__", None) or "") and not name.startswith("klap_provider")
]
print(json.dumps([names, executed, sys.modules["requests"] is requests]))
"""

THEIRS = """
from airflow.plugins_manager import AirflowPlugin

class Theirs(AirflowPlugin):
    name = "theirs"
"""


def loaded(plugins: Path, **env: str) -> Any:
    run = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("syntax", ["glob", "regexp"])
def test_airflow_loads_one_file_of_the_package_and_other_plugins(tmp_path: Path, syntax: str) -> None:
    plugins = tmp_path / "plugins"
    shutil.copytree(ROOT / "plugins", plugins, ignore=shutil.ignore_patterns("__pycache__"))
    (plugins / "theirs.py").write_text(THEIRS)

    names, executed, is_requests = loaded(plugins, AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX=syntax)

    assert sorted(name for name in names if name in ("klap", "theirs")) == ["klap", "theirs"]
    assert executed == ["plugin"]
    assert is_requests, "a module of the package took the place of a library"
