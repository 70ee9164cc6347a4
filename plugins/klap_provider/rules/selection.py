"""Which of the generated shorts to go on with. Pure."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from klap_provider.api.responses import Project
    from klap_provider.rules.limits import Selection
    from klap_provider.xcoms import ListedShort


class Unselected(str, Enum):
    """Why a short is not gone on with."""

    BELOW_MINIMUM = "below_minimum"
    NO_SCORE = "no_score"
    BEYOND_LIMIT = "beyond_limit"
    NOT_SELECTED = "not_selected"
    BEYOND_BUDGET = "beyond_budget"
    BEYOND_MAP_LENGTH = "beyond_map_length"
    SELECTED_BEFORE = "selected_before"


class Ranked(NamedTuple):
    """
    A generated short and what became of it in the selection.

    :param score: virality score, 0–100; None where Klap gave none.
    :param reason: why it was not selected; None if it was.
    """

    project: Project
    score: int | None
    reason: Unselected | None


def rank(projects: list[Project], selection: Selection) -> list[Ranked]:
    """
    Return all shorts, best first, each with whether it is worth going on with.

    Klap lists shorts in no defined order. Those without a score come last; equal scores are in the order of their ids,
    so that the same list always gives the same selection.
    """
    scored = sorted(
        zip(projects, virality_percentages(projects), strict=True),
        key=lambda pair: (1 if pair[1] is None else -pair[1], pair[0].id),
    )
    ranked = []
    room = len(scored) if selection.limit is None else selection.limit
    for project, score in scored:
        reason = None
        if selection.project_ids:
            reason = None if project.id in selection.project_ids else Unselected.NOT_SELECTED
        elif score is None and selection.min_virality_score and selection.without_score == "leave_out":
            reason = Unselected.NO_SCORE
        elif score is not None and score < selection.min_virality_score:
            reason = Unselected.BELOW_MINIMUM
        elif not room:
            reason = Unselected.BEYOND_LIMIT
        else:
            room -= 1
        ranked.append(Ranked(project, score, reason))
    return ranked


def restore_selection(shorts: Sequence[ListedShort], selected: Sequence[str]) -> list[ListedShort]:
    """
    Return the shorts with those selected that a run has selected before, first and in that order, and no others.

    :param selected: their ids.
    """
    return put_first(
        [
            {**short, "reason": None}
            if short["project_id"] in selected
            else {**short, "reason": short["reason"] or Unselected.SELECTED_BEFORE.value}
            for short in shorts
        ],
        selected,
    )


def put_first(shorts: Sequence[ListedShort], first: Sequence[str]) -> list[ListedShort]:
    """Return the shorts with those of the given ids first, in the order of these; the others keep theirs."""
    place = {project_id: number for number, project_id in enumerate(first)}
    return sorted(shorts, key=lambda short: place.get(short["project_id"], len(first)))


def within_budget(shorts: Sequence[ListedShort], room: int) -> list[ListedShort]:
    """
    Return the shorts, best first, with no more than so many selected: for the others the budget does not pay.

    Those that were exported before cost nothing and do not count.
    """
    kept: list[ListedShort] = []
    for short in shorts:
        reason = short["reason"]
        if reason is None and not short["exported"]:
            room -= 1
            if room < 0:
                reason = Unselected.BEYOND_BUDGET.value
        kept.append({**short, "reason": reason})
    return kept


def within_map_length(shorts: Sequence[ListedShort], most: int) -> list[ListedShort]:
    """Return the shorts, best first, with no more selected than Airflow maps a task over."""
    kept: list[ListedShort] = []
    for short in shorts:
        most -= short["reason"] is None
        beyond = short["reason"] is None and most < 0
        kept.append({**short, "reason": Unselected.BEYOND_MAP_LENGTH.value if beyond else short["reason"]})
    return kept


def reasons(shorts: Iterable[ListedShort]) -> dict[str, int]:
    """Return how many shorts were left out, by the reason why."""
    return dict(Counter(reason for short in shorts if (reason := short.get("reason")) is not None))


def select_only(shorts: Sequence[ListedShort], selected: Collection[str]) -> list[ListedShort]:
    """Return the shorts with those selected of these ids selected, and no others."""
    return [
        {**short, "reason": None if short["project_id"] in selected else Unselected.NOT_SELECTED.value}
        for short in shorts
    ]


def virality_percentages(projects: Iterable[Project]) -> list[int | None]:
    """
    Return the virality score of each project as a whole number from 0 to 100, or None where it has none.

    The documents say 0–1, real answers say 0–100. No single number tells which scale it is on, a folder does:
    on a scale of 0–100 not every short of a video scores 1 or less.
    """
    scores = [p.virality_score for p in projects]
    known = [s for s in scores if s is not None]
    factor = 100 if known and max(known) <= 1 else 1
    return [None if s is None else round(max(0, min(100, s * factor))) for s in scores]
