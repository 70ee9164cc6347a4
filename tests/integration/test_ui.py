"""What the plugin registers and serves for the Shorts tab and the Klap page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from demo.airflow import LocalAirflow
from demo.dist import BUILD
from klap_provider.dag_parts.fields import properties_of
from klap_provider.plugin import KlapPlugin
from klap_provider.ui.server import STATIC

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*"))
APPS = {app["name"]: app for app in KlapPlugin.react_apps}
TYPES = {".js": ("text/javascript", "application/javascript"), ".svg": ("image/svg+xml",)}


@pytest.fixture
def client() -> TestClient:
    """Of an app that mounts the plugin's files as Airflow does."""
    app = FastAPI()
    (ui,) = KlapPlugin.fastapi_apps
    app.mount(ui["url_prefix"], ui["app"])
    return TestClient(app)


def test_the_tab_is_on_the_run_page_and_the_page_in_the_navigation() -> None:
    assert [(app["name"], app["destination"], app["url_route"]) for app in KlapPlugin.react_apps] == [
        ("Shorts", "dag_run", "shorts"),
        ("Klap", "nav", "klap"),
    ]


@pytest.mark.parametrize("name", APPS)
def test_the_module_registers_its_component_for_airflow(name: str) -> None:
    module = STATIC / APPS[name]["bundle_url"].removeprefix("klap/")
    assert f"globalThis.{name} =" in module.read_text(encoding="utf-8")


@pytest.mark.parametrize("address", ["bundle_url", "icon", "icon_dark_mode"])
@pytest.mark.parametrize("name", APPS)
def test_the_modules_of_an_app_are_served_at_relative_addresses(name: str, address: str, client: TestClient) -> None:
    app = APPS[name]
    assert not app[address].startswith("/")
    assert client.get(f"/{app[address]}").status_code == 200


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_served_with_its_type_and_an_etag(name: str, client: TestClient) -> None:
    answer = client.get(f"/klap/{name}")
    assert answer.content == (STATIC / name).read_bytes()
    assert answer.headers["Content-Type"].partition(";")[0] in TYPES[Path(name).suffix]
    assert answer.headers["Cache-Control"] == "no-cache"
    again = client.get(f"/klap/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.headers["Cache-Control"]) == (304, "no-cache")


@pytest.mark.parametrize("name", FILES)
def test_every_module_that_a_module_imports_is_there(name: str) -> None:
    module = STATIC / name
    imported = re.findall(r'(?:from |import\()"(\..+?)"', module.read_text(encoding="utf-8"))
    assert [each for each in imported if not (module.parent / each).is_file()] == []


@pytest.mark.parametrize(
    "path", ["", "plugin.py", "../plugin.py", "%2e%2e/plugin.py", "..%2fplugin.py", "ui/static/index.js"]
)
def test_nothing_else_is_served(path: str, client: TestClient) -> None:
    assert client.get(f"/klap/{path}").status_code == 404


def test_the_static_files_accept_only_get(client: TestClient) -> None:
    assert client.post("/klap/index.js").status_code == 405


def python(code: str, **env: str) -> str:
    """Return the output of a new Python process."""
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=True
    )
    return run.stdout


def test_loading_the_plugin_imports_no_web_framework_and_no_http_client() -> None:
    imported = python(
        "import sys, airflow.plugins_manager\n"
        "had = set(sys.modules)\n"
        "import klap_provider.plugin\n"
        "print(sorted(set(sys.modules) - had))",
        PYTHONPATH=str(ROOT / "plugins"),
    )
    assert "klap_provider.links.klap" in imported
    assert not re.search("'(fastapi|starlette|requests|aiohttp)", imported)


def test_a_copy_in_the_plugins_folder_gives_the_tab_once(tmp_path: Path) -> None:
    registered = python(
        "from airflow import plugins_manager as manager\n"
        "print([app['url_prefix'] for app in manager.get_fastapi_plugins()[0]])\n"
        "print([tab['name'] for tab in manager.get_plugin_info({'react_apps'})[0]['react_apps']])",
        AIRFLOW_HOME=str(tmp_path),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
    )
    assert registered.splitlines()[-2:] == ["['/klap']", "['Shorts', 'Klap']"]


def test_the_airflow_of_the_demo_and_of_these_tests_finds_the_plugin_once(tmp_path: Path) -> None:
    airflow = LocalAirflow(tmp_path, connections={})
    found = python(
        "from airflow import plugins_manager as manager\n"
        "print([app['url_prefix'] for app in manager.get_fastapi_plugins()[0]], manager.get_import_errors())",
        **airflow.env,
    )
    assert found.splitlines()[-1] == "['/klap'] {}"


def test_the_wheel_has_all_of_its_files(tmp_path: Path) -> None:
    subprocess.run([*BUILD, "--wheel", "--out-dir", tmp_path, ROOT], timeout=60, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {f"klap_provider/ui/static/{name}" for name in FILES} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_tab_labels_the_fields_of_a_watermark_as_the_form_does() -> None:
    module = (STATIC / "card-actions.js").read_text(encoding="utf-8")
    labels = dict(re.findall(r'\["(\w+)", "([^"]+)", "\w+%?"\]', module))
    assert labels == {name: field["title"] for name, field in properties_of("Watermark").items()}
