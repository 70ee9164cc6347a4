"""
Models of the responses of Klap's API.

Validation is lenient, because Klap's documentation and its responses differ: unknown fields are kept, most fields are
optional, an id may be a number, and an invalid entry of a list is skipped. The response to a paid request needs only an
id.

API: https://docs.klap.app/
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone
from enum import Enum
from sys import float_info
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, cast

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

from klap_provider.api.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Collection

#: Maximum characters of a status or an error code, and of the reason of a failure, in an error.
LONGEST_CODE, LONGEST_REASON = 100, 500


class JobStatus(str, Enum):
    """The statuses of tasks and exports."""

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
    return None if value is None else (value if isinstance(value, str) else json.dumps(value))[:LONGEST_CODE]


Id = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
#: An invalid value counts as missing.
OptionalId = Annotated[str | None, WrapValidator(_or_none), BeforeValidator(_as_text)]
OptionalText = Annotated[str | None, WrapValidator(_or_none)]
#: A time without a zone is in UTC.
OptionalTime = Annotated[datetime | None, AfterValidator(_in_utc), WrapValidator(_or_none)]


class _Answer(BaseModel):
    # Validators are built at the first response, not when a Dag file is parsed.
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


class _Job(_Answer):
    #: Name of the field with the result of the job.
    output_field: ClassVar[str]

    id: Id
    # Any text, because an unknown status is handled later and is not a validation error.
    status: Annotated[str, BeforeValidator(_as_word)]
    error_code: str | None = None
    error: Any = None
    error_message: Any = None
    message: Any = None
    created_at: OptionalTime = None

    @field_validator("error_code", mode="before")
    @classmethod
    def _code_as_text(cls, value: Any) -> str | None:
        return None if value is None else without_secrets(str(value))[:LONGEST_CODE]

    @property
    def failure(self) -> str:
        """Klap's reason for the failure of the job."""
        reasons = [each for each in (self.error_code, self.error_message, self.error, self.message) if each]
        reason = " · ".join(dict.fromkeys(without_secrets(str(each)) for each in reasons))
        return reason[:LONGEST_REASON] or "Klap gave no reason"

    @property
    def output(self) -> str | None:
        """Result of the job. A job that is ``ready`` without a result is not ready yet."""
        return cast("str | None", getattr(self, self.output_field))


class Task(_Job):
    """Response of ``POST /tasks/…`` and ``GET /tasks/{task_id}``."""

    output_field: ClassVar[str] = "output_id"

    type: OptionalText = None
    output_type: OptionalText = None
    #: Folder id (video-to-shorts) or project id (video-to-video). Valid only when ``ready``.
    output_id: OptionalId = None

    @property
    def has_folder(self) -> bool:
        """Whether the result is a folder of shorts, rather than one project."""
        return self.output_type == "folder" or (self.output_type is None and self.type == "video-to-shorts")


class Export(_Job):
    """Response of ``POST`` and ``GET /projects/…/exports``."""

    output_field: ClassVar[str] = "src_url"

    project_id: OptionalId = None
    folder_id: OptionalId = None
    name: OptionalText = None
    #: Public address of the MP4 file; None until ``ready``. Its lifetime is not documented.
    src_url: OptionalText = None
    descriptions: Any = None


class Project(_Answer):
    """One generated short, as in ``GET /projects/{folder_id}``."""

    id: Id
    folder_id: OptionalId = None
    name: OptionalText = None
    created_at: OptionalTime = None
    virality_score: float | None = None
    virality_score_explanation: OptionalText = None
    #: Length in seconds, in some responses.
    duration: float | None = None
    #: Texts to publish the short with, by platform, in some responses.
    publication_captions: dict[str, Any] | None = None
    transcript_text: OptionalText = None

    @field_validator("virality_score", "duration", mode="before")
    @classmethod
    def _number_or_none(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= float_info.max
        return value if is_number else None

    @field_validator("publication_captions", mode="wrap")
    @classmethod
    def _as_expected_or_none(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
        return _or_none(value, parse)


class User(_Answer):
    """Response of ``POST /users``: a managed user, for ``X-On-Behalf-Of``."""

    id: Id
    email: OptionalText = None


class UserToken(_Answer):
    """Response of ``POST /users/{user_id}/tokens``. The token is a secret."""

    external_access_token: str = Field(min_length=1, repr=False)


AnswerT = TypeVar("AnswerT", bound=_Answer)
JobT = TypeVar("JobT", bound=_Job)

#: Objects that may contain the job in a response, and prefixes of its id.
WRAPPERS = ("task", "export", "data", "result", "job")


def accepted(model: type[JobT], document: Any) -> JobT:
    """
    Return the job in the response to a paid request. It needs only an id, anywhere in the response.

    :raises ValidationError: the response has no id.
    """
    job_id = _find_id(document)
    fields = document if isinstance(document, dict) and document.get("id") == job_id else {}
    status = fields.get("status")
    return model.model_validate(
        {**fields, "id": job_id, "status": status if isinstance(status, str) else JobStatus.PROCESSING.value}
    )


def _is_id(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, str | int) and bool(str(value).strip())


def _find_id(document: Any, depth: int = 3) -> Any:
    if not isinstance(document, dict) or not depth:
        return None
    for name in ("id", *(f"{wrapper}_id" for wrapper in WRAPPERS)):
        if _is_id(document.get(name)):
            return document[name]
    inner = (_find_id(document.get(name), depth - 1) for name in WRAPPERS)
    return next((found for found in inner if found is not None), None)


def entries(model: type[AnswerT], document: Any, *, ids: Collection[str] | None = None) -> list[AnswerT]:
    """
    Return the valid entries of a list.

    :param ids: ids of the entries to return; None: all.
    :raises ValidationError: the document is not a list, or it has no valid entry.
    """
    read = []
    if ids is not None and isinstance(document, list):
        named = [(item, _as_text(item.get("id"))) for item in document if isinstance(item, dict)]
        document = [item for item, name in named if isinstance(name, str) and name in ids]
    for item in TypeAdapter(list[Any]).validate_python(document):
        with suppress(ValidationError):
            read.append(model.model_validate(item))
    return read if read else TypeAdapter(list[model]).validate_python(document)  # type: ignore[valid-type]  # a parameter
