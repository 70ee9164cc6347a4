"""The sandbox's settings: durations, and choices where the real API's behavior is not known.

Each is a command line option and a field of ``POST /_sandbox/settings``. The source of each default is in
``docs/reference/sandbox.md``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Durations and variants of behavior. The docstrings are the command line's help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    task_seconds: float = Field(5.0, ge=0, allow_inf_nan=False)
    """minimum duration of a task, in seconds"""
    export_seconds: float = Field(3.0, ge=0, allow_inf_nan=False)
    """minimum duration of an export, in seconds"""
    strict: bool = False
    """refuse what Klap's docs do not name: unknown fields, null, odd pixels, a body not sent as JSON, extra slashes"""
    output_id: Literal["at_once", "when_ready"] = "at_once"
    """when a task gets its output_id"""
    list_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    """seconds from a task's ready status until its shorts are listed"""
    fill_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    """seconds in which the list of shorts grows from one short to all of them"""
    early_list: Literal["empty", "missing"] = "empty"
    """response to a list request that comes too early: [] or 404"""
    created_code: Literal[200, 201] = 200
    """status code of successful POSTs"""
    timestamps: Literal["offset", "z"] = "offset"
    """timestamps with microseconds and +00:00, or with whole seconds and Z"""
    scores: Literal["percent", "fraction", "null", "absent"] = "percent"
    """virality score: integer 0 to 100, fraction 0 to 1, null, or no such field"""
    project_details: Literal["there", "absent"] = "there"
    """whether projects have publication_captions, transcript_text and duration"""
    user_header: Literal["optional", "required"] = "optional"
    """whether GETs of a managed user's jobs need the header X-On-Behalf-Of"""
    direct_path: Literal["any", "whole_videos"] = "any"
    """projects served below /projects/{project_id}: all, or only those of video-to-video tasks"""
    too_long: Literal["refused", "error"] = "refused"
    """a video that is too long: refuse it with 422, or let its task end in error"""
    max_source_seconds: float = Field(18_000.0, gt=0, allow_inf_nan=False)
    """maximum duration of a source video, in seconds"""
    silent_videos: Literal["shorts", "none"] = "shorts"
    """whether a video without sound yields shorts"""
    own_mark: Literal["absent", "there"] = "absent"
    """whether exports without a watermark get Klap's own"""
    errors: Literal["message", "error", "detail", "none"] = "message"
    """field that holds the reason of an error; with detail, failed jobs use error_message"""
    credits: int | None = Field(None, ge=0)
    """number of paid requests that each API key can make; further ones get 402"""
    rate_limit: int | None = Field(None, ge=1)
    """number of API requests per second that each API key can make; further ones get 429 with Retry-After"""
    player: Literal["open", "login", "missing"] = "open"
    """/player/{project_id} shows the short, asks for a login, or returns 404"""

    def changed(self, changes: Settings | None) -> Settings:
        """Return these settings with those changed that are set in ``changes``."""
        return self.model_copy(update=changes.model_dump(exclude_unset=True)) if changes else self

    def error_fields(self, code: str, message: str, *, of_job: bool = False) -> dict[str, str]:
        """Return the response fields that explain an error.

        :param of_job: for a failed job instead of a refused request.
        """
        if self.errors == "none":
            return {}
        if self.errors == "message":
            return {"message": message, "error_code": code}
        return {"error_message" if of_job and self.errors == "detail" else self.errors: message}
