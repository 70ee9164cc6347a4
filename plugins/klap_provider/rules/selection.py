"""Select the shorts to export. Pure."""

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
    """Why a short is not selected."""

    BELOW_MINIMUM = "below_minimum"
    NO_SCORE = "no_score"
    BEYOND_LIMIT = "beyond_limit"
    NOT_SELECTED = "not_selected"
    BEYOND_BUDGET = "beyond_budget"
    BEYOND_MAP_LENGTH = "beyond_map_length"
    SELECTED_BEFORE = "selected_before"


class Ranked(NamedTuple):
    """
    A generated short with its rank.

    :param score: virality score, 0 to 100; None if Klap gave none.
    :param reason: why the short is not selected; None if it is.
    """

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
    """
    Return the shorts with an earlier selection of the run: the selected shorts come first, in their earlier order.

    :param selected: ids of the shorts that were selected.
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
    """Return the shorts with the given ids first, in that order. The others keep their order."""
    order = {project_id: number for number, project_id in enumerate(first)}
    return sorted(shorts, key=lambda short: order.get(short["project_id"], len(first)))


def within_budget(shorts: Sequence[ListedShort], covered: int) -> list[ListedShort]:
    """
    Return the shorts with no more selected than the budget covers.

    :param shorts: best first. Shorts that were exported before cost nothing and do not count.
    :param covered: number of exports that the budget covers.
    """
    kept: list[ListedShort] = []
    for short in shorts:
        reason = short["reason"]
        if reason is None and not short["exported"]:
            covered -= 1
            if covered < 0:
                reason = Unselected.BEYOND_BUDGET.value
        kept.append({**short, "reason": reason})
    return kept


def within_map_length(shorts: Sequence[ListedShort], most: int) -> list[ListedShort]:
    """
    Return the shorts with no more selected than Airflow maps a task over.

    :param shorts: best first.
    :param most: Airflow's limit.
    """
    kept: list[ListedShort] = []
    for short in shorts:
        most -= short["reason"] is None
        beyond = short["reason"] is None and most < 0
        kept.append({**short, "reason": Unselected.BEYOND_MAP_LENGTH.value if beyond else short["reason"]})
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
