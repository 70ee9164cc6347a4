"""What the tasks of a batch leave for each other and for the UI. :mod:`klap_provider.xcoms` has the keys."""

from __future__ import annotations

from typing import Any, TypedDict


class ListedVideo(TypedDict):
    """A video of a batch that gets a run. The task ``video`` is mapped over these."""

    source_video_url: str
    #: Id of the run.
    trigger_run_id: str
    #: Form parameters for this video only.
    settings: dict[str, Any]
    #: Line in the list, from 1.
    line: int


class LeftOutVideo(TypedDict):
    """A video of a batch that gets no run, because its address leads to no video."""

    source_video_url: str
    #: Line in the list, from 1.
    line: int
    reason: str


class Unlisted(TypedDict):
    """Entries of a list that get no run."""

    left_out: list[LeftOutVideo]
    #: Number of entries with the same video and settings as an earlier entry.
    duplicates: int


class ReadList(Unlisted):
    """Entries of a list that get no run, and the Dag of the runs."""

    #: Id of the Dag of the runs.
    trigger_dag_id: str


class IncompleteVideo(TypedDict):
    """A video of a batch whose run did not succeed."""

    source_video_url: str
    run_id: str
    state: str
    error: str | None


class VideoOutcome(IncompleteVideo):
    """The result of the run of a video of a batch."""

    #: Number of delivered shorts.
    shorts: int


class Summary(Unlisted):
    """The result of a batch."""

    videos: int
    runs: int
    complete: int
    #: Number of delivered shorts.
    shorts: int
    incomplete: list[IncompleteVideo]
