"""Interpret the status codes and bodies of Klap's responses. Both clients use :func:`parse_response`. Pure."""

from __future__ import annotations

import json
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from klap_provider.api.redaction import redacted, redacted_text, without_secrets
from klap_provider.errors import (
    KlapAuthError,
    KlapCreditsError,
    KlapInvalidResponseError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapResponseError,
    KlapServerError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.api.calls import Call

T = TypeVar("T")

#: Maximum seconds of a ``Retry-After``: one day.
LONGEST_RETRY_AFTER = 86_400.0

#: Maximum bytes of a response. A list of a thousand shorts, each with a transcript of an hour, is smaller.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

_ADVICE: dict[int, tuple[type[KlapResponseError], str]] = {
    401: (KlapAuthError, "The API key is missing or wrong. Correct the connection's Password, then clear this task."),
    402: (KlapCreditsError, "The Klap account is out of credits. Top it up, then clear this task."),
    403: (
        KlapAuthError,
        "The API key, or the user in X-On-Behalf-Of, lacks the permission. Correct the connection's Password or "
        "on_behalf_of, then clear this task.",
    ),
    404: (
        KlapNotFoundError,
        "Klap does not have this id, or this API key and user may not see it. Correct the id, or use the connection "
        "and user that it belongs to.",
    ),
    429: (KlapRateLimitError, "Too many requests. Try again later."),
}

#: Status codes that prove that the request was not processed. 408 and 425 do not, because a proxy may send them after
#: it forwarded the request. Codes that HTTP does not have, such as nginx's 499, do not either.
_REFUSALS = frozenset(code for code in HTTPStatus if 400 <= code < 500) - {408, 425}


def require_size(call: Call[Any], status: int, size: int) -> None:
    """Raise KlapInvalidResponseError if so many bytes of a response were read that it cannot be Klap's."""
    if size > MAX_RESPONSE_BYTES:
        raise KlapInvalidResponseError(
            f"Klap answered {call} with {status} and more than {MAX_RESPONSE_BYTES // 1024**2} MiB. This is not Klap's "
            "API. Check the connection's Host.",
            status=status,
        )


def parse_response(
    call: Call[T], *, status: int, headers: Mapping[str, str], body: bytes, now: float, secrets: Sequence[str] = ()
) -> T:
    """
    Return the result of a call from its HTTP response.

    :param status: HTTP status code; any 2xx is a success.
    :param headers: response headers, with names in any case.
    :param now: seconds since the epoch, for a ``Retry-After`` that is a date.
    :param secrets: texts to remove from the response.
    :raises KlapResponseError: the response is an error or is not valid.
    """
    is_success = 200 <= status < 300
    try:
        # The response can have the connection's own token, if the request was for it.
        document = redacted(json.loads(body), () if call.returns_secret and is_success else secrets)
    except (ValueError, RecursionError):
        document = None
    if not is_success:
        raise _error(call, status, headers, document, body, now)
    try:
        return call.parse(document)
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False, include_input=False)[0]
        what = (
            ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
            if isinstance(document, dict | list)
            else _describe_non_json(body)
        )
        # The response may contain the user's token under another name.
        quoted = "" if call.returns_secret else _quoted(document, body, secrets)
        raise KlapInvalidResponseError(
            f"Klap answered {call} with {status}, but the response is invalid: {what}{quoted}. If this happens again, "
            "check the connection's Host.",
            status=status,
        ) from None


def _quoted(document: Any, body: bytes, secrets: Sequence[str]) -> str:
    """Return the beginning of a response for an error message."""
    text = body.decode("utf-8", "replace") if document is None else json.dumps(document, ensure_ascii=False)
    text = without_secrets(" ".join(redacted_text(text, secrets).split()))[:300]
    return f' ("{text}")' if text else ""


def _describe_non_json(body: bytes) -> str:
    text = body[:200].decode("utf-8", "replace").strip()
    if not text:
        return "an empty body"
    return "an HTML page" if text.startswith("<") else "a body that is not a JSON object or list"


def _error(
    call: Call[Any], status: int, headers: Mapping[str, str], document: Any, body: bytes, now: float
) -> KlapResponseError:
    if status in _ADVICE:
        kind, advice = _ADVICE[status]
    elif status >= 500:
        kind, advice = KlapServerError, "Klap, or a proxy in front of it, failed. Try again later."
    elif status >= 400 and status not in _REFUSALS:
        kind, advice = KlapServerError, "It is not known whether Klap processed the request. Try again later."
    elif status >= 400:
        kind, advice = KlapRejectedError, "Klap rejects the request. Correct the parameters."
    else:
        kind, advice = KlapInvalidResponseError, "This is not Klap's API. Check the connection's Host."
    # An empty 401 counts as Klap's, so that a wrong API key is reported at once: a login page of a proxy is not empty.
    is_from_klap = document is not None or (status == HTTPStatus.UNAUTHORIZED and not body.strip())
    if call.repeatable and not kind.transient and not is_from_klap:
        kind = KlapInvalidResponseError
        advice = f"{advice} The response is not the API's JSON, so it may come from a firewall or a proxy."
    error_code, reason = _reason_in(document)
    lowered = {name.lower(): value for name, value in headers.items()}
    error = kind(
        f"{call}: HTTP {status} ({reason or _describe_non_json(body)}). {advice}",
        status=status,
        error_code=error_code,
        retry_after=parse_retry_after(lowered.get("retry-after"), now=now),
    )
    if isinstance(error, KlapServerError):
        error.is_json = document is not None
    return error


def _reason_in(document: Any) -> tuple[str | None, str]:
    """Return the error code and the explanation in an error body, whose form is not documented."""
    if not isinstance(document, dict):
        return None, ""
    code = document.get("error_code")
    found = [document.get(name) for name in ("error_code", "message", "error", "detail")]
    texts = dict.fromkeys(
        without_secrets(json.dumps(each) if isinstance(each, dict | list) else str(each)) for each in found if each
    )
    return (without_secrets(code) if isinstance(code, str) else None), ": ".join(texts)[:500]


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` header (RFC 9110, 10.2.3); None if it is missing or invalid."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return min(max(0.0, when.timestamp() - now), LONGEST_RETRY_AFTER)
