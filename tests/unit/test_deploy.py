"""The files in deploy/ match Airflow's image, Compose file, Helm chart and settings."""

from __future__ import annotations

import json
import os
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from airflow.configuration import conf
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from klap_provider import __version__
from klap_provider.hooks.connection import CONN_TYPE, KlapConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "operations" / "deploy.md").read_text()
OVERRIDE = yaml.safe_load((DEPLOY / "compose.override.yaml").read_text())
ENVIRONMENT: dict[str, str] = OVERRIDE["x-klap"]["environment"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
(TESTED,) = re.findall(r"^apache-airflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

#: Variables with the paths of Airflow's compose file and Helm schema, which are not part of this project.
COMPOSE_FILE = os.environ.get("AIRFLOW_COMPOSE_FILE")
needs_compose_file = pytest.mark.skipif(
    not COMPOSE_FILE,
    reason="compose.override.yaml was not merged with Airflow's file: AIRFLOW_COMPOSE_FILE does not name Airflow's "
    "docker-compose.yaml",
)
SCHEMA = os.environ.get("AIRFLOW_CHART_SCHEMA")
needs_schema = pytest.mark.skipif(
    not SCHEMA,
    reason="the chart's values were not checked: AIRFLOW_CHART_SCHEMA does not name the chart's values.schema.json",
)


def laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return two mappings merged as Helm and Compose merge them: the second wins, also for whole lists."""
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(under.get(name), dict)
        merged[name] = laid_over(under[name], value) if both else value
    return merged


def is_option(section: str, key: str) -> bool:
    return key in conf.configuration_description.get(section, {}).get("options", {})


# The image


def test_the_image_copies_existing_files_that_are_not_ignored() -> None:
    copied = [
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY")
        for source in [word for word in shlex.split(line)[1:] if not word.startswith("--")][:-1]
    ]
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert sorted(copied) == sorted(line[1:] for line in ignore if line.startswith("!"))
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_has_all_files_to_build_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    needed = ["pyproject.toml", *re.findall(r'^(?:readme|license-files) = \[?"(.+?)"', project, re.MULTILINE)]
    (package,) = re.findall(r'packages = \["(plugins/.+?)"\]', project)
    line = next(line for line in DOCKERFILE.splitlines() if "pyproject.toml" in line)
    assert set(needed) <= set(line.split())
    assert f"COPY --chown=airflow:root {package.split('/')[0]} /tmp/klap/{package.split('/')[0]}" in DOCKERFILE


def test_all_files_use_the_tested_airflow_version() -> None:
    tag = f"{__version__}-{TESTED}"
    values = yaml.safe_load((DEPLOY / "values.yaml").read_text())
    assert f"ARG AIRFLOW_VERSION={TESTED}\n" in DOCKERFILE
    assert OVERRIDE["x-klap"]["image"] == f"${{KLAP_IMAGE:-airflow-klap:{tag}}}"
    assert (values["defaultAirflowTag"], values["airflowVersion"]) == (tag, TESTED)
    assert set(re.findall(r"airflow-klap:([\w.-]+)", DOCKERFILE + PAGE)) == {tag}


# Compose


@pytest.fixture
def composed() -> dict[str, Any]:
    """Return Airflow's file with the override as Compose merges them: lists are joined, mounts replaced by target."""
    airflow = yaml.safe_load(Path(str(COMPOSE_FILE)).read_text())
    merged = laid_over(airflow, OVERRIDE)
    for name, service in OVERRIDE["services"].items():
        for kind in ("volumes", "secrets"):
            both = [*airflow["services"].get(name, {}).get(kind, []), *service.get(kind, [])]
            merged["services"][name][kind] = list({mount.split(":")[-1]: mount for mount in both}.values())
    return merged


@needs_compose_file
def test_the_override_covers_every_service_of_airflows_file_and_no_other(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert sorted(OVERRIDE["services"]) == sorted(name for name in services if name.startswith("airflow-"))
    for name in OVERRIDE["services"]:
        assert services[name]["image"] == OVERRIDE["x-klap"]["image"]
        assert services[name]["environment"].items() >= ENVIRONMENT.items()
        assert services[name]["environment"]["AIRFLOW__CELERY__BROKER_URL"], "Airflow's own settings are still there"
        assert services[name]["command"]


@needs_compose_file
def test_the_mounts_of_airflows_file_are_kept(composed: dict[str, Any]) -> None:
    for name, service in OVERRIDE["services"].items():
        targets = [mount.split(":")[-1] for mount in composed["services"][name]["volumes"]]
        assert targets[:4] == [f"/opt/airflow/{folder}" for folder in ("dags", "logs", "config", "plugins")]
        assert targets[4:] == [mount.split(":")[-1] for mount in service.get("volumes", [])]


def test_services_have_the_secret_and_the_shared_folder() -> None:
    assert "klap-shorts" in OVERRIDE["volumes"]
    assert "install -d -o airflow -g root -m 0775 /opt/klap/shorts" in DOCKERFILE
    for name, service in OVERRIDE["services"].items():
        assert service["secrets"] == [*OVERRIDE["secrets"]]
        shared = ["klap-shorts:/opt/klap/shorts"] if name in ("airflow-worker", "airflow-apiserver") else []
        assert service.get("volumes", []) == shared


def test_there_are_two_triggerers_with_compose_and_with_the_chart() -> None:
    assert OVERRIDE["services"]["airflow-triggerer"]["deploy"] == {"replicas": 2}
    assert yaml.safe_load((DEPLOY / "values.yaml").read_text())["triggerer"]["replicas"] == 2


def test_compose_sets_only_settings_of_airflow() -> None:
    for name in ENVIRONMENT:
        _, section, key = name.lower().split("__")
        assert is_option(section, key), name


def test_the_dags_of_the_image_are_a_bundle_beside_those_of_the_team(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = json.loads(ENVIRONMENT["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundles == yaml.safe_load((DEPLOY / "values.yaml").read_text())["dagProcessor"]["dagBundleConfigList"]
    assert [bundle["name"] for bundle in bundles] == ["dags-folder", "klap"]
    for bundle in bundles:
        module, _, name = bundle["classpath"].rpartition(".")
        made = getattr(import_module(module), name)(name=bundle["name"], **bundle["kwargs"])
        if bundle["kwargs"]:
            assert f"COPY --chown=airflow:root dags {made.path}" in DOCKERFILE


def test_the_connections_of_the_page_are_read_from_the_secret(tmp_path: Path) -> None:
    (kwargs,) = [json.loads(value) for name, value in ENVIRONMENT.items() if name.endswith("BACKEND_KWARGS")]
    secret = Path(kwargs["connections_file_path"])
    assert secret.parent == Path("/run/secrets")
    assert secret.name in OVERRIDE["secrets"]
    (listing,) = re.findall(r"cat > klap-connections.json <<'EOF'\n(.+?)\n\s*EOF", PAGE, re.DOTALL)
    (tmp_path / secret.name).write_text(listing.replace("kak_…", "kak_test"))
    found = LocalFilesystemBackend(connections_file_path=str(tmp_path / secret.name)).get_connection("klap_default")
    assert found.conn_type == CONN_TYPE
    assert KlapConnection.read("klap_default", found).destination == "/opt/klap/shorts"


# The chart


CHART_VALUES = {
    "CeleryExecutor": ["values.yaml"],
    "KubernetesExecutor": ["values.yaml", "values-kubernetes.yaml"],
}


def values_of(executor: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in CHART_VALUES[executor]:
        values = laid_over(values, yaml.safe_load((DEPLOY / name).read_text()))
    return values


def unknown(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Return the keys that the schema does not have, even if it allows additional ones."""
    if isinstance(value, dict) and "properties" in schema:
        for key, each in value.items():
            if key in schema["properties"]:
                yield from unknown(each, schema["properties"][key], f"{path}.{key}")
            elif not schema.get("additionalProperties"):
                yield f"{path}.{key}"


@needs_schema
@pytest.mark.parametrize("executor", CHART_VALUES)
def test_the_chart_accepts_every_key_of_the_values(executor: str) -> None:
    schema, values = json.loads(Path(str(SCHEMA)).read_text()), values_of(executor)
    jsonschema.validate(values, schema)
    assert [*unknown(values, schema)] == []
    assert [*unknown({"triggerer": {"replica": 2}, "trigerer": {}}, schema)] == [".triggerer.replica", ".trigerer"]


@pytest.mark.parametrize("executor", CHART_VALUES)
def test_the_chart_sets_only_settings_of_airflow(executor: str) -> None:
    values = values_of(executor)
    assert values["executor"] == executor
    for section, options in values["config"].items():
        assert [key for key in options if not is_option(section, key)] == []


def test_the_connection_comes_from_the_documented_kubernetes_secret() -> None:
    (secret,) = values_of("CeleryExecutor")["secret"]
    assert secret["envName"] == "AIRFLOW_CONN_KLAP_DEFAULT"
    assert f"create secret generic {secret['secretName']} " in PAGE
    (connection,) = re.findall(rf"--from-literal={secret['secretKey']}='(.+?)'", PAGE)
    assert json.loads(connection)["conn_type"] == CONN_TYPE


# The page


def test_the_page_names_exactly_the_files_of_the_folder() -> None:
    named = set(re.findall(r"deploy/([\w.-]+\w)", PAGE))
    assert named == {path.name for path in DEPLOY.iterdir()}
