"""
The calls of Klap's API: method, path, body, and how to parse the response.

A :class:`Call` is only data. :class:`~klap_provider.hooks.client.KlapClient` sends it with requests, and the async
client with aiohttp. Both pass the response to :func:`read_answer`, the only place that interprets status codes and
bodies.

API: https://docs.klap.app/
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from klap_provider.api.redaction import redacted_text, without_secrets, writable
from klap_provider.api.responses import Export, Project, Task, User, UserToken, accepted, entries, redacted
from klap_provider.errors import (
    KlapAnswerError,
    KlapAuthError,
    KlapCreditsError,
    KlapInputError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapResponseError,
    KlapServerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from klap_provider.api.requests import ExportRequest, ShortsRequest, VideoRequest

T = TypeVar("T")

#: Maximum seconds of a ``Retry-After``: one day.
LONGEST_RETRY_AFTER = 86_400.0

#: Maximum bytes of a response. A list of a thousand shorts, each with a transcript of an hour, is smaller.
LARGEST_ANSWER = 64 * 1024 * 1024


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    One API call.

    :param method: ``GET`` or ``POST``.
    :param path: path below the base URL, with quoted ids.
    :param parse: returns the result for the decoded JSON, or raises ``pydantic.ValidationError``.
    :param body: JSON object to send with a POST.
    :param query: query parameters of a GET.
    :param name: name of the function that created the call.
    """

    method: str
    path: str
    parse: Callable[[Any], T] = field(repr=False)
    body: dict[str, Any] | None = None
    query: dict[str, str] | None = None
    name: str = "other"

    @property
    def repeatable(self) -> bool:
        """Whether the call can be repeated. Each POST creates and bills a new job."""
        return self.method == "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Body:
    """
    The body of a response while it is read, with a size limit.

    :param status: HTTP status code of the response.
    """

    def __init__(self, call: Call[Any], status: int) -> None:
        self._call, self._status = call, status
        self.octets = bytearray()

    def add(self, chunk: bytes) -> None:
        """
        Add the next bytes.

        :raises KlapAnswerError: the body exceeds :data:`LARGEST_ANSWER`.
        """
        self.octets += chunk
        if len(self.octets) > LARGEST_ANSWER:
            raise KlapAnswerError(
                f"Klap answered {self._call} with {self._status} and more than {LARGEST_ANSWER // 1024**2} MiB. "
                "This is not Klap's API. Check the connection's Host.",
                status=self._status,
            )


_accepted_task = partial(accepted, Task)
_accepted_export = partial(accepted, Export)
_projects = partial(entries, Project)
_exports = partial(entries, Export)


def submit_shorts(request: ShortsRequest) -> Call[Task]:
    """``POST /tasks/video-to-shorts``. Billed."""
    return Call("POST", "/tasks/video-to-shorts", _accepted_task, request.body(), name="submit_shorts")


def submit_video(request: VideoRequest) -> Call[Task]:
    """``POST /tasks/video-to-video``. Billed."""
    return Call("POST", "/tasks/video-to-video", _accepted_task, request.body(), name="submit_video")


def get_task(klap_task_id: str) -> Call[Task]:
    """``GET /tasks/{task_id}``."""
    return Call("GET", f"/tasks/{_id('klap_task_id', klap_task_id)}", Task.model_validate, name="get_task")


def list_projects(folder_id: str) -> Call[list[Project]]:
    """``GET /projects/{folder_id}``: the shorts of a video-to-shorts task, in no defined order."""
    return Call("GET", f"/projects/{_id('folder_id', folder_id)}", _projects, name="list_projects")


def get_project(project_id: str, *, folder_id: str | None = None) -> Call[Project]:
    """``GET /projects/{folder_id}/{project_id}``, or ``/projects/{project_id}`` after video-to-video."""
    return Call("GET", _project_path(project_id, folder_id), Project.model_validate, name="get_project")


def create_export(request: ExportRequest, *, project_id: str, folder_id: str | None = None) -> Call[Export]:
    """``POST /projects/…/exports``. Billed each time, because Klap does not recognize repeated requests."""
    return Call(
        "POST",
        f"{_project_path(project_id, folder_id)}/exports",
        _accepted_export,
        request.body(),
        name="create_export",
    )


def get_export(export_id: str, *, project_id: str, folder_id: str | None = None) -> Call[Export]:
    """``GET /projects/…/exports/{export_id}``."""
    path = f"{_project_path(project_id, folder_id)}/exports/{_id('export_id', export_id)}"
    return Call("GET", path, Export.model_validate, name="get_export")


def list_exports(
    *, folder_id: str | None = None, project_id: str | None = None, ids: Collection[str] | None = None
) -> Call[list[Export]]:
    """
    ``GET /exports``, optionally for one folder or project.

    :param ids: ids of the exports to parse; None: all.
    """
    query = {"folder_id": folder_id, "project_id": project_id}
    return Call(
        "GET",
        "/exports",
        _exports if ids is None else partial(entries, Export, ids=ids),
        query={k: v for k, v in query.items() if v is not None},
        name="list_exports",
    )


def create_user() -> Call[User]:
    """``POST /users``: a new managed user."""
    return Call("POST", "/users", User.model_validate, {}, name="create_user")


def create_user_token(user_id: str) -> Call[UserToken]:
    """``POST /users/{user_id}/tokens``: a token for the embedded player of that user."""
    return Call(
        "POST", f"/users/{_id('user_id', user_id)}/tokens", UserToken.model_validate, {}, name="create_user_token"
    )


def _project_path(project_id: str, folder_id: str | None) -> str:
    project = _id("project_id", project_id)
    return f"/projects/{project}" if folder_id is None else f"/projects/{_id('folder_id', folder_id)}/{project}"


def _id(name: str, value: str) -> str:
    # A template renders a missing result as "None".
    if not isinstance(value, str) or not value.strip() or value in (".", "..", "None"):
        raise KlapInputError(f"{name} is {value!r}, which is not an id. Nothing was sent to Klap.")
    return quote(writable(value), safe="")


def read_answer(
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
    document = redacted(_decode(body), secrets)
    if not 200 <= status < 300:
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
        quoted = "" if call.name == create_user_token.__name__ else _quoted(document, body, secrets)
        raise KlapAnswerError(
            f"Klap answered {call} with {status}, but the response is invalid: {what}{quoted}. If this happens again, "
            "check the connection's Host.",
            status=status,
        ) from None


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


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
        kind, advice = KlapAnswerError, "This is not Klap's API. Check the connection's Host."
    if call.repeatable and not kind.transient and not _is_from_klap(status, document, body):
        kind = KlapAnswerError
        advice = f"{advice} The response is not the API's JSON, so it may come from a firewall or a proxy."
    error_code, reason = _reason_in(document)
    reason = reason or _describe_non_json(body)
    lowered = {name.lower(): value for name, value in headers.items()}
    error = kind(
        f"{call}: HTTP {status} ({reason}). {advice}",
        status=status,
        error_code=error_code,
        retry_after=parse_retry_after(lowered.get("retry-after"), now=now),
    )
    if isinstance(error, KlapServerError):
        error.is_json = document is not None
    return error


def _is_from_klap(status: int, document: Any, body: bytes) -> bool:
    """
    Whether an error response to a GET comes from Klap's API, rather than from a firewall or a proxy.

    An empty 401 counts as Klap's, so that a wrong API key is reported at once: a login page of a proxy is not empty.
    """
    return document is not None or (status == HTTPStatus.UNAUTHORIZED and not body.strip())


def _reason_in(document: Any) -> tuple[str | None, str]:
    """Return the error code and the explanation in an error body, whose form is not documented."""
    if not isinstance(document, dict):
        return None, ""
    code = document.get("error_code")
    found = [document.get(name) for name in ("error_code", "message", "error", "detail")]
    texts = dict.fromkeys(without_secrets(_text(each)) for each in found if each)
    return (without_secrets(code) if isinstance(code, str) else None), ": ".join(texts)[:500]


def _text(value: Any) -> str:
    try:
        return json.dumps(value) if isinstance(value, dict | list) else str(value)
    except RecursionError:
        return "a document nested too deeply to show"


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """
    Return the seconds of a ``Retry-After`` header; None if it is missing or invalid.

    :param value: a number of seconds or an HTTP date (RFC 9110, 10.2.3); anything else counts as absent.
    :param now: seconds since the epoch.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return min(max(0.0, when.timestamp() - now), LONGEST_RETRY_AFTER)
