"""Compares responses of the plugin with the types that the JavaScript declares for them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DECLARED = Path(__file__).parents[1] / "javascript" / "responses.d.ts"


def assert_is(declared: str, value: Any) -> None:
    """Assert that a value is of a type: an object has all of its fields, and no others."""
    _validator(declared).validate(value)


@cache
def _validator(wanted: str) -> Draft202012Validator:
    source = re.sub(r"/\*\*.*?\*/", "", DECLARED.read_text(encoding="utf-8"), flags=re.DOTALL)
    declared = dict(re.findall(r"^type (\w+) = (.*?)(?=;\n+(?:type|\Z))", source, re.MULTILINE | re.DOTALL))
    schemas = {name: _schema(text) for name, text in declared.items()}
    return Draft202012Validator({**_schema(wanted), "$defs": schemas})


def _schema(declared: str) -> dict[str, Any]:
    """Return the JSON schema of a type."""
    declared = declared.strip()
    if len(parts := _split(declared, "|")) > 1:
        return {"anyOf": [_schema(part) for part in parts]}
    if declared.endswith("[]"):
        return {"type": "array", "items": _schema(declared[:-2])}
    if record := re.fullmatch(r"Record<string, (.*)>", declared):
        return {"type": "object", "additionalProperties": _schema(record[1])}
    if declared.startswith("{"):
        fields = dict(re.split(r":\s*", each, maxsplit=1) for each in _split(declared[1:-1], ";") if each.strip())
        properties = {name.strip(" \n?"): _schema(text) for name, text in fields.items()}
        required = [name.strip() for name in fields if not name.endswith("?")]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if declared.startswith('"'):
        return {"const": declared.strip('"')}
    if declared in ("string", "number", "boolean", "null"):
        return {"type": declared}
    return {"$ref": f"#/$defs/{declared}"}


def _split(text: str, separator: str) -> list[str]:
    """Split a text at a separator that is not in brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "{<") - (letter in "}>")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
