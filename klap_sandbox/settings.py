"""The settings of the sandbox, each with its default. ``docs/reference/sandbox.md`` has the source of each.

They are options of the command line, and of ``POST /_sandbox/settings`` while it runs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """How long things take, and which of Klap's possible ways are followed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    task_seconds: float = Field(5.0, ge=0, allow_inf_nan=False)
    """the least time a task takes, in seconds"""
    export_seconds: float = Field(3.0, ge=0, allow_inf_nan=False)
    """the least time an export takes, in seconds"""
    strict: bool = False
    """refuse whatever Klap's docs do not name: unknown fields, null, odd pixels, a body that is not called JSON"""
    output_id: Literal["at_once", "when_ready"] = "at_once"
    """since when a task has its output_id"""
    list_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    """how long the list of shorts stays away after their task is ready, in seconds"""
    fill_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    """how long the list of shorts takes to fill, from one short to all of them, in seconds"""
    early_list: Literal["empty", "missing"] = "empty"
    """what a list that is not there yet answers: [], or 404"""
    created_code: Literal[200, 201] = 200
    """code of the answer to a POST"""
    timestamps: Literal["offset", "z"] = "offset"
    """times with microseconds and +00:00, or with whole seconds and Z"""
    scores: Literal["percent", "fraction", "null", "absent"] = "percent"
    """the virality score: whole numbers 0 to 100, 0 to 1, null, or not there"""
    project_details: Literal["there", "absent"] = "there"
    """whether a project has publication_captions, transcript_text and duration"""
    user_header: Literal["optional", "required"] = "optional"
    """whether a GET of what belongs to a managed user needs the header X-On-Behalf-Of"""
    direct_path: Literal["any", "whole_videos"] = "any"
    """which projects /projects/{project_id} and its exports find: also shorts, or those of video-to-video alone"""
    too_long: Literal["refused", "error"] = "refused"
    """too long a video is refused with 422, or the task ends in error"""
    max_source_seconds: float = Field(18_000.0, gt=0, allow_inf_nan=False)
    """how long a source video may be, in seconds"""
    silent_videos: Literal["shorts", "none"] = "shorts"
    """whether shorts are found in a video without sound, too, or none"""
    own_mark: Literal["absent", "there"] = "absent"
    """whether an export without a watermark has a mark of Klap's own"""
    errors: Literal["message", "error", "detail", "none"] = "message"
    """where refusals say why; failed jobs say it there too, but in error_message instead of in detail"""
    player: Literal["open", "login", "missing"] = "open"
    """what /player/{project_id} shows: the short, a way to the login, or 404"""

    def changed(self, changes: dict[str, object]) -> Settings:
        """The settings with some of them changed.

        :raises pydantic.ValidationError: a name or value that does not exist.
        """
        return Settings.model_validate({**self.model_dump(), **changes})

    def problem(self, code: str, message: str, *, of_job: bool = False) -> dict[str, str]:
        """Why something was refused, or why a job failed, as Klap may word it."""
        if self.errors == "none":
            return {}
        where = "error_message" if of_job and self.errors == "detail" else self.errors
        return {where: message, **({"error_code": code} if where == "message" else {})}
