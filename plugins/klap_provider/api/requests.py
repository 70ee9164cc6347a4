"""
Models of the request bodies of Klap's API. :mod:`klap_provider.api.responses` has the responses.

Validation is strict, so that a mistake is reported before anything is paid: unknown fields, values out of range and
contradictions are errors.

The trigger form uses the titles, descriptions, bounds and defaults of these fields
(:mod:`klap_provider.dag_parts.trigger_form`). The defaults are Klap's. Fields that are not set are not sent.

API: https://docs.klap.app/
"""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003  # pydantic may resolve the annotation
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from klap_provider.api import addresses
from klap_provider.api.languages import LANGUAGES
from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapInputError

#: Marks of a hidden part in a query: this package's and Airflow's.
_HIDDEN = re.compile(r"^…|&…|\*\*\*")


def _http_url(typed: str) -> str:
    """Return an http(s) address as it is sent to Klap."""
    url = addresses.repaired(typed)
    try:
        parts = urlsplit(url)
        complete = parts.scheme in addresses.WEB and bool(parts.hostname) and parts.port != 0  # .port may raise
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("must be a complete address that begins with https:// or http://")
    if not url.isprintable():
        raise ValueError("contains invisible characters; type the address, or copy it from the browser")
    if "\\" in url:
        raise ValueError("contains \\, which some programs read as /; write / or %5C")
    if _HIDDEN.search(parts.query):
        raise ValueError("is incomplete, because a part of it is hidden; give the complete address")
    if re.search(r"\s", url):
        raise ValueError("must be one address without spaces; write a space as %20")
    return url


def _video_url(typed: str) -> str:
    """Return the address of a video as it is sent to Klap, or, for object storage, as it will be signed."""
    url = addresses.repaired(typed)
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in STORAGE:
        url = _http_url(typed)
        if addresses.is_other_youtube_page(url):
            raise ValueError(
                "is the address of a playlist, a channel or another page on YouTube, or its video id is incomplete. "
                "Give the address of one video, such as https://www.youtube.com/watch?v=dQw4w9WgXcQ"
            )
        return url
    parts = urlsplit(url)
    if not parts.hostname or parts.path.endswith("/") or not parts.path:
        raise ValueError(f"must name a bucket and a file, such as {scheme}://conn_id@bucket/path.mp4")
    return url


#: Schemes of object storage that can sign an address for Klap (:mod:`klap_provider.files.signing`).
STORAGE = ("s3", "gs", "abfs")

# Validated before pydantic strips the text, so that an error repeats what the user typed.
HttpUrl = Annotated[str, Field(min_length=1), BeforeValidator(lambda typed: _text(typed, _http_url))]

#: An address that Klap can fetch, or a file in object storage, whose address is signed for Klap.
VideoUrl = Annotated[str, Field(min_length=1), BeforeValidator(lambda typed: _text(typed, _video_url))]


def _text(typed: Any, check: Callable[[str], str]) -> Any:
    return check(typed) if isinstance(typed, str) else typed  # pydantic reports any other type


class Request(BaseModel):
    """Base of the models: strict and frozen."""

    # Most parses of a Dag file validate nothing, so the validators are built on first use.
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, defer_build=True)

    def body(self) -> dict[str, Any]:
        """Return the JSON body: the fields that were set and are not None."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)

    def settings(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        return _without_empty(self.model_dump(mode="json", exclude_defaults=True, exclude_none=True))


def _side(size: int, title: str) -> Any:
    description = f"{title} in pixels, an even number. Empty: calculated from the aspect ratio."
    return Field(size, ge=16, le=3840, multiple_of=2, title=title, description=description)


class Dimensions(Request):
    """Size of the video in pixels. Video encoders need even numbers."""

    width: int = _side(1080, "Width")
    height: int = _side(1920, "Height")


class EditingOptions(Request):
    """How Klap edits the video."""

    captions: bool = Field(True, title="Captions", description="Burn animated captions into the video.")
    reframe: bool = Field(
        True, title="Reframe", description="Follow the speaker when the video is cropped to the aspect ratio."
    )
    emojis: bool = Field(True, title="Emojis", description="Add emojis to the captions.")
    intro_title: bool = Field(True, title="Intro title", description="Show a title at the beginning.")
    remove_silences: bool = Field(False, title="Remove silences", description="Cut out pauses.")


def _choice(no_choice: str, names: dict[str, str]) -> dict[str, Any]:
    """Return the schema of a drop-down list in the trigger form. The model itself accepts any text."""
    return {"enum": [None, *names], "values_display": {"None": no_choice, **names}}


class VideoRequest(Request):
    """Body of ``POST /tasks/video-to-video``: caption and reframe one video as a whole."""

    source_video_url: VideoUrl = Field(
        title="Video URL",
        description="A YouTube link, a public http(s) address of a video file, or a file in object storage such as "
        "s3://aws_default@bucket/talk.mp4. The video can be up to 5 hours long. Klap must be able to reach it from the "
        "internet.",
    )
    language: str | None = Field(
        None,
        title="Language",
        description="Language that is spoken in the video. Captions are more accurate if you set it. "
        "Empty: Klap detects it.",
        json_schema_extra=_choice("Klap detects it", LANGUAGES),
    )
    translate_to: str | None = Field(
        None,
        title="Translate to",
        description="Language of the captions, if it is not the spoken language. Empty: no translation.",
        json_schema_extra=_choice("No translation", LANGUAGES),
    )
    transcription_context: str | None = Field(
        None,
        max_length=1000,
        title="Names and jargon",
        description="Names and technical terms that are spoken, so that the captions spell them correctly. "
        "Empty: none.",
        json_schema_extra={"format": "multiline"},
    )
    name: str | None = Field(
        None,
        title="Name",
        description="Name of the video in the Shorts tab, on the Klap page and in Klap. Empty: its address.",
    )
    dimensions: Dimensions | None = None
    style_preset_id: str | None = Field(
        None,
        title="Style preset",
        description="Id of a caption style that you created in Klap. Empty: Klap's default style.",
    )
    editing_options: EditingOptions | None = None

    @field_validator("language", "translate_to", "transcription_context", "name", "style_preset_id")
    @classmethod
    def _empty_is_unset(cls, value: str | None) -> str | None:
        return value or None


class ShortsRequest(VideoRequest):
    """Body of ``POST /tasks/video-to-shorts``: generate shorts from one long video."""

    target_clip_count: int | None = Field(
        None, ge=1, title="Target number of shorts", description="Number of shorts that Klap aims for. Empty: 10."
    )
    max_clip_count: int | None = Field(
        10,
        ge=1,
        title="Maximum number of shorts",
        description="Klap generates and bills no more shorts than this. Empty: 10.",
    )
    min_duration: int | None = Field(
        1, ge=1, le=120, title="Minimum length", description="Minimum length of a short in seconds. Empty: 1."
    )
    max_duration: int | None = Field(
        180, ge=1, le=180, title="Maximum length", description="Maximum length of a short in seconds. Empty: 180."
    )
    target_duration: int | None = Field(
        None, ge=1, le=120, title="Target length", description="Length that Klap aims for, in seconds. Empty: 60."
    )

    @model_validator(mode="after")
    def _durations_make_sense(self) -> ShortsRequest:
        if self.min_duration and self.max_duration and self.min_duration > self.max_duration:
            raise ValueError(
                f"min_duration ({self.min_duration} s) is longer than max_duration ({self.max_duration} s)"
            )
        return self


#: A position of a watermark, as a part of the width or height of the video.
Position = Annotated[float, Field(ge=0, le=1)]
#: The size of a watermark. 1 is the original size of the picture.
Scale = Annotated[float, Field(gt=0, le=100)]


def _position(title: str, edges: str) -> Any:
    return Field(0.5, title=title, description=f"Position of the picture's center. {edges}")


class Watermark(Request):
    """A picture on top of an exported video."""

    src_url: HttpUrl = Field(
        title="Watermark picture", description="Public address of a picture. Empty: no picture is added."
    )
    pos_x: Position = _position(
        "Horizontal position", "0 is the left edge of the video, 1 the right edge. Near a corner: 0.15 or 0.85."
    )
    pos_y: Position = _position(
        "Vertical position", "0 is the top edge of the video, 1 the bottom edge. Near a corner: 0.1 or 0.9."
    )
    scale: Scale = Field(1, title="Size", description="1 is the original size of the picture.")


class ExportRequest(Request):
    """Body of ``POST /projects/…/exports``. Without a watermark an empty object is sent."""

    watermark: Watermark | None = None


def export_request(watermark: dict[str, Any] | None) -> ExportRequest:
    """Return the request for an export. Without a watermark, or without its ``src_url``: no watermark."""
    if isinstance(watermark, dict) and not watermark.get("src_url"):
        watermark = None
    return build_request(ExportRequest, {"watermark": watermark})


RequestT = TypeVar("RequestT", bound=Request)


def build_request(model: type[RequestT], fields: dict[str, Any], *, quote: bool = True) -> RequestT:
    """
    Validate the fields of a request. None counts as not set, also in nested objects.

    :param quote: whether an error may repeat the given values.
    :raises KlapInputError: fields are wrong; the message names each of them.
    """
    try:
        return model.model_validate(_without_none(fields))
    except ValidationError as invalid:
        problems = [
            ": ".join(filter(None, (".".join(map(str, p["loc"])), p["msg"].removeprefix("Value error, "))))
            + (f" (got {without_secrets(repr(p['input']))})" if quote and p["type"] != "missing" and p["loc"] else "")
            for p in invalid.errors(include_url=False)
        ]
        raise KlapInputError("Nothing was sent to Klap. " + "; ".join(problems)) from None


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    nested = {name: _without_empty(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return {name: value for name, value in nested.items() if value != {}}
