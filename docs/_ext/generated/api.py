"""The calls of Klap's API, and their request bodies."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from generated.markdown import code, markdown, markdown_table, table
from generated.parameters import default_of, type_and_range
from klap_provider.api import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@table
def request_bodies(_: Mapping[str, str]) -> str:
    """The fields of the request models."""
    from klap_provider.api import requests

    models = (requests.ShortsRequest, requests.VideoRequest, requests.ExportRequest)
    parts = (requests.Dimensions, requests.EditingOptions, requests.Watermark)
    tables = []
    for model in (*models, *parts):
        rows = []
        for name, schema in model.model_json_schema()["properties"].items():
            variants = schema.get("anyOf", [schema])
            kind = next((each["$ref"].rpartition("/")[2] for each in variants if "$ref" in each), None)
            rules = {key: value for each in (*variants, schema) for key, value in each.items() if value != "null"}
            default = default_of(schema["default"]) if "default" in schema else "**required**"
            rows.append([code(name), code(kind) if kind else type_and_range(rules), default])
        title = "" if model in models else " (part of a request)"
        tables.append(f"### {model.__name__}{title}\n\n{markdown_table(('field', 'type and range', 'default'), rows)}")
    return "\n\n".join(tables)


@table
def api_calls(_: Mapping[str, str]) -> str:
    """Every call of the API."""
    rows = [
        [code(f"{name}{arguments(made)}"), markdown((inspect.getdoc(made) or "").partition("\n\n")[0])]
        for name, made in inspect.getmembers(calls, inspect.isfunction)
        if "Call[" in str(made.__annotations__.get("return"))
    ]
    return markdown_table(("call", "request"), rows)


def arguments(function: Callable[..., Any]) -> str:
    """Return the arguments of a function, such as ``(folder_id=…)``."""
    parameters = inspect.signature(function).parameters.values()
    return f"({', '.join(each.name + ('=…' if each.kind is each.KEYWORD_ONLY else '') for each in parameters)})"
