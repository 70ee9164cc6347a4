"""The rows of the ledger that are not about payments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from klap_provider.xcoms import File

if TYPE_CHECKING:
    from klap_provider.selection_xcoms import Review


class _Waiting(TypedDict, total=False):
    #: Ids of further shorts that are exported when the run is cleared after the month whose limit was reached.
    waiting: list[str]


class Selected(_Waiting):
    """What a run selected, as the ledger stores it. It stays the same, whatever changes at Klap."""

    #: Ids of the shorts, in the order of the run's mapped tasks.
    selected: list[str]
    #: Ids of all shorts at that time.
    of: list[str]
    #: Klap's id of their folder or project. For another id the run selects again.
    target: str
    #: The result of the review; None without a review.
    review: Review | None


class DeliveredRow(File):
    """Where a run delivered a short, as the ledger stores it. It remains when the run is deleted."""

    export_id: str
    project_id: str
    name: str
    #: Virality score, 0 to 100; None if Klap gave none.
    score: int | None
    #: Address of the source video, without secrets; None if it is not known.
    video: str | None
    #: When the short was last delivered, ISO 8601.
    at: str


class PauseRow(TypedDict):
    """Why a watched source starts nothing, as the ledger stores it."""

    #: The reason, for people.
    reason: str
    #: Until when, in seconds since the epoch; None: until the row is deleted.
    until: float | None


class WatchedRow(TypedDict, total=False):
    """What became of an item of a watched source, as the ledger stores it."""

    #: Format of the row, 1.
    version: int
    #: ``starting``, ``started``, ``skipped`` or ``old``.
    state: str
    #: When it was recorded, in seconds since the epoch.
    at: float
    #: Title of the item, or its id.
    title: str
    #: Id of the run; absent if none was started.
    run_id: str
    #: Why the item was skipped; absent if it was not.
    reason: str


class SourceItem(TypedDict):
    """An item of a watched source, for the Klap page."""

    id: str
    title: str
    #: When it was recorded, in seconds since the epoch.
    at: float
    #: Why it waits or was skipped; empty for a started item.
    reason: str
    #: Id of the run; empty if none was started.
    run_id: str


class OpenRun(TypedDict):
    """A run whose result the source is still to be told."""

    run_id: str
    origin: Any
    #: What the source was told last.
    told: dict[str, Any]


class SourceRow(TypedDict, total=False):
    """The latest check of a watched source by a task, as the ledger stores it."""

    #: Format of the row, 1.
    version: int
    #: Name of the source.
    name: str
    #: Id of the Dag that the source starts.
    trigger_dag_id: str
    #: Whose pauses apply: the source, the connection and the Dag.
    scopes: list[str]
    #: When the check began, in seconds since the epoch.
    at: float
    #: Since when each part of the source is watched, such as one of its feeds, by a hash of the part.
    parts: dict[str, float]
    #: When the pace lets the next item start; None: no item waits for that.
    next_start: float | None
    #: What is recorded about the items that the source lists, by a part of the key of their rows.
    items: dict[str, str]
    #: When runs were started, at least those of the last two days.
    starts: list[float]
    #: The latest items that were started.
    started: list[SourceItem]
    #: The latest items that were skipped.
    skipped: list[SourceItem]
    #: The first items that wait.
    waiting: list[SourceItem]
    #: How many items wait.
    waits: int
    #: Runs whose results the source is still to be told.
    open: dict[str, OpenRun]
    #: Whether people were told that the checks fail.
    told: bool


class PollRow(TypedDict, total=False):
    """The latest time that a watched source was listed, as the ledger stores it."""

    #: Format of the row, 1.
    version: int
    #: When it was listed, in seconds since the epoch.
    at: float
    #: Why the source could not be listed; None if it was.
    error: str | None
    #: When it was last listed with the parts that a task has checked, in seconds since the epoch.
    listed: float
    #: How often in a row it could not be listed.
    failures: int
    #: Fingerprint of each new item, and since when it is the same.
    seen: dict[str, list[Any]]
