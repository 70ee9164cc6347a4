"""Bodies of requests, in whatever form they come: read, decoded and checked against what Klap's docs name.

What a client in use sends and gets away with is taken; ``strict`` refuses what the docs do not name.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from klap_sandbox.schemas import ApiRequest, unused

if TYPE_CHECKING:
    from starlette.types import Receive

    from klap_sandbox.settings import Settings

R = TypeVar("R", bound=ApiRequest)

MAX_BODY = 256 * 1024
MAX_DEPTH = 64
_GZIP_OR_ZLIB = 47


async def whole_body(receive: Receive) -> bytes | None:
    """The body of a request, not much more than ``MAX_BODY`` of it; None if the client went away before its end."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return None
        part, more = message.get("body", b""), message.get("more_body", False)
        if size <= MAX_BODY:
            parts.append(part)
        size += len(part)
    return b"".join(parts)


async def take(model: type[R], request: Request, settings: Settings) -> tuple[R, list[str]]:
    """Read the body of a request.

    :returns: what was asked, and the names of the fields that nothing was made of.
    :raises HTTPException: 400 (the client has gone), 413, 415.
    :raises RequestValidationError: it is not JSON, or says something that cannot be.
    """
    raw = await whole_body(request.receive)
    if raw is None:
        raise HTTPException(400, "The request ended before its body did.")
    document = _decode(_unpack(raw, request.headers.get("content-encoding", "")))
    if settings.strict and raw and "json" not in request.headers.get("content-type", ""):
        raise HTTPException(415, "Content-Type must be application/json.")
    try:
        asked = model.model_validate(document, context={"strict": settings.strict})
    except ValidationError as problem:
        raise _refusal(*((error["loc"], error["msg"], error["type"]) for error in problem.errors())) from None
    ignored = unused(asked, document)
    if settings.strict and ignored:
        raise _refusal(*((name.split("."), "Klap's docs name no such field", "extra_forbidden") for name in ignored))
    return asked, ignored


def _unpack(raw: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() in ("gzip", "x-gzip", "deflate"):
        try:
            raw = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(raw, MAX_BODY + 1)
        except zlib.error as problem:
            raise _refusal(((), f"not {encoding}: {problem}", "encoding_invalid")) from None
    elif encoding.strip().lower() not in ("", "identity"):
        raise HTTPException(415, "Content-Encoding must be gzip, deflate, or none.")
    if len(raw) > MAX_BODY:
        raise HTTPException(413, f"A body may have {MAX_BODY} bytes.")
    return raw


def _decode(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body; nothing and null count as an empty one."""
    if not raw.strip():
        return {}
    try:
        document = _sound(json.loads(raw.decode(json.detect_encoding(raw), "replace"), parse_constant=_no_constant))
    except (ValueError, RecursionError) as problem:
        raise _refusal(((), f"not JSON: {str(problem)[:200]}", "json_invalid")) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _refusal(((), "must be a JSON object", "dict_type"))
    return document


def _sound(value: Any, depth: int = 0) -> Any:
    """The same without half a surrogate pair in any text, which no answer could be written with."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_sound(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_sound(name): _sound(item, depth + 1) for name, item in value.items()}
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _refusal(*problems: tuple[Any, str, str]) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", *loc), "msg": msg, "type": kind} for loc, msg, kind in problems])
