"""
What Klap answers, and its status words.

They are read leniently, because the API's documents and its answers differ: unknown fields are kept, a field that
only some answers carry is optional, an id may be a number, and a list is read entry by entry. Of the answer to a paid
request nothing but the id is needed.

API: https://docs.klap.app/
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone
from enum import Enum
from sys import float_info
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from klap_provider.api.redaction import redacted_text, without_secrets, writable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


#: Characters of a status or an error code, and of Klap's words on a failure, that errors repeat.
LONGEST_WORD, LONGEST_REASON = 100, 500


class JobStatus(str, Enum):
    """The status words of tasks and exports. There are no others: ``done`` or ``success`` never come."""

    PROCESSING = "processing"
    READY = "ready"
    ERROR = "error"


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _or_none(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        return parse(value)
    except ValidationError:
        return None


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _as_word(value: Any) -> str | None:
    return None if value is None else (value if isinstance(value, str) else json.dumps(value))[:LONGEST_WORD]


Id = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
#: One that is odd counts as one that is not there.
OptionalId = Annotated[str | None, WrapValidator(_or_none), BeforeValidator(_as_text)]
OptionalText = Annotated[str | None, WrapValidator(_or_none)]
#: A time without a zone is in UTC.
OptionalTime = Annotated[datetime | None, AfterValidator(_in_utc), WrapValidator(_or_none)]


class _Answer(BaseModel):
    # Built at the first answer, not when a DAG file is parsed.
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


class _Job(_Answer):
    id: Id
    # Any text: a word that is not known is a case of its own, not a parsing failure.
    status: Annotated[str, BeforeValidator(_as_word)]
    error_code: str | None = None
    error: Any = None
    error_message: Any = None
    message: Any = None
    created_at: OptionalTime = None

    @field_validator("error_code", mode="before")
    @classmethod
    def _code_as_text(cls, value: Any) -> str | None:
        return None if value is None else without_secrets(str(value))[:LONGEST_WORD]

    @property
    def failure(self) -> str:
        """Klap's own words on why the job failed, as far as there are any."""
        words = [w for w in (self.error_code, self.error_message, self.error, self.message) if w]
        said = " · ".join(dict.fromkeys(without_secrets(str(w)) for w in words))
        return said[:LONGEST_REASON] or "Klap gave no reason"


class Task(_Job):
    """Answer of ``POST /tasks/…`` and ``GET /tasks/{task_id}``."""

    #: Where what the job was for is.
    output_field: ClassVar[str] = "output_id"

    type: OptionalText = None
    output_type: OptionalText = None
    #: Folder id (video-to-shorts) or project id (video-to-video). Only to be trusted when ``ready``.
    output_id: OptionalId = None

    @property
    def has_folder(self) -> bool:
        """Whether the task makes a folder of shorts, rather than one project."""
        return self.output_type == "folder" or (self.output_type is None and self.type == "video-to-shorts")

    @property
    def output(self) -> str | None:
        """What the job was for; a job that is ready without it is not quite ready."""
        return self.output_id


class Export(_Job):
    """Answer of ``POST`` and ``GET /projects/…/exports``."""

    output_field: ClassVar[str] = "src_url"

    project_id: OptionalId = None
    folder_id: OptionalId = None
    name: OptionalText = None
    #: Public address of the finished MP4; None until ``ready``. How long it lives is not documented.
    src_url: OptionalText = None
    descriptions: Any = None

    @property
    def output(self) -> str | None:
        """What the job was for; a job that is ready without it is not quite ready."""
        return self.src_url


class Project(_Answer):
    """One generated short, as in ``GET /projects/{folder_id}``."""

    id: Id
    folder_id: OptionalId = None
    name: OptionalText = None
    created_at: OptionalTime = None
    virality_score: float | None = None
    virality_score_explanation: OptionalText = None
    #: Length in seconds, in some answers.
    duration: float | None = None
    #: Texts to publish it with, by network; in some answers.
    publication_captions: dict[str, Any] | None = None
    transcript_text: OptionalText = None

    @field_validator("virality_score", "duration", mode="before")
    @classmethod
    def _number_or_none(cls, value: Any) -> Any:
        sound = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= float_info.max
        return value if sound else None

    @field_validator("publication_captions", mode="wrap")
    @classmethod
    def _as_expected_or_none(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
        return _or_none(value, parse)


class User(_Answer):
    """Answer of ``POST /users``: a managed user, to act for with ``X-On-Behalf-Of``."""

    id: Id
    email: OptionalText = None


class UserToken(_Answer):
    """Answer of ``POST /users/{user_id}/tokens``. The token is a secret."""

    external_access_token: str = Field(min_length=1, repr=False)


AnswerT = TypeVar("AnswerT", bound=_Answer)
JobT = TypeVar("JobT", bound=_Job)

#: What an answer may wrap a job in, or call its id.
WRAPPERS = ("task", "export", "data", "result", "job")


def accepted(model: type[JobT], document: Any) -> JobT:
    """
    Return the job that a paid request has made. Only its id has to be there, wherever it stands.

    :raises ValidationError: there is none.
    """
    job_id = _find_id(document)
    fields = document if isinstance(document, dict) and document.get("id") == job_id else {}
    status = fields.get("status")
    return model.model_validate(
        {**fields, "id": job_id, "status": status if isinstance(status, str) else JobStatus.PROCESSING.value}
    )


def _sound_id(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, str | int) and bool(str(value).strip())


def _find_id(document: Any, depth: int = 3) -> Any:
    if not isinstance(document, dict) or not depth:
        return None
    for name in ("id", *(f"{wrapper}_id" for wrapper in WRAPPERS)):
        if _sound_id(document.get(name)):
            return document[name]
    inner = (_find_id(document.get(name), depth - 1) for name in WRAPPERS)
    return next((found for found in inner if found is not None), None)


def entries(model: type[AnswerT], document: Any, *, ids: Collection[str] | None = None) -> list[AnswerT]:
    """
    Return what can be read of a list: an entry that cannot is left out, so that it does not hide the others.

    :param ids: of these entries; default: of all.
    :raises ValidationError: the document is no list, or nothing in it can be read.
    """
    read = []
    if ids is not None and isinstance(document, list):
        named = [(item, _as_text(item.get("id"))) for item in document if isinstance(item, dict)]
        document = [item for item, name in named if isinstance(name, str) and name in ids]
    for item in TypeAdapter(list[Any]).validate_python(document):
        with suppress(ValidationError):
            read.append(model.model_validate(item))
    return read if read else TypeAdapter(list[model]).validate_python(document)  # type: ignore[valid-type]  # a parameter


#: Levels of a document that are read; what lies deeper means nothing.
DEEPEST = 40

_FIELDS = {
    "detail",
    *WRAPPERS,
    *(field for model in (Task, Export, Project, User, UserToken) for field in model.model_fields),
}
#: Fields that are no words for people. The token of a user is what was asked for.
_DATA = ("type", "output_type", "created_at", "external_access_token")
#: Fields that are quoted in errors with all that is in them.
_QUOTED = ("error_code", "error", "error_message", "message", "detail")

_WORDS = {word.value for word in JobStatus}


def redacted(document: Any, secrets: Iterable[str]) -> Any:
    """Return a decoded answer without the secrets in it, and of characters that can be written down alone."""
    return _redacted(document, tuple(secrets), DEEPEST, quoted=False)


def _redacted(value: Any, secrets: tuple[str, ...], levels: int, *, quoted: bool) -> Any:
    if isinstance(value, str):
        return redacted_text(value, secrets)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        return [_redacted(each, secrets, levels - 1, quoted=quoted) for each in value]
    return {
        name if not quoted and _is_of_the_protocol(name) else redacted_text(name, secrets): (
            writable(each)
            if isinstance(each, str) and not quoted and (_is_data(name) or (name == "status" and each in _WORDS))
            else _redacted(each, secrets, levels - 1, quoted=quoted or name in _QUOTED)
        )
        for name, each in value.items()
    }


def _is_of_the_protocol(name: str) -> bool:
    return name in _FIELDS or name.endswith("_id")


def _is_data(name: str) -> bool:
    return name in _DATA or name == "id" or name.endswith("_id")
