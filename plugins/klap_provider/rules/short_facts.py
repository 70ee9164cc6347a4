"""Build the facts about a short for later tasks, the Shorts tab and the JSON file beside its video. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from klap_provider.rules.selection import virality_percentages
from klap_provider.selection_xcoms import Facts, Short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from klap_provider.api.responses import Project
    from klap_provider.rules.selection import Ranked
    from klap_provider.selection_xcoms import ListedShort, ShortFacts

#: Maximum characters of a transcript in an XCom and an asset event. A longer one is only in the JSON file.
LONGEST_TRANSCRIPT = 10_000

#: Maximum characters of the publication captions of a short, as JSON, in an XCom.
LONGEST_CAPTIONS = 10_000


def facts_of(project: Project, *, short_name: str | None, virality_score: float | None) -> Facts:
    """Return what Klap has about a short. ``virality_score``: from the whole list of shorts; None: not known."""
    return {
        "name": project.name or short_name or project.id,
        "virality_score": virality_percentages([project])[0] if virality_score is None else round(virality_score),
        "explanation": project.virality_score_explanation,
        "duration": project.duration,
        "publication_captions": project.publication_captions,
        "transcript": project.transcript_text,
    }


def is_whole(facts: Mapping[str, Any]) -> bool:
    """Whether the JSON file beside a video still has all facts with the right types. Users may edit it."""
    texts = ("name", "explanation", "transcript")
    return all(name in facts for name in Facts.__annotations__) and all(
        isinstance(facts[name], str | None) for name in texts
    )


def is_complete(facts: Facts) -> bool:
    """Whether a list has all texts of a short. It may lack texts that the response to a GET of the short has."""
    captions, transcript = facts["publication_captions"], facts["transcript"]
    if not captions or not transcript or len(transcript) > LONGEST_TRANSCRIPT:
        return False
    return len(json.dumps(captions)) <= LONGEST_CAPTIONS


def list_facts(short: Ranked) -> ShortFacts:
    """Return the facts from the list of shorts about one of them."""
    return {"project_id": short.project.id, **facts_of(short.project, short_name=None, virality_score=short.score)}


def to_listed_short(short: Ranked, folder_id: str | None, *, player_url: str, embed_url: str) -> ListedShort:
    """Return the entry of a short in the XCom ``klap_shorts``."""
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
    """Return the entry that the tasks for a selected short are mapped over."""
    return cast("Short", {name: short[name] for name in Short.__annotations__})  # type: ignore[literal-required]  # its fields


def ids_of(shorts: Iterable[Short]) -> list[str]:
    """Return the ids of the shorts."""
    return [short["project_id"] for short in shorts]
