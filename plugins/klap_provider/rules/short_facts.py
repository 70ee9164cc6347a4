"""What others are told of a short: the tasks that follow, the tab, and the file beside its video. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.rules.selection import virality_percentages
from klap_provider.xcoms import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from klap_provider.api.responses import Project
    from klap_provider.rules.selection import Ranked
    from klap_provider.xcoms import ListedShort, Short, ShortFacts

#: Characters of a transcript that may travel in an XCom and in an asset event. A longer one is in the file alone.
LONGEST_TRANSCRIPT = 10_000

#: Characters of all the captions of a short, as JSON, that may.
LONGEST_CAPTIONS = 10_000


def facts_of(project: Project, *, short_name: str | None, virality_score: float | None) -> Facts:
    """
    Return what Klap says of a short.

    :param short_name: for a project without a name.
    :param virality_score: 0–100, which is told from the whole list of shorts; None: as far as this short tells.
    """
    return {
        "name": project.name or short_name or project.id,
        "virality_score": virality_percentages([project])[0] if virality_score is None else round(virality_score),
        "explanation": project.virality_score_explanation,
        "duration": project.duration,
        "publication_captions": project.publication_captions,
        "transcript": project.transcript_text,
    }


def is_whole(facts: Mapping[str, Any]) -> bool:
    """Whether a file beside a video still has all that Klap said of the short: people may edit it."""
    texts = ("name", "explanation", "transcript")
    return all(name in facts for name in Facts.__annotations__) and all(
        isinstance(facts[name], str | None) for name in texts
    )


def is_complete(facts: Facts) -> bool:
    """
    Whether a list has told all of it, so that Klap need not be asked for the short itself.

    Klap's documents do not have the texts. A list without them may be early, or leaner than the short's own answer.
    """
    captions, transcript = facts["publication_captions"], facts["transcript"]
    if not captions or not transcript or len(transcript) > LONGEST_TRANSCRIPT:
        return False
    return len(json.dumps(captions)) <= LONGEST_CAPTIONS


def list_facts(short: Ranked) -> ShortFacts:
    """Return what the list of shorts says of one for the file beside its video."""
    return {"project_id": short.project.id, **facts_of(short.project, short_name=None, virality_score=short.score)}


def to_listed_short(short: Ranked, folder_id: str | None, *, player_url: str, embed_url: str) -> ListedShort:
    """
    Return what the tab, and whoever selects, is told of a short.

    :param folder_id: for a project without one.
    :param player_url: beginning of the address of Klap's player.
    :param embed_url: the same, of the one to put into a page.
    """
    project = short.project
    return {
        "project_id": project.id,
        "folder_id": project.folder_id or folder_id,
        "short_name": project.name or project.id,
        "virality_score": short.score,
        "explanation": project.virality_score_explanation,
        "preview_url": f"{player_url}/{project.id}",
        "duration": project.duration,
        "reason": None if short.reason is None else short.reason.value,
        "embed_url": f"{embed_url}/{project.id}",
        "exported": False,
    }


def to_short(short: ListedShort) -> Short:
    """Return what the tasks for a selected short are mapped over."""
    return {
        "project_id": short["project_id"],
        "folder_id": short["folder_id"],
        "short_name": short["short_name"],
        "virality_score": short["virality_score"],
        "explanation": short["explanation"],
        "preview_url": short["preview_url"],
        "duration": short["duration"],
    }


def ids_of(shorts: Iterable[Short]) -> list[str]:
    """Return the ids of the shorts."""
    return [short["project_id"] for short in shorts]
