"""The provider info is valid and correct."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink
from airflow.triggers.base import BaseTrigger

import klap_provider
from klap_provider import __version__, get_provider_info
from klap_provider.errors import KlapConfigError
from klap_provider.hooks.connection import CONN_TYPE, KlapConnection

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]
FIELDS: dict[str, Any] = CONNECTION["conn-fields"]


def stored(**extra: Any) -> SimpleNamespace:
    return SimpleNamespace(
        conn_type="klap", host=None, schema=None, port=None, password="kak_test_key", extra=json.dumps(extra)
    )


def schema_of_airflow(name: str) -> dict[str, Any]:
    return dict(json.loads((Path(airflow.__file__).parent / name).read_text()))


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_airflow_accepts_the_provider_info() -> None:
    jsonschema.validate(INFO, schema_of_airflow("provider_info.schema.json"))


def test_airflow_accepts_the_connection_form() -> None:
    schema = schema_of_airflow("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate(INFO["connection-types"], schema)


def test_the_version_is_the_packages() -> None:
    assert INFO["versions"] == [__version__]


@pytest.mark.parametrize(
    ("kind", "base"),
    [("hooks", BaseHook), ("operators", BaseOperator), ("sensors", BaseOperator), ("triggers", BaseTrigger)],
)
def test_the_named_modules_have_the_named_classes(kind: str, base: type) -> None:
    integrations = {integration["integration-name"] for integration in INFO["integrations"]}
    for entry in INFO[kind]:
        assert entry["integration-name"] in integrations
        for name in entry["python-modules"]:
            module = importlib.import_module(name)
            assert any(issubclass(getattr(module, member), base) for member in module.__all__)


def classes_below(base: type) -> set[type]:
    """Return every class of the package that a Dag file can use instead of a base class."""
    found = set()
    for info in pkgutil.walk_packages(klap_provider.__path__, "klap_provider."):
        if not info.name.startswith(("klap_provider.ui", "klap_provider.plugin", "klap_provider.example_dags")):
            members = vars(importlib.import_module(info.name)).values()
            found |= {each for each in members if isinstance(each, type) and each.__module__ == info.name}
    return {each for each in found if issubclass(each, base)}


@pytest.mark.parametrize(
    ("kinds", "base", "bases"),
    [
        (["hooks"], BaseHook, set()),
        (
            ["operators", "sensors"],
            BaseOperator,
            {
                *("HooksRendering", "KlapOperator", "KlapLedgerOperator", "KlapSubmitOperator"),
                *("KlapCompletionOperator", "KlapVideoOperator", "KlapJobSensor", "KlapNotifyingOperator"),
                *("KlapLimitedOperator", "KlapRunEndOperator", "KlapSelectingOperator"),
            },
        ),
        (["triggers"], BaseTrigger, {"KlapTrigger"}),
    ],
)
def test_every_class_is_in_a_named_module(kinds: list[str], base: type, bases: set[str]) -> None:
    names = [name for kind in kinds for entry in INFO[kind] for name in entry["python-modules"]]
    modules = [importlib.import_module(name) for name in names]
    named = {getattr(module, name) for module in modules for name in module.__all__}
    below = classes_below(base)
    assert {each for each in below if each.__name__ not in bases} == {each for each in named if issubclass(each, base)}
    assert bases <= {each.__name__ for each in below}


def test_the_named_links_exist() -> None:
    links = {each for each in classes_below(BaseOperatorLink) if not inspect.isabstract(each)}
    assert {load(path) for path in INFO["extra-links"]} == links
    assert all(load(path).name for path in INFO["extra-links"])


def test_dicts_are_rendered_as_json_and_operators_have_one_colour() -> None:
    as_json = {"watermark", "dimensions", "editing_options", "settings"}
    kinds: list[Any] = [each for each in classes_below(BaseOperator) if each.__name__ != "HooksRendering"]
    for kind in kinds:
        renderers = kind.template_fields_renderers
        shown = as_json & set(kind.template_fields)
        assert {name: renderers.get(name) for name in shown} == dict.fromkeys(shown, "json"), kind
    assert len({kind.ui_color for kind in kinds}) == 1


def test_the_connection_type_belongs_to_the_hook() -> None:
    hook = load(CONNECTION["hook-class-name"])
    assert hook.conn_type == CONN_TYPE == CONNECTION["connection-type"]
    assert hook.hook_name == CONNECTION["hook-name"]
    assert hook.conn_name_attr == "klap_conn_id"


def test_the_form_has_exactly_the_fields_of_the_connection() -> None:
    assert KlapConnection.model_fields.keys() - {"conn_id", "api_url", "api_key"} == FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_in_the_form_is_that_of_an_empty_field(name: str) -> None:
    schema = FIELDS[name]["schema"]
    connection = KlapConnection.read("klap_default", stored())
    assert getattr(connection, name) == schema.get("default")
    jsonschema.validate(schema.get("default"), schema)
    jsonschema.validate(None, schema)


@pytest.mark.parametrize("name", [name for name in FIELDS if "minimum" in FIELDS[name]["schema"]])
def test_every_value_that_the_form_allows_is_accepted(name: str) -> None:
    schema = FIELDS[name]["schema"]
    for seconds in (schema["minimum"], schema["maximum"]):
        assert getattr(KlapConnection.read("klap_default", stored(**{name: seconds})), name) == seconds
    with pytest.raises(KlapConfigError):
        KlapConnection.read("klap_default", stored(**{name: schema["maximum"] + 1}))


def test_the_token_is_hidden_in_the_form() -> None:
    assert FIELDS["external_access_token"]["schema"]["format"] == "password"


def test_unused_fields_of_the_connection_are_hidden() -> None:
    behaviour = CONNECTION["ui-field-behaviour"]
    assert behaviour["relabeling"]["password"] == "Password (API key)"  # the errors name Password
    assert not {"host", "password"} & set(behaviour["hidden-fields"])
    assert {"login", "extra"} <= set(behaviour["hidden-fields"])
