"""The packages of klap_provider can be imported alone, and only airflow_internals uses Airflow's private API."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import airflow.sdk
import pytest

import klap_provider

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(klap_provider.__file__).parent

#: The modules that may use Airflow's private API.
INTERNALS = sorted((PACKAGE / "airflow_internals").glob("*.py"))

#: Airflow's public API besides ``airflow.sdk`` (its page "Public Interface"), and providers.
PUBLISHED = (
    "airflow.plugins_manager",
    "airflow.providers.",
    "airflow.sdk.exceptions",
    "airflow.sdk.io",
    "airflow.sdk.log",
    "airflow.sdk.types",
    "airflow.triggers.base",
)


def imports_of_airflow(module: Path) -> list[tuple[str, str]]:
    """Return the module and name of each import from Airflow."""
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "airflow":
            found += [(str(node.module), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "airflow"]
    return found


def is_published(module: str, name: str) -> bool:
    if module == "airflow.sdk":
        return name in airflow.sdk.__all__ or name == "timezone"
    return f"{module}.".startswith(PUBLISHED) or module in PUBLISHED


def test_every_other_module_uses_only_airflows_public_api() -> None:
    beyond = [
        f"{path.relative_to(PACKAGE)}: {module} {name}"
        for path in PACKAGE.rglob("*.py")
        if path not in INTERNALS
        for module, name in imports_of_airflow(path)
        if not is_published(module, name)
    ]
    assert beyond == []


def test_every_module_of_airflow_internals_has_a_private_import() -> None:
    for path in INTERNALS:
        found = imports_of_airflow(path)
        assert path.stem in ("__init__", "rendering") or [name for of, name in found if not is_published(of, name)]


@pytest.mark.parametrize(
    ("module", "name"), [each for path in INTERNALS for each in imports_of_airflow(path)], ids=lambda each: str(each)
)
def test_imported_private_names_exist(module: str, name: str) -> None:
    found = __import__(module, fromlist=[name])
    assert hasattr(found, name) or __import__(f"{module}.{name}")


@pytest.mark.parametrize("name", [path.stem for path in INTERNALS if path.stem != "__init__"])
def test_each_module_of_airflow_internals_says_why_it_exists(name: str) -> None:
    text = (PACKAGE / "airflow_internals" / f"{name}.py").read_text(encoding="utf-8")
    assert "Why:" in text
    assert "When it moves:" in " ".join(text.split())


def test_no_module_of_airflow_internals_is_long() -> None:
    assert [path.name for path in INTERNALS if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("DeliverShortOperator", ["deliver"]),
        ("ExportShortOperator", ["completion", "export", "monthly_limit", "submit_once"]),
        # The others are its bases.
        ("SubmitShortsOperator", ["completion", "monthly_limit", "submit", "submit_once", "video", "video_job"]),
    ],
)
def test_importing_one_operator_loads_no_other(name: str, own: list[str]) -> None:
    code = (
        f"import sys; from klap_provider.operators import {name}; "
        "print(*sorted(m for m in sys.modules if m.startswith('klap_provider.operators.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert [m.rpartition(".")[2] for m in loaded.stdout.splitlines()[-1].split()] == sorted(
        ["arguments", "base", "failures", "ledger", "retry_policy", "xcom_pull", *own]
    )


@pytest.mark.parametrize("package", ["operators", "sensors", "triggers", "links", "hooks", "dag_parts", "sources"])
def test_every_name_that_a_package_publishes_is_there(package: str) -> None:
    module = __import__(f"klap_provider.{package}", fromlist=["*"])
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="NothingOfTheKind"):
        _ = module.NothingOfTheKind


def loaded_by(*command: str, code: str) -> set[str]:
    """Return the modules of the package that a new process loads whose command line ends in ``command``."""
    whole = f"import sys; {code}; print(*sorted(m for m in sys.modules if m.startswith('klap_provider.')))"
    done = subprocess.run(
        [sys.executable, "-c", whole, *command], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_preload_imports_all_that_tasks_usually_need() -> None:
    everything = {module.name for module in pkgutil.walk_packages(klap_provider.__path__, "klap_provider.")}
    left = everything - loaded_by(code="import klap_provider.dag_parts.preload")
    others = {module for module in left if module.startswith(("klap_provider.ui", "klap_provider.example_dags"))}
    assert {module.removeprefix("klap_provider.") for module in left - others} == {
        "plugin",
        "airflow_internals.api_server",
        "airflow_internals.runs",  # the API server's, too, as are the next three
        "airflow_internals.state_store",
        "airflow_internals.state_store_archive",
        "airflow_internals.task_actions",
        "airflow_internals.xcoms",
        "dag_parts.ledger_maintenance",  # these are used once a month
        "dag_parts.ledger_tasks",
        "hooks.airflow_api",
        "rules.retention",
        "hooks.async_client",  # the triggerer's
        "hooks.batched_polls",
        "hooks.klap",  # for Dags of others
        "operators.generate_shorts",
        "rules.ledger_rows",  # types alone
        "sources.feed",  # one of these for each watched source
        "sources.items",
        "sources.prefix",
        "sources.table",
        "sources.youtube",
        "triggers.source",
        "telemetry.lineage",  # where OpenLineage is at work
    }
