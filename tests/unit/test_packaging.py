"""Both distributions declare what they need, and their wheels have all files of the package and no others."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from demo import dist

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
#: The folder of each package, and the one of its pyproject.toml.
PACKAGES = {ROOT / "plugins" / "klap_provider": ROOT, ROOT / "klap_sandbox": ROOT / "klap_sandbox"}
PROJECTS = {
    package.name: tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    for package, folder in PACKAGES.items()
}
PROJECT = PROJECTS["klap_provider"]

#: Distributions of imported modules whose names differ.
DISTRIBUTIONS = {"airflow": "apache-airflow", "async_timeout": "async-timeout"}

#: Imported only if an extra, pytest or Python's typing support is installed: apache-airflow brings typing_extensions
#: and attrs.
OPTIONAL = {"openlineage", "feedparser", "attrs", "typing_extensions", "imageio_ffmpeg", "pytest"}


#: Files of the distribution, and folders. With [core] load_examples, Airflow shows the example Dags of providers.
NOT_IN_WHEELS = {"pyproject.toml", "README.md", "LICENSE", "__pycache__", "example_dags"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0].lower() for each in requirements}


def imported_modules(package: Path) -> set[str]:
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names} - {package.name}


@pytest.mark.parametrize(("package", "some"), [*zip(PACKAGES, ("airflow", "fastapi"), strict=True)])
def test_each_imported_module_has_a_declared_dependency(package: Path, some: str) -> None:
    modules = imported_modules(package)
    assert some in modules
    declared = names(PROJECTS[package.name]["dependencies"])
    assert {DISTRIBUTIONS.get(name, name) for name in modules - OPTIONAL} <= declared


@pytest.mark.parametrize(("package", "folder"), PACKAGES.items())
def test_a_wheel_has_all_files_of_its_package_and_no_others(package: Path, folder: Path, tmp_path: Path) -> None:
    wheel = dist.build(folder, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        description = message_from_bytes(archive.read(metadata))
        entry_points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
        license_file = archive.read(metadata.replace("METADATA", "licenses/LICENSE"))
    assert files == {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and NOT_IN_WHEELS.isdisjoint(path.relative_to(package).parts)
    }
    assert license_file == (ROOT / "LICENSE").read_bytes()
    project = PROJECTS[package.name]
    assert description["Name"] == project["name"]
    assert description["Version"] == importlib.import_module(package.name).__version__
    for group in (*project.get("entry-points", {}).values(), project.get("scripts", {})):
        assert all(f"{name} = {target}" in entry_points for name, target in group.items())
        for target in group.values():
            module, _, attribute = target.partition(":")
            assert not attribute or hasattr(importlib.import_module(module), attribute)


def test_requirements_txt_has_the_dependencies_of_the_package() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    required = [line for line in lines if line]
    assert {"apache-airflow", "apache-airflow-providers-http", "requests"} <= names(required)
    assert sorted(required) == sorted(PROJECT["dependencies"])


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_each_supported_python_has_its_classifier(version: str) -> None:
    for project in PROJECTS.values():
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]
