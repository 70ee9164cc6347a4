"""The rows of the ledger that are not about payments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from klap_provider.xcoms import File

if TYPE_CHECKING:
    from klap_provider.selection_xcoms import Review


class _Waiting(TypedDict, total=False):
    #: Ids of shorts that the monthly limit excluded. If the run is cleared after that month, they are exported.
    waiting: list[str]


class Selected(_Waiting):
    """What a run selected, as the ledger stores it. It stays the same, whatever changes at Klap."""

    #: Ids of the shorts, in the order of the run's mapped tasks.
    selected: list[str]
    #: Ids of all shorts at that time.
    of: list[str]
    #: Klap's id of their folder or project. If the id differs, the run selects again.
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
    """Why watched sources start nothing, as the ledger stores it."""

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


class _Failed(TypedDict, total=False):
    #: When a check first found that the run had failed, in seconds since the epoch.
    failed_at: float


class OpenRun(_Failed):
    """A run whose final result is not yet written back to the source."""

    run_id: str
    origin: Any
    #: The result that was written last.
    told: dict[str, Any]


class SourceRow(TypedDict, total=False):
    """The latest check of a watched source by a task, as the ledger stores it."""

    #: Format of the row, 1.
    version: int
    #: Name of the source.
    name: str
    #: Id of the Dag that the source starts.
    trigger_dag_id: str
    #: Scopes whose ``pause`` rows apply: the source, the connection and the Dag.
    scopes: list[str]
    #: When the check began, in seconds since the epoch.
    at: float
    #: When the watch of each part of the source, such as a feed, began: seconds since the epoch, by a hash of the part.
    parts: dict[str, float]
    #: When the pace allows the next start, in seconds since the epoch; None: no item waits for the pace.
    next_start: float | None
    #: State of each item in the list, by the hash in the key of its row.
    items: dict[str, str]
    #: Times at which runs were started in the last two days, in seconds since the epoch.
    starts: list[float]
    #: The latest items that were started.
    started: list[SourceItem]
    #: The latest items that were skipped.
    skipped: list[SourceItem]
    #: The first items that wait.
    waiting: list[SourceItem]
    #: Number of items that wait.
    waits: int
    #: Runs whose final result is not yet written back to the source (``report``).
    open: dict[str, OpenRun]
    #: Whether a notice was sent that the checks fail.
    told: bool


class PollRow(TypedDict, total=False):
    """The latest time that a watched source was listed, as the ledger stores it."""

    #: Format of the row, 1.
    version: int
    #: When the source was last listed, in seconds since the epoch.
    at: float
    #: Why the source could not be listed; None if it was.
    error: str | None
    #: When it was last listed without a part that is new to the tasks, in seconds since the epoch.
    listed: float
    #: Number of polls in a row that could not list the source.
    failures: int
    #: Fingerprint of each new item, and since when it has not changed.
    seen: dict[str, list[Any]]
