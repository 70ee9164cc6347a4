"""Fields of a trigger form, made from the fields of the request models, so that each is declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel


def form_fields(
    model: type[BaseModel],
    names: Sequence[str] | None = None,
    *,
    section: str | None = None,
    prefix: str = "",
    **defaults: Any,
) -> dict[str, Param]:
    """
    Return Airflow ``Param`` objects for fields of a model: title, help, type, bounds and default.

    :param names: which fields, in the order of the form; default: all but those that are objects of their own.
    :param section: heading to show them under. None: Airflow's own, which alone is open from the start.
    :param prefix: put before each name.
    :param defaults: other defaults than the model's, by field name. A required field without one stays required.
    """
    properties = model.model_json_schema()["properties"]
    return {
        f"{prefix}{name}": _param(properties[name], section, defaults.get(name, properties[name].get("default", ...)))
        for name in names or [name for name, schema in properties.items() if _is_plain(schema)]
    }


def _is_plain(schema: dict[str, Any]) -> bool:
    return all("type" in variant for variant in schema.get("anyOf", [schema]))


def _param(schema: dict[str, Any], section: str | None, default: Any) -> Param:
    variants = schema.get("anyOf", [schema])
    types = [variant["type"] for variant in variants]
    if default is None and "null" not in types:
        types.append("null")
    rules: dict[str, Any] = {
        key: value
        for part in (*variants, schema)
        for key, value in part.items()
        if key not in ("type", "anyOf", "title", "description", "default")
    }
    if section:
        rules["section"] = section
    if default is not ...:
        rules["default"] = default
    return Param(
        type=types[0] if len(types) == 1 else types,
        title=schema["title"],
        description=schema.get("description"),
        **rules,
    )
