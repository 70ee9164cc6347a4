"""How the sandbox can be told to misbehave: the faults, and the decision which of them a request meets.

A fault matches requests by method and by a regular expression on the path (without ``/v2``). What faults
there are and which one applies is said here; :mod:`klap_sandbox.gate` and the endpoints carry them out.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
        raise ValueError("cannot stand in a header")
    return value


def _writable(value: JsonValue) -> JsonValue:
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


HeaderText = Annotated[str, AfterValidator(_header)]
HeaderName = Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")]
HttpCode = Annotated[int, Field(ge=200, le=599)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Fault(BaseModel):
    """Which requests misbehave, and how often.

    :param method: HTTP method, or ``*`` for any.
    :param path: regular expression, searched for in the path without ``/v2``.
    :param times: how many requests misbehave; null = until the faults are deleted.
    :param skip: how many matching requests pass unharmed first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Annotated[str, AfterValidator(str.upper)]
    path: Annotated[str, AfterValidator(_regular_expression)]
    times: int | None = Field(1, ge=1)
    skip: int = Field(0, ge=0)
    action: str

    def matches(self, method: str, path: str) -> bool:
        """Whether a request with this method and path is meant."""
        return self.method in ("*", method) and re.search(self.path, path) is not None


class Status(Fault):
    """Answer with this status code; the request is not handled."""

    action: Literal["status"]
    code: HttpCode
    headers: dict[HeaderName, HeaderText] = {}
    body: Annotated[JsonValue, AfterValidator(_writable)] = None


class Drop(Fault):
    """Close the connection; the request is not handled."""

    action: Literal["drop"]


class AcceptThenDrop(Fault):
    """Handle the request, then close the connection without an answer."""

    action: Literal["accept_then_drop"]


class Delay(Fault):
    """Handle the request at once and hold the answer back."""

    action: Literal["delay"]
    seconds: Seconds


class Drip(Fault):
    """Handle the request, and send a space every so many seconds instead of the rest of the answer."""

    action: Literal["drip"]
    seconds: Annotated[float, Field(gt=0, le=60)]


class Late(Fault):
    """Handle the request only after so many seconds, whether or not the client still waits for it."""

    action: Literal["late"]
    seconds: Seconds


class Reshape(Fault):
    """Handle the request, and answer with the id alone, or with the answer wrapped: ``{"task": {…}}``."""

    action: Literal["reshape"]
    shape: Literal["id_only", "wrapped"] = "id_only"


class Html(Fault):
    """Answer with a web page instead of JSON; the request is not handled."""

    action: Literal["html"]
    code: HttpCode = 200


class Empty(Fault):
    """Answer with an empty body; the request is not handled."""

    action: Literal["empty"]
    code: HttpCode = 200


class Redirect(Fault):
    """Send the client elsewhere; the request is not handled."""

    action: Literal["redirect"]
    code: Annotated[int, Field(ge=300, le=399)] = 302
    location: HeaderText


class NotAVideo(Fault):
    """A download yields a web page with code 200."""

    action: Literal["not_a_video"]


class Truncate(Fault):
    """Announce the whole Content-Length, send this many bytes of it, then close the connection."""

    action: Literal["truncate"]
    bytes: int = Field(ge=0)


class JobError(Fault):
    """The task or export that is posted or looked at ends in ``error`` when its time is up."""

    action: Literal["job_error"]
    error_code: str = "processing_failed"
    message: str = "Something went wrong."


class UnknownStatus(Fault):
    """The task or export that is posted or looked at has this status word from now on."""

    action: Literal["unknown_status"]
    word: str


class Stuck(Fault):
    """The task or export that is posted or looked at stays ``processing``."""

    action: Literal["stuck"]


class LateList(Fault):
    """The list of this task's or this folder's shorts is empty for so many looks."""

    action: Literal["late_list"]
    looks: int = Field(ge=1)


class PartialList(Fault):
    """The list of a folder's shorts has only the first so many of them; later requests may have more."""

    action: Literal["partial_list"]
    shorts: int = Field(ge=1)


class ListedLate(Fault):
    """The export that is posted is in no list for so many seconds."""

    action: Literal["listed_late"]
    seconds: Seconds


class ChangedList(Fault):
    """From this look at a folder on, its list is another one, as after somebody's work in Klap's app.

    :param grow: so many shorts are new, with the highest scores.
    :param shrink: so many of the best are gone.
    :param rescore: whoever was best is now worst, and so on.
    """

    action: Literal["changed_list"]
    grow: int = Field(0, ge=0)
    shrink: int = Field(0, ge=0)
    rescore: bool = False


JobFate = JobError | UnknownStatus | Stuck
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


def decide(faults: Sequence[Fault], method: str, path: str) -> tuple[Fault | None, list[Fault]]:
    """Find the fault that a request meets: the first that matches and has nothing left to skip.

    :returns: that fault or None, and the faults that remain for later requests.
    """
    remaining = list(faults)
    for place, fault in enumerate(faults):
        if not fault.matches(method, path):
            continue
        if fault.skip:
            remaining[place] = _less(fault, skip=fault.skip - 1)
            continue
        if fault.times == 1:
            del remaining[place]
        elif fault.times is not None:
            remaining[place] = _less(fault, times=fault.times - 1)
        return fault, remaining
    return None, remaining


def _less(fault: Fault, **counters: Any) -> Fault:
    return fault.model_copy(update=counters)


class FaultBook:
    """The faults in force."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted as met."""
        fault, self.faults = decide(self.faults, method, path)
        return fault
