"""The package's metadata: what it needs is declared, and requirements.txt agrees with it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Distributions of imported modules whose names differ.
DISTRIBUTIONS = {"airflow": "apache-airflow", "async_timeout": "async-timeout"}

#: Imported only if an extra or Python's typing support is installed: apache-airflow brings typing_extensions and attrs.
OPTIONAL = {"openlineage", "attrs", "typing_extensions"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0].lower() for each in requirements}


def imported_modules() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names} - {"klap_provider"}


def test_each_module_that_the_package_imports_comes_with_a_declared_dependency() -> None:
    modules = imported_modules()
    assert {"airflow", "requests"} <= modules
    declared = names(PROJECT["dependencies"])
    assert {DISTRIBUTIONS.get(name, name) for name in modules - OPTIONAL} <= declared


def test_requirements_txt_has_the_dependencies_of_the_package() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    required = [line for line in lines if line]
    assert {"apache-airflow", "apache-airflow-providers-http", "requests"} <= names(required)
    assert sorted(required) == sorted(PROJECT["dependencies"])


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_each_supported_python_has_its_classifier(version: str) -> None:
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
