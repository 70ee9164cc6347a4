"""What the file beside a delivered video says of its short, and whether Klap's list of shorts has told it. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from klap_provider.rules.selection import virality_percentages

if TYPE_CHECKING:
    from klap_provider.api.answers import Project
    from klap_provider.xcoms import Facts

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


def is_told(facts: Facts) -> bool:
    """
    Whether a list has told all of it, so that Klap need not be asked for the short itself.

    Klap's documents do not have the texts. A list without them may be early, or leaner than the short's own answer.
    """
    captions, transcript = facts["publication_captions"], facts["transcript"]
    if not captions or not transcript or len(transcript) > LONGEST_TRANSCRIPT:
        return False
    return len(json.dumps(captions)) <= LONGEST_CAPTIONS
