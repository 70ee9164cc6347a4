"""Bodies of API requests.

The models accept what clients in use send. In strict mode, :func:`check_body` refuses what Klap's docs do not name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

if TYPE_CHECKING:
    from fastapi import Request

    from klap_sandbox.settings import Settings

_STRICT = {"strict": True}


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http or https URL")
    return value


def _pixels(value: int, info: ValidationInfo) -> int:
    # H.264 needs even numbers. Whether Klap refuses odd ones or rounds them is not known.
    if info.context == _STRICT and value % 2:
        raise ValueError("must be even")
    return value - value % 2


WebAddress = Annotated[str, AfterValidator(_web_address)]
Pixels = Annotated[int, Field(ge=16, le=3840), AfterValidator(_pixels)]


class ApiRequest(BaseModel):
    """A request body. ``30.0`` counts as 30, as JSON has one number type; other types are not converted."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _normalize(cls, fields: Any, info: ValidationInfo) -> Any:
        if not isinstance(fields, dict):
            return fields
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()  # refuse NaN and half surrogate pairs
        fields = {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in fields.items()
        }
        return fields if info.context == _STRICT else cls.drop_unset(fields)

    @classmethod
    def drop_unset(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields without those whose value counts as not sent."""
        return {name: value for name, value in fields.items() if value is not None}


class EmptyBody(ApiRequest):
    """A body without fields: ``{}``."""


class Dimensions(ApiRequest):
    """Size of the video, in pixels."""

    width: Pixels = 1080
    height: Pixels = 1920


class EditingOptions(ApiRequest):
    """Steps of Klap's editor. The sandbox applies only ``reframe``."""

    captions: bool = True
    reframe: bool = True
    emojis: bool = True
    intro_title: bool = True
    remove_silences: bool = False


class VideoToVideo(ApiRequest):
    """Body of ``POST /tasks/video-to-video``."""

    source_video_url: WebAddress
    language: str | None = None
    translate_to: str | None = None
    transcription_context: str | None = Field(None, max_length=1000)
    name: str = "Upload"
    dimensions: Dimensions = Dimensions()
    style_preset_id: str | None = None
    editing_options: EditingOptions = EditingOptions()


class VideoToShorts(VideoToVideo):
    """Body of ``POST /tasks/video-to-shorts``. Durations are in seconds."""

    target_clip_count: int = Field(10, ge=1)
    max_clip_count: int = Field(10, ge=1)
    min_duration: int = Field(1, ge=1, le=120)
    max_duration: int = Field(180, ge=1, le=180)
    target_duration: int = Field(60, ge=1, le=120)

    @field_validator("max_duration")
    @classmethod
    def _not_below_the_minimum(cls, value: int, info: ValidationInfo) -> int:
        minimum = info.data.get("min_duration", 1)
        if value < minimum:
            raise ValueError(f"must not be less than min_duration ({minimum})")
        return value


class Watermark(ApiRequest):
    """An image over the video. ``pos_x`` and ``pos_y`` are the position of its center, as fractions of the frame."""

    src_url: WebAddress
    pos_x: float = Field(0.5, ge=0, le=1)
    pos_y: float = Field(0.5, ge=0, le=1)
    scale: FiniteFloat = Field(1, gt=0)


class ExportRequest(ApiRequest):
    """Body of a POST to ``…/exports``; optional."""

    watermark: Watermark | None = None

    @classmethod
    def drop_unset(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Drop booleans, too: some clients send ``"watermark": false``."""
        return {name: value for name, value in super().drop_unset(fields).items() if not isinstance(value, bool)}


async def check_body(request: Request, body: ApiRequest, settings: Settings) -> None:
    """Log the fields of a parsed body that were ignored. In strict mode, refuse what Klap's docs do not name.

    :raises RequestValidationError: strict mode, and the body has an undocumented field or value.
    """
    sent = await request.json() if await request.body() else None
    ignored = _ignored_fields(body, sent or {})
    request.state.log_entry.set_ignored(ignored)
    if not settings.strict:
        return
    errors: list[Any] = [
        {"loc": name.split("."), "msg": "Klap's docs name no such field", "type": "extra_forbidden"} for name in ignored
    ]
    try:
        type(body).model_validate(sent or {}, context=_STRICT)
    except ValidationError as problem:
        errors = problem.errors()
    if errors:
        raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in errors])


def _ignored_fields(body: ApiRequest, sent: dict[str, Any]) -> list[str]:
    """Return the names of the fields that were sent and not used, nested ones with dots."""
    names = [name for name, value in sent.items() if name not in body.model_fields_set and value is not None]
    for name in body.model_fields_set:
        if isinstance(part := getattr(body, name), ApiRequest):
            names += [f"{name}.{inner}" for inner in _ignored_fields(part, sent[name])]
    return names
