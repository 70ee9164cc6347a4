"""Select the shorts to export. Pure."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from klap_provider.api.responses import Project
    from klap_provider.rules.limits import Selection
    from klap_provider.selection_xcoms import ListedShort


class Unselected(str, Enum):
    """Why a short is not selected."""

    BELOW_MINIMUM = "below_minimum"
    NO_SCORE = "no_score"
    BEYOND_LIMIT = "beyond_limit"
    NOT_SELECTED = "not_selected"
    BEYOND_BUDGET = "beyond_budget"
    BEYOND_MONTH = "beyond_month"
    BEYOND_MAP_LENGTH = "beyond_map_length"
    SELECTED_BEFORE = "selected_before"


class Ranked(NamedTuple):
    """A generated short: its virality score, 0 to 100, and why it is not selected; None if it is."""

    project: Project
    score: int | None
    reason: Unselected | None


def rank(projects: list[Project], selection: Selection) -> list[Ranked]:
    """
    Return all shorts, best first, each selected or with the reason why it is not.

    Shorts without a score come last. Shorts with the same score are sorted by id, so that the same list always gives
    the same selection: Klap lists shorts in no defined order.
    """
    scored = sorted(
        zip(projects, virality_percentages(projects), strict=True),
        key=lambda pair: (1 if pair[1] is None else -pair[1], pair[0].id),
    )
    ranked = []
    remaining = len(scored) if selection.limit is None else selection.limit
    for project, score in scored:
        reason = None
        if selection.project_ids:
            reason = None if project.id in selection.project_ids else Unselected.NOT_SELECTED
        elif score is None and selection.min_virality_score and selection.without_score == "leave_out":
            reason = Unselected.NO_SCORE
        elif score is not None and score < selection.min_virality_score:
            reason = Unselected.BELOW_MINIMUM
        elif not remaining:
            reason = Unselected.BEYOND_LIMIT
        else:
            remaining -= 1
        ranked.append(Ranked(project, score, reason))
    return ranked


def restore_selection(shorts: Sequence[ListedShort], selected: Sequence[str]) -> list[ListedShort]:
    """Return the shorts with an earlier selection of the run. Selected shorts come first, in their earlier order."""
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
    """Return the shorts with the given ids first, in that order. The others keep their order."""
    order = {project_id: number for number, project_id in enumerate(first)}
    return sorted(shorts, key=lambda short: order.get(short["project_id"], len(first)))


def within_budget(shorts: Sequence[ListedShort], covered: int) -> list[ListedShort]:
    """Return the shorts, best first, with no more selected than the budget covers. Earlier exports cost nothing."""
    return _within(shorts, covered, Unselected.BEYOND_BUDGET, lambda short: not short["exported"])


def within_map_length(shorts: Sequence[ListedShort], most: int) -> list[ListedShort]:
    """Return the shorts, best first, with no more selected than Airflow maps a task over."""
    return _within(shorts, most, Unselected.BEYOND_MAP_LENGTH, lambda _: True)


def _within(
    shorts: Sequence[ListedShort], most: int, reason: Unselected, counts: Callable[[ListedShort], bool]
) -> list[ListedShort]:
    kept: list[ListedShort] = []
    for short in shorts:
        is_counted = short["reason"] is None and counts(short)
        most -= is_counted
        kept.append({**short, "reason": reason.value} if is_counted and most < 0 else short)
    return kept


def reasons(shorts: Iterable[ListedShort]) -> dict[str, int]:
    """Return the number of shorts that are not selected, by reason."""
    return dict(Counter(reason for short in shorts if (reason := short.get("reason")) is not None))


def select_only(shorts: Sequence[ListedShort], selected: Collection[str]) -> list[ListedShort]:
    """Return the shorts with exactly the given ids selected."""
    return [
        {**short, "reason": None if short["project_id"] in selected else Unselected.NOT_SELECTED.value}
        for short in shorts
    ]


def virality_percentages(projects: Iterable[Project]) -> list[int | None]:
    """
    Return the virality score of each project as an integer from 0 to 100; None if it has none.

    Klap documents scores from 0 to 1, but returns 0 to 100. If all scores of a folder are 1 or less, they are taken
    as 0 to 1.
    """
    scores = [p.virality_score for p in projects]
    known = [s for s in scores if s is not None]
    factor = 100 if known and max(known) <= 1 else 1
    return [None if s is None else round(max(0, min(100, s * factor))) for s in scores]
