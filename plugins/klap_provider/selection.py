"""Which of the generated shorts to go on with. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klap_provider.models import Project, Selection


def select(projects: list[Project], selection: Selection) -> list[tuple[Project, int | None]]:
    """
    Return the shorts that are worth going on with, and their scores from 0 to 100, best first.

    Klap lists shorts in no defined order. One without a score counts as 0; equal scores are in the order of their ids,
    so that the same list always gives the same selection.
    """
    scored = zip(projects, virality_percentages(projects), strict=True)
    worth = [(project, score) for project, score in scored if (score or 0) >= selection.min_virality_score]
    worth.sort(key=lambda pair: (-(pair[1] or 0), pair[0].id))
    return worth[: selection.limit]


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
