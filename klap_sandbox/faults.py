"""Faults: how the sandbox misbehaves on request, and which fault a request gets.

A fault matches requests by method, by a regular expression on the path (without ``/v2``), and by API key.
:mod:`klap_sandbox.fault_middleware` and the endpoints apply the faults.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

if TYPE_CHECKING:
    from collections.abc import Sequence


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"not a regular expression: {problem}") from problem
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value):
        raise ValueError("not a valid header value")
    return value


def _json_body(value: JsonValue) -> JsonValue:
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


HeaderText = Annotated[str, AfterValidator(_header)]
HeaderName = Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")]
HttpCode = Annotated[int, Field(ge=200, le=599)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Fault(BaseModel):
    """Which requests get the fault, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    method: Annotated[str, AfterValidator(str.upper)]
    """HTTP method, or ``*`` for any"""
    path: Annotated[str, AfterValidator(_regular_expression)]
    """regular expression, searched for in the path without ``/v2``"""
    times: int | None = Field(1, ge=1)
    """number of requests that get the fault; null = until the faults are deleted"""
    skip: int = Field(0, ge=0)
    """number of matching requests that are handled normally first"""
    key: str | None = None
    """API key of the requests; null = any key or none"""
    action: str

    def matches(self, method: str, path: str, key: str | None) -> bool:
        """Return whether a request with this method, path and API key is meant."""
        return self.method in ("*", method) and self.key in (None, key) and re.search(self.path, path) is not None


class Status(Fault):
    """Respond with this status code; do not handle the request."""

    action: Literal["status"]
    code: HttpCode
    headers: dict[HeaderName, HeaderText] = {}
    body: Annotated[JsonValue, AfterValidator(_json_body)] = None


class Drop(Fault):
    """Close the connection; do not handle the request."""

    action: Literal["drop"]


class AcceptThenDrop(Fault):
    """Handle the request, then close the connection without a response."""

    action: Literal["accept_then_drop"]


class Delay(Fault):
    """Handle the request at once and send the response late."""

    action: Literal["delay"]
    seconds: Seconds


class Drip(Fault):
    """Handle the request, then send one space per interval instead of the response body.

    :param seconds: the interval.
    """

    action: Literal["drip"]
    seconds: Annotated[float, Field(gt=0, le=60)]


class Late(Fault):
    """Handle the request late, even if the client has disconnected by then."""

    action: Literal["late"]
    seconds: Seconds


class Reshape(Fault):
    """Handle the request, and respond with the id alone or with a wrapped object, such as ``{"task": {…}}``."""

    action: Literal["reshape"]
    shape: Literal["id_only", "wrapped"] = "id_only"


class Html(Fault):
    """Respond with an HTML page instead of JSON; do not handle the request."""

    action: Literal["html"]
    code: HttpCode = 200


class Empty(Fault):
    """Respond with an empty body; do not handle the request."""

    action: Literal["empty"]
    code: HttpCode = 200


class Redirect(Fault):
    """Redirect the client; do not handle the request."""

    action: Literal["redirect"]
    code: Annotated[int, Field(ge=300, le=399)] = 302
    location: HeaderText


class NotAVideo(Fault):
    """Respond to a download with an HTML page and code 200."""

    action: Literal["not_a_video"]


class Truncate(Fault):
    """Send only this many bytes of the announced Content-Length, then close the connection."""

    action: Literal["truncate"]
    bytes: int = Field(ge=0)


class JobError(Fault):
    """Let the requested task or export end in ``error`` once its minimum duration has passed."""

    action: Literal["job_error"]
    error_code: str = "processing_failed"
    message: str = "Something went wrong."


class UnknownStatus(Fault):
    """Give the requested task or export this status from now on."""

    action: Literal["unknown_status"]
    word: str


class Stuck(Fault):
    """Keep the requested task or export ``processing``."""

    action: Literal["stuck"]


class LateList(Fault):
    """Return an empty list of shorts for this task or folder.

    :param polls: number of list requests.
    """

    action: Literal["late_list"]
    polls: int = Field(ge=1)


class PartialList(Fault):
    """Return only the first so many shorts of a folder, for this request."""

    action: Literal["partial_list"]
    shorts: int = Field(ge=1)


class ListedLate(Fault):
    """Leave the export that this request creates out of lists for so many seconds."""

    action: Literal["listed_late"]
    seconds: Seconds


class ChangedList(Fault):
    """Change a folder's shorts from this request on, as after an edit in Klap's app.

    :param grow: number of new shorts, with the highest scores.
    :param shrink: number of shorts to remove, those with the highest scores first.
    :param rescore: reverse the order of scores: the best short becomes the worst, and so on.
    """

    action: Literal["changed_list"]
    grow: int = Field(0, ge=0)
    shrink: int = Field(0, ge=0)
    rescore: bool = False


JobFault = JobError | UnknownStatus | Stuck
AnyFault = Annotated[
    Status
    | Drop
    | AcceptThenDrop
    | Delay
    | Drip
    | Late
    | Reshape
    | Html
    | Empty
    | Redirect
    | NotAVideo
    | Truncate
    | JobError
    | UnknownStatus
    | Stuck
    | LateList
    | PartialList
    | ListedLate
    | ChangedList,
    Field(discriminator="action"),
]


def match_fault(
    faults: Sequence[AnyFault], method: str, path: str, key: str | None = None
) -> tuple[AnyFault | None, list[AnyFault]]:
    """Find the fault that a request gets: the first that matches and has nothing left to skip.

    :returns: that fault or None, and the faults that remain for later requests.
    """
    remaining = list(faults)
    for index, fault in enumerate(faults):
        if not fault.matches(method, path, key):
            continue
        if fault.skip:
            remaining[index] = fault.model_copy(update={"skip": fault.skip - 1})
            continue
        if fault.times == 1:
            del remaining[index]
        elif fault.times is not None:
            remaining[index] = fault.model_copy(update={"times": fault.times - 1})
        return fault, remaining
    return None, remaining
