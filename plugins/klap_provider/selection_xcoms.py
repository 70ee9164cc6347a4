"""What the task that selects the shorts leaves for others and for the UI. :mod:`klap_provider.xcoms` has the keys."""

from __future__ import annotations

from typing import Any, TypedDict


class Short(TypedDict):
    """A selected short. The tasks of the group ``short`` are mapped over these."""

    project_id: str
    folder_id: str | None
    short_name: str
    virality_score: int | None
    explanation: str | None
    preview_url: str
    duration: float | None


class ListedShort(Short):
    """A generated short, selected or not."""

    #: Why the short is not selected: a value of :class:`~klap_provider.rules.selection.Unselected`; None if it is.
    reason: str | None
    #: Address of Klap's player for embedding in a page.
    embed_url: str
    #: Whether an export of the short with this run's settings is already paid for. False without a review or
    #: ``project_ids``, because it is only looked up for these.
    exported: bool


class Facts(TypedDict):
    """What Klap's list has about a short, for the JSON file beside its video."""

    name: str
    virality_score: int | None
    explanation: str | None
    duration: float | None
    publication_captions: dict[str, Any] | None
    transcript: str | None


class ShortFacts(Facts):
    """Klap's texts and score for a short."""

    project_id: str


class Offer(TypedDict):
    """The price of exports of the listed shorts."""

    #: Price of one export in US dollars.
    price: float
    estimated: bool
    #: US dollars that the run has paid before the exports.
    spent: float
    #: How many exports the budget covers; None: any number.
    covered: int | None
    #: Deadline of the review, ISO 8601; None without a review.
    deadline: str | None


class Review(TypedDict):
    """The result of a review."""

    #: Ids of the selected shorts, best first.
    selected: list[str]
    #: Name or id of the reviewer; None if nobody answered in time.
    by: str | None
    #: When the reviewer answered, ISO 8601.
    answered_at: str
    #: Whether nobody answered in time.
    timed_out: bool
