"""What a client may send to the API, checked strictly: a wrong or misspelt field is refused by name."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
Pixels = Annotated[int, Field(ge=16, le=3840, multiple_of=2)]


class ApiRequest(BaseModel):
    """A request body: no unknown fields, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(ApiRequest):
    """A body without fields: ``{}``."""


class Dimensions(ApiRequest):
    """The frame of the finished video. H.264 needs even numbers, so odd ones are refused."""

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
    scale: float = Field(1, gt=0, le=100)


class ExportRequest(ApiRequest):
    """Body of a POST to ``…/exports``; may be left out."""

    watermark: Watermark | None = None
