"""
What Klap answers, and its status words.

They are read leniently, because the API's documents and its answers differ: unknown fields are kept, and a field that
only some answers carry is optional.

API: https://docs.klap.app/
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from enum import Enum
from sys import float_info
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)


class JobStatus(str, Enum):
    """The status words of tasks and exports. There are no others: ``done`` or ``success`` never come."""

    PROCESSING = "processing"
    READY = "ready"
    ERROR = "error"


def without_queries(words: str) -> str:
    """Return what Klap said without the queries of addresses in it: that of a signed one is a secret."""
    return re.sub(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+", r"\1?…", words)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Job(_Answer):
    id: str = Field(min_length=1)
    # A plain string: a word that is not known is a case of its own, not a parsing failure.
    status: str
    error_code: str | None = None
    error: Any = None
    error_message: Any = None
    message: Any = None
    created_at: datetime | None = None

    @field_validator("created_at", mode="wrap")
    @classmethod
    def _time_or_none(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> datetime | None:
        # An odd time must not make the answer to a paid request unreadable.
        try:
            moment: datetime | None = parse(value)
        except ValidationError:
            return None
        return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=timezone.utc)

    @field_validator("error_code", mode="before")
    @classmethod
    def _code_as_text(cls, value: Any) -> str | None:
        return None if value is None else str(value)

    @property
    def failure(self) -> str:
        """Klap's own words on why the job failed, as far as there are any."""
        words = [w for w in (self.error_code, self.error_message, self.error, self.message) if w]
        return " · ".join(dict.fromkeys(without_queries(str(w)) for w in words)) or "Klap gave no reason"


class Task(_Job):
    """Answer of ``POST /tasks/…`` and ``GET /tasks/{task_id}``."""

    type: str | None = None
    output_type: str | None = None
    #: Folder id (video-to-shorts) or project id (video-to-video). Only to be trusted when ``ready``.
    output_id: str | None = None

    @property
    def output(self) -> str | None:
        """What the job was for; a job that is ready without it is not quite ready."""
        return self.output_id


class Export(_Job):
    """Answer of ``POST`` and ``GET /projects/…/exports``."""

    project_id: str | None = None
    folder_id: str | None = None
    name: str | None = None
    #: Public address of the finished MP4; None until ``ready``. How long it lives is not documented.
    src_url: str | None = None
    descriptions: Any = None

    @property
    def output(self) -> str | None:
        """What the job was for; a job that is ready without it is not quite ready."""
        return self.src_url


class Project(_Answer):
    """One generated short, as in ``GET /projects/{folder_id}``."""

    id: str = Field(min_length=1)
    folder_id: str | None = None
    name: str | None = None
    virality_score: float | None = None
    virality_score_explanation: str | None = None
    #: Length in seconds, in some answers.
    duration: float | None = None
    #: Texts to publish it with, by network; in some answers.
    publication_captions: dict[str, Any] | None = None
    transcript_text: str | None = None

    @field_validator("virality_score", "duration", mode="before")
    @classmethod
    def _number_or_none(cls, value: Any) -> Any:
        sound = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= float_info.max
        return value if sound else None

    @field_validator("publication_captions", "transcript_text", mode="wrap")
    @classmethod
    def _as_expected_or_none(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
        try:
            return parse(value)
        except ValidationError:
            return None


class User(_Answer):
    """Answer of ``POST /users``: a managed user, to act for with ``X-On-Behalf-Of``."""

    id: str = Field(min_length=1)
    email: str | None = None


class UserToken(_Answer):
    """Answer of ``POST /users/{user_id}/tokens``. The token is a secret."""

    external_access_token: str = Field(min_length=1, repr=False)
