"""What a person is asked about the shorts, and what the answer means. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

#: Airflow's form cannot be sent without a choice, so there is one for picking nothing.
NONE_OF_THEM = "None of them"

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def options(shorts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a choice for each short, in their order, and one for picking none; no two are alike."""
    return [_option(place, short) for place, short in enumerate(shorts, 1)] + [NONE_OF_THEM]


def defaults(shorts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the choices of the shorts that were selected, or that of picking none."""
    return [_option(place, short) for place, short in enumerate(shorts, 1) if short["reason"] is None] or [NONE_OF_THEM]


def selected_ids(shorts: Sequence[Mapping[str, Any]], chosen: Collection[str]) -> list[str]:
    """Return the ids of the picked shorts, in their order. "None" among the choices wins: it costs nothing."""
    if NONE_OF_THEM in chosen:
        return []
    return [short["project_id"] for place, short in enumerate(shorts, 1) if _option(place, short) in chosen]


def body(shorts: Sequence[Mapping[str, Any]], *, price: str, deadline: datetime, covered: int | None = None) -> str:
    """
    Return the terms and the list of the shorts, as Markdown. Their texts are data: no mark-up in them has an effect.

    :param price: of an export, in words.
    :param deadline: until when an answer is waited for, in UTC.
    :param covered: for how many exports the budget does; None: for any number.
    """
    silence = "those that are picked already are exported"
    if not any(short["reason"] is None for short in shorts):
        silence = "none is exported"
    terms = f"Each export costs {price}. Without an answer by {deadline:%Y-%m-%d %H:%M} UTC, {silence}."
    to_pay = sum(not short["exported"] for short in shorts)
    if covered is not None and covered < to_pay:
        terms += f" The budget does for **{covered}** of them: if more are picked, the best {covered} are exported."
    items = "\n".join(_item(place, short) for place, short in enumerate(shorts, 1))
    return f"{terms}\n\n{items}"


def _option(place: int, short: Mapping[str, Any]) -> str:
    return f"{place}. {_line(short['short_name'], 80)} ({_score(short)})"


def _item(place: int, short: Mapping[str, Any]) -> str:
    facts = [f"score {_score(short)}"]
    if short["duration"]:
        facts.append(f"{short['duration']:.0f} s")
    if short["exported"]:
        facts.append("exported before, and free")
    facts.append(f"[preview]({quote(short['preview_url'], safe=':/?#&=%@')})")
    lines = [f"{place}. **{_escaped(_line(short['short_name'], 200))}** · {' · '.join(facts)}"]
    if short["explanation"]:
        lines.append(f"   {_escaped(_line(short['explanation'], 600))}")
    return "  \n".join(lines)


def _score(short: Mapping[str, Any]) -> str:
    return "none" if short["virality_score"] is None else str(short["virality_score"])


def _line(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder="…")


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
