"""
Tables of the reference pages, made from the code at each build, so that they cannot differ from it.

A page includes a table with the directive ``generated`` and the table's name:

.. code-block:: markdown

    ```{generated} metrics
    ```

Where the code has names without a description, the directive's content gives one per line, as ``name: description``.
The build fails if a name is missing there or does not exist.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import typing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.errors import SphinxError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from klap_provider import errors, get_provider_info, xcoms
from klap_provider.api import calls
from klap_provider.rules.cost import Prices
from klap_provider.rules.ledger import Asker, Attempt
from klap_provider.rules.polling import ExportTarget, TaskTarget
from klap_provider.telemetry import metrics

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.sdk import Param
    from docutils import nodes
    from sphinx.application import Sphinx

#: Fields of XComs that mean the same everywhere.
COMMON_FIELDS = {
    "by": "Name or id of the reviewer.",
    "complete": "Number of videos whose run succeeded.",
    "currency": "`USD`.",
    "delivered": "Number of delivered shorts.",
    "error": "The message of the error; None if there is none.",
    "explanation": "Klap's reason for the score; None if Klap gave none.",
    "exports": "Number of exports that were paid for.",
    "export_id": "Id of the export at Klap.",
    "folder_id": "Id of the folder at Klap; None after video-to-video.",
    "incomplete": "The videos whose run did not succeed.",
    "input_videos": "Number of submissions that were paid for.",
    "klap_task_id": "Id of the task at Klap.",
    "left_out": "The videos that are left out.",
    "manifest": "Path or URL of the run's manifest.",
    "name": "Klap's name of the short.",
    "paths": "Paths or URLs of the videos.",
    "preview_url": "Address of Klap's player.",
    "project_id": "Id of the short at Klap.",
    "reason": "Why the video is left out.",
    "run_id": "Id of the run.",
    "runs": "Number of runs.",
    "sha256": "SHA-256 of the video.",
    "shorts": "The delivered shorts.",
    "size": "Size in bytes.",
    "source_video_url": "Address of the video.",
    "src_url": "Klap's public address of the video; None if there is none.",
    "state": "State of the run.",
    "transcript": "What is said in the short.",
    "videos": "Number of videos in the list.",
}

#: What a directive returns: Markdown.
TABLES: dict[str, Callable[[Mapping[str, str]], str]] = {}


def table(function: Callable[[Mapping[str, str]], str]) -> Callable[[Mapping[str, str]], str]:
    """Register a table under the name of the function that makes it, with dashes."""
    TABLES[function.__name__.replace("_", "-")] = function
    return function


class Generated(SphinxDirective):
    """The directive ``generated``."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        name = self.arguments[0]
        described = dict(line.split(": ", 1) for line in self.content if line.strip())
        try:
            text = TABLES[name](described)
        except (KeyError, ValueError) as wrong:
            raise SphinxError(f"{self.env.docname}: the table {name!r} cannot be made: {wrong}") from wrong
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "env_version": 1}


# Markdown


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a ``|`` in a cell is escaped."""
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: Any) -> str:
    """Return a value as inline code."""
    return f"`{value}`"


def markdown(text: str) -> str:
    """Return a docstring or a comment as one line of Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return " ".join(text.replace("``", "`").split())


def require_same(described: Mapping[str, str], names: Sequence[str]) -> None:
    """
    Check that the page describes what the code has.

    :raises ValueError: it does not.
    """
    if missing := [name for name in names if name not in described]:
        raise ValueError(f"no description of {', '.join(missing)}")
    if unknown := [name for name in described if name not in names]:
        raise ValueError(f"the code has no {', '.join(unknown)}")


# Parameters


def _type(schema: Mapping[str, Any]) -> str:
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


def _default(value: Any) -> str:
    if value is None or value == []:
        return "empty"
    return code(json.dumps(value) if isinstance(value, bool) else value)


def _table_of(params: Mapping[str, Param]) -> str:
    from airflow.sdk.definitions.param import NOTSET

    rows = []
    for name, param in params.items():
        default = "**required**" if param.value is NOTSET else _default(param.value)
        meaning = markdown(param.description or "")
        rows.append([code(name), param.schema.get("title") or "", _type(param.schema), default, meaning])
    return markdown_table(("name in `conf`", "label", "type and range", "default", "meaning"), rows)


@table
def form_of_generate_shorts(_: Mapping[str, str]) -> str:
    """Every field of the main Dag, a table per section."""
    from klap_provider.dag_parts.generate_shorts import shorts_form
    from klap_provider.dag_parts.trigger_form import tell_estimate

    form = shorts_form()
    tell_estimate(form)
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
    from klap_provider.dag_parts.generate_shorts_batch import OF_ONE_VIDEO

    return ", ".join(map(code, OF_ONE_VIDEO)) + "."


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
        [field["label"], code(f"extra.{name}"), _type(schema), _default(schema.get("default")), field["description"]]
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
            default = _default(schema["default"]) if "default" in schema else "**required**"
            rows.append([code(name), code(kind) if kind else _type(rules), default])
        title = "" if model in models else " (part of a request)"
        tables.append(f"### {model.__name__}{title}\n\n{markdown_table(('field', 'type and range', 'default'), rows)}")
    return "\n\n".join(tables)


@table
def api_calls(_: Mapping[str, str]) -> str:
    """Every call of the API."""
    rows = [
        [code(f"{name}{_arguments(made)}"), markdown((inspect.getdoc(made) or "").partition("\n\n")[0])]
        for name, made in inspect.getmembers(calls, inspect.isfunction)
        if "Call[" in str(made.__annotations__.get("return"))
    ]
    return markdown_table(("call", "request"), rows)


def _arguments(function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters.values()
    return f"({', '.join(each.name + ('=…' if each.kind is each.KEYWORD_ONLY else '') for each in parameters)})"


# Errors


def _subclasses(kind: type[BaseException], depth: int = 0) -> Iterator[tuple[type[BaseException], int]]:
    """Return the published exceptions in the order of their definition, with their depth in the tree."""
    if not kind.__name__.startswith("_"):
        yield kind, depth
        depth += 1
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _subclasses(each, depth)


def _attribute(kind: type[BaseException], name: str) -> str:
    found = inspect.getattr_static(kind, name)
    if issubclass(kind, errors._TransferError) and kind is not errors.KlapNotServedError:
        return "if transient"
    return "yes" if found else "no"


@table
def error_tree(_: Mapping[str, str]) -> str:
    """The exceptions as a tree."""
    lines = [f"{'    ' * depth}{kind.__name__}" for kind, depth in _subclasses(errors.KlapError)]
    return "```text\n" + "\n".join(lines) + "\n```"


@table
def error_list(_: Mapping[str, str]) -> str:
    """What each exception means, and what to do."""
    rows = []
    for kind, _depth in _subclasses(errors.KlapError):
        what, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
        action = re.search(r"What to do: (.+?)(?:\n\n|$)", rest, re.DOTALL)
        has_subclasses = any(each.__module__ == errors.__name__ for each in kind.__subclasses__())
        if action is None and not has_subclasses:
            raise ValueError(f"the docstring of {kind.__name__} has no 'What to do:'")
        if action is not None:
            do = markdown(action[1])
            rows.append([code(kind.__name__), markdown(what), _attribute(kind, "passing"), do[:1].upper() + do[1:]])
    return markdown_table(("error", "meaning", "retried", "what to do"), rows)


# What tasks leave


def _comments(module: str) -> Mapping[tuple[str, str], str]:
    analyzer = ModuleAnalyzer.for_module(module)
    return {place: markdown(" ".join(lines)) for place, lines in analyzer.find_attr_docs().items()}


def _declared(shape: Any, name: str) -> list[str]:
    """Return the shapes that may declare a field: the shape, and those that it extends (not known before 3.12)."""
    found = [each for each in vars(xcoms).values() if typing.is_typeddict(each) and name in each.__annotations__]
    extended = [each for each in found if each.__annotations__.items() <= shape.__annotations__.items()]
    return [each.__name__ for each in (shape, *extended)]


def _shape(shape: Any) -> str:
    comments = _comments(xcoms.__name__)
    rows = []
    for name, hint in shape.__annotations__.items():
        hint = getattr(hint, "__forward_arg__", hint)
        found = [comments[each, name] for each in _declared(shape, name) if (each, name) in comments]
        note = "" if name in shape.__required_keys__ else "Can be absent. "
        rows.append([code(name), code(hint), note + (found[0] if found else COMMON_FIELDS[name])])
    return markdown_table(("field", "type", "meaning"), rows)


@table
def xcom_keys(_: Mapping[str, str]) -> str:
    """Which operator leaves which XCom."""
    comments = _comments(xcoms.__name__)
    keys = {value: name for name, value in vars(xcoms).items() if name.endswith("_KEY")}
    rows = []
    for operator, left in xcoms.LEFT_BY.items():
        for key, shape in left.items():
            named = shape.__name__ if shape is not dict else "dict"
            link = f"[`{named}`](#{named.lower()})" if shape is not dict else "`dict`"
            meaning = markdown(shape.__doc__ or "") if key == xcoms.RETURN_KEY else comments["", keys[key]]
            rows.append([code(operator), code(key), link, meaning])
    return markdown_table(("operator", "key", "shape", "meaning"), rows)


@table
def xcom_shapes(_: Mapping[str, str]) -> str:
    """Every shape of an XCom and of the asset event."""
    left = [shape for found in xcoms.LEFT_BY.values() for shape in found.values() if shape is not dict]
    others = (
        xcoms.LeftOutVideo,
        xcoms.IncompleteVideo,
        xcoms.Failure,
        xcoms.Fate,
        xcoms.ShortsEvent,
        xcoms.TaggedShort,
    )
    shapes = dict.fromkeys([*left, *others])
    return "\n\n".join(
        f"### {shape.__name__}\n\n{markdown(shape.__doc__ or '')}\n\n{_shape(shape)}" for shape in shapes
    )


@table
def delivered_row(_: Mapping[str, str]) -> str:
    """The ledger row of a delivery."""
    return _shape(xcoms.DeliveredRow)


@table
def selection_row(_: Mapping[str, str]) -> str:
    """The ledger row of a selection."""
    return _shape(xcoms.Selected)


def _attempt() -> Attempt:
    full = {each.name: each.default for each in fields(Attempt)}
    return Attempt(
        **{
            **full,
            "key": "export.pcmsagf6ujej.0",
            "id": "0198c2e5",
            "at": 1764000000.0,
            "asker": Asker("klap_generate_shorts manual__2026-11-24", 1, 3),
            "what": "export of From zero to hero",
            "video": "https://example.com/talk.mp4",
            "price": 0.48,
            "asked": {"watermark": None},
            "fingerprint": "4be1",
            "known": ("a",),
            "budget": 5.0,
            "second_hand": True,
            "settings": "Watermark: acme.png",
            "account": "a",
            "response_within": 30.0,
            "is_void": True,
            "link": "request.4be1",
        }
    )


def _row(row: Mapping[str, Any], described: Mapping[str, str]) -> str:
    require_same(described, list(row))
    return markdown_table(("field", "meaning"), [[code(name), described[name]] for name in row])


@table
def attempt_row(described: Mapping[str, str]) -> str:
    """The ledger row of an attempt."""
    return _row(_attempt().to_row(), described)


@table
def payment_row(described: Mapping[str, str]) -> str:
    """The ledger row of a payment."""
    return _row(_attempt().payment("8sKq"), described)


# Metrics


@table
def metrics_list(_: Mapping[str, str]) -> str:
    """Every metric."""
    rows = [
        [code(each.name), each.kind, each.unit, ", ".join(map(code, each.tags)), each.when] for each in metrics.METRICS
    ]
    return markdown_table(("name", "type", "unit", "tags", "sent when"), rows)


@table
def metrics_tags(described: Mapping[str, str]) -> str:
    """Every tag with its values."""
    endpoints = [
        name
        for name, made in inspect.getmembers(calls, inspect.isfunction)
        if "Call[" in str(made.__annotations__.get("return"))
    ]
    values = {
        "endpoint": [*endpoints, "other"],
        "status": ["200", "404", "none", "…"],
        "job": [TaskTarget.job, ExportTarget.job],
        "item": [name for name in Prices._fields if name != "second_hand"],
    }
    require_same(described, list(dict.fromkeys(tag for metric in metrics.METRICS for tag in metric.tags)))
    rows = [[code(tag), described[tag], ", ".join(map(code, values[tag]))] for tag in described]
    return markdown_table(("tag", "meaning", "values"), rows)


# Layers


@table
def layers(described: Mapping[str, str]) -> str:
    """The layers of the package, as import-linter checks them."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    floors = [layer.split(" | ") for layer in project["tool"]["importlinter"]["contracts"][0]["layers"]]
    require_same(described, [name for floor in floors for name in floor])
    rows = [[str(number), code(name), described[name]] for number, floor in enumerate(floors, 1) for name in floor]
    return markdown_table(("layer", "module", "content"), rows)
