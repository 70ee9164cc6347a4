"""Build the form of a review and read its answer. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

#: The option that selects no short, because Airflow's form cannot be sent empty.
NONE_OF_THEM = "None of them"

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def options(shorts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a unique option for each short, in their order, and the option that selects none."""
    return [_option(number, short) for number, short in enumerate(shorts, 1)] + [NONE_OF_THEM]


def defaults(shorts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the options of the selected shorts; if none is selected, the option that selects none."""
    return [_option(number, short) for number, short in enumerate(shorts, 1) if short["reason"] is None] or [
        NONE_OF_THEM
    ]


def selected_ids(shorts: Sequence[Mapping[str, Any]], chosen: Collection[str]) -> list[str]:
    """Return the ids of the selected shorts, in their order; none if "None of them" is among the chosen options."""
    if NONE_OF_THEM in chosen:
        return []
    return [short["project_id"] for number, short in enumerate(shorts, 1) if _option(number, short) in chosen]


def body(shorts: Sequence[Mapping[str, Any]], *, price: str, deadline: datetime, covered: int | None = None) -> str:
    """
    Return the cost, the deadline and the list of the shorts, as Markdown. Markdown in the texts of shorts is escaped.

    :param covered: number of exports that the budget covers; None: any number.
    """
    default = "the shorts selected by default are exported"
    if not any(short["reason"] is None for short in shorts):
        default = "no short is exported"
    terms = f"Each export costs {price}. If nobody answers by {deadline:%Y-%m-%d %H:%M} UTC, {default}."
    to_pay = sum(not short["exported"] for short in shorts)
    if covered is not None and covered < to_pay:
        terms += f" The budget covers **{covered}** of them: if you select more, the best {covered} are exported."
    items = "\n".join(_item(number, short) for number, short in enumerate(shorts, 1))
    return f"{terms}\n\n{items}"


def _option(number: int, short: Mapping[str, Any]) -> str:
    return f"{number}. {_line(short['short_name'], 80)} ({_score(short)})"


def _item(number: int, short: Mapping[str, Any]) -> str:
    facts = [f"score {_score(short)}"]
    if short["duration"]:
        facts.append(f"{short['duration']:.0f} s")
    if short["exported"]:
        facts.append("exported before, no cost")
    facts.append(f"[preview]({quote(short['preview_url'], safe=':/?#&=%@')})")
    lines = [f"{number}. **{_escaped(_line(short['short_name'], 200))}** · {' · '.join(facts)}"]
    if short["explanation"]:
        lines.append(f"   {_escaped(_line(short['explanation'], 600))}")
    return "  \n".join(lines)


def _score(short: Mapping[str, Any]) -> str:
    return "none" if short["virality_score"] is None else str(short["virality_score"])


def _line(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder="…")


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
