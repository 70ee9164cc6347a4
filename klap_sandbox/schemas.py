"""What a client may send to the API. What has no place here is ignored; validated with ``strict``, it is refused."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http or https URL")
    return value


def _strict(info: ValidationInfo) -> bool:
    return bool(info.context and info.context["strict"])


def _pixels(value: int, info: ValidationInfo) -> int:
    """H.264 needs even numbers. Whether Klap refuses others or rounds them is not known."""
    if _strict(info) and value % 2:
        raise ValueError("must be even")
    return value - value % 2


WebAddress = Annotated[str, AfterValidator(_web_address)]
Pixels = Annotated[int, Field(ge=16, le=3840), AfterValidator(_pixels)]


class ApiRequest(BaseModel):
    """A request body. JSON has one type of number, so 30.0 is 30; other types are not converted."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_it_comes(cls, fields: Any, info: ValidationInfo) -> Any:
        if not isinstance(fields, dict):
            return fields
        whole = {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in fields.items()
        }
        return whole if _strict(info) else cls.leniently(whole)

    @classmethod
    def leniently(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields without those that count as not sent."""
        return {name: value for name, value in fields.items() if value is not None}


def unused(asked: ApiRequest, document: dict[str, Any]) -> list[str]:
    """The names of the fields of a document that nothing was made of, with dots."""
    names = [name for name, value in document.items() if name not in asked.model_fields_set and value is not None]
    for name in asked.model_fields_set:
        if isinstance(part := getattr(asked, name), ApiRequest):
            names += [f"{name}.{inner}" for inner in unused(part, document[name])]
    return names


class Nothing(ApiRequest):
    """A body without fields: ``{}``."""


class Dimensions(ApiRequest):
    """The frame of the finished video."""

    width: Pixels = 1080
    height: Pixels = 1920


class EditingOptions(ApiRequest):
    """What Klap's editor does to a clip; the sandbox acts on ``reframe`` alone."""

    captions: bool = True
    reframe: bool = True
    emojis: bool = True
    intro_title: bool = True
    remove_silences: bool = False


class VideoToVideo(ApiRequest):
    """Body of ``POST /tasks/video-to-video``: the whole video becomes one project."""

    source_video_url: WebAddress
    language: str | None = None
    translate_to: str | None = None
    transcription_context: str | None = Field(None, max_length=1000)
    name: str = "Upload"
    dimensions: Dimensions = Dimensions()
    style_preset_id: str | None = None
    editing_options: EditingOptions = EditingOptions()


class VideoToShorts(VideoToVideo):
    """Body of ``POST /tasks/video-to-shorts``: counts, and durations in seconds."""

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
    """An image laid over the clip: ``pos_x`` and ``pos_y`` place its centre as fractions of the frame."""

    src_url: WebAddress
    pos_x: float = Field(0.5, ge=0, le=1)
    pos_y: float = Field(0.5, ge=0, le=1)
    scale: FiniteFloat = Field(1, gt=0)


class ExportRequest(ApiRequest):
    """Body of a POST to ``…/exports``; may be left out."""

    watermark: Watermark | None = None

    @classmethod
    def leniently(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Clients in use send ``"watermark": false``; it says nothing that Klap could act on."""
        return {name: value for name, value in super().leniently(fields).items() if not isinstance(value, bool)}
