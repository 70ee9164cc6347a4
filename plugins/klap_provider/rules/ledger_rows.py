"""The rows of the ledger that are not about payments."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from klap_provider.xcoms import File

if TYPE_CHECKING:
    from klap_provider.xcoms import Review


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
