"""The parameters of a run, the connection and the configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from generated.markdown import code, markdown, markdown_table, require_same, table
from klap_provider import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Param


def type_and_range(schema: Mapping[str, Any]) -> str:
    """Return type and range of a JSON schema for a reader."""
    types = schema.get("type", "string")
    kinds = [each for each in ([types] if isinstance(types, str) else types) if each != "null"]
    if choices := [each for each in schema.get("enum", ()) if each is not None]:
        if len(choices) > 6:
            return f"one of {len(choices)} codes, such as {', '.join(map(code, choices[:3]))}"
        return "one of " + ", ".join(map(code, choices))
    if schema.get("pattern") == "^(yes|no)$":
        return "`yes` or `no`"
    text = " or ".join("list of strings" if kind == "array" else kind for kind in kinds)
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        text += f", {low}–{high}"
    elif low is not None:
        text += f", at least {low}"
    if "exclusiveMinimum" in schema:
        text += f", more than {schema['exclusiveMinimum']}" + (f", at most {high}" if high is not None else "")
    if "multipleOf" in schema:
        text += ", even" if schema["multipleOf"] == 2 else f", multiple of {schema['multipleOf']}"
    if "maxLength" in schema:
        text += f", at most {schema['maxLength']:,} characters"
    return text


def default_of(value: Any) -> str:
    """Return a default value for a reader."""
    if value is None or value == []:
        return "empty"
    return code(json.dumps(value) if isinstance(value, bool) else value)


def _table_of(params: Mapping[str, Param]) -> str:
    from airflow.sdk.definitions.param import NOTSET

    rows = []
    for name, param in params.items():
        default = "**required**" if param.value is NOTSET else default_of(param.value)
        meaning = markdown(param.description or "")
        rows.append([code(name), param.schema.get("title") or "", type_and_range(param.schema), default, meaning])
    return markdown_table(("name in `conf`", "label", "type and range", "default", "meaning"), rows)


@table
def form_of_generate_shorts(_: Mapping[str, str]) -> str:
    """Every field of the main Dag, a table per section."""
    from klap_provider.dag_parts.generate_shorts import shorts_form
    from klap_provider.dag_parts.trigger_form import add_cost_estimate

    form = shorts_form()
    add_cost_estimate(form)
    sections: dict[str, dict[str, Param]] = {}
    for name, param in form.items():
        sections.setdefault(param.schema.get("section", "Source"), {})[name] = param
    # A directive's headings come after its other content, so all of it is below headings.
    return "\n\n".join(f"### {section}\n\n{_table_of(params)}" for section, params in sections.items())


@table
def form_of_caption_video(_: Mapping[str, str]) -> str:
    """The fields that this Dag does not have."""
    from klap_provider.dag_parts import klap_caption_video
    from klap_provider.dag_parts.generate_shorts import shorts_form

    own = klap_caption_video().params
    return ", ".join(code(name) for name in shorts_form() if name not in own) + "."


@table
def form_of_batch(_: Mapping[str, str]) -> str:
    """The fields that only this Dag has."""
    from klap_provider.dag_parts import klap_generate_shorts_batch
    from klap_provider.dag_parts.generate_shorts import shorts_form

    params = dict(klap_generate_shorts_batch().params.items())
    form = shorts_form()
    own = {name: klap_generate_shorts_batch().params.get_param(name) for name in params if name not in form}
    return _table_of(own)


@table
def fields_that_a_batch_lacks(_: Mapping[str, str]) -> str:
    """The fields of the main Dag that a batch takes from its list alone."""
    from klap_provider.dag_parts.generate_shorts_batch import PER_VIDEO

    return ", ".join(map(code, PER_VIDEO)) + "."


@table
def connection(described: Mapping[str, str]) -> str:
    """The fields of the connection form."""
    (kind,) = get_provider_info()["connection-types"]
    found = kind["conn-fields"]
    labels = kind["ui-field-behaviour"]["relabeling"]
    own = [
        [labels["host"], "`host`", "URL", "`https://api.klap.app/v2`", described["host"]],
        [labels["password"], "`password`", "string, at least 8 characters", "**required**", described["password"]],
    ]
    require_same(described, ["host", "password"])
    rows = [
        [
            field["label"],
            code(f"extra.{name}"),
            type_and_range(schema),
            default_of(schema.get("default")),
            field["description"],
        ]
        for name, field in found.items()
        for schema in [field["schema"]]
    ]
    return markdown_table(("label in the form", "in JSON", "type and range", "default", "meaning"), [*own, *rows])


@table
def allowlist_settings(_: Mapping[str, str]) -> str:
    """The options of the section ``[klap]`` of Airflow's configuration."""
    options = get_provider_info()["config"]["klap"]["options"]
    rows = [
        [code(f"[klap] {name}"), code(f"AIRFLOW__KLAP__{name.upper()}"), option["description"], code(option["example"])]
        for name, option in options.items()
    ]
    return markdown_table(("option", "environment variable", "meaning", "example"), rows)


@table
def languages(_: Mapping[str, str]) -> str:
    """The languages of the form."""
    from klap_provider.api.languages import LANGUAGES

    return (
        ", ".join(f"{name} ({code(short)})" for short, name in sorted(LANGUAGES.items(), key=lambda each: each[1]))
        + "."
    )
