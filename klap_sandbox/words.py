"""The prose of a short: names, explanations, captions, transcripts. Some names make awkward file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_NAMES = (
    "The one habit that changed everything",
    'He said "never again" and meant it',
    "Wait for it: the moment nobody expected",
    "Why 90% of launches fail 🚀",
    "AC/DC, coffee and other fuels",
    "From zero to hero… in one take!",
    "Über-produktiv? So geht's",
    "What I'd tell my younger self?",
    "../the way back: lessons from a detour",
    "Fast, cheap & good <pick two>",
    "東京で学んだこと",
    "A very long story about how a small idea that nobody believed in became the thing that everybody "
    "was talking about, told by the people who were there from the first day",
    "Save $1,000 a month* (*terms apply)",
    "Rule #1 | Start before you're ready",
)
_STRENGTHS = ("A strong hook in the first seconds", "A surprising turn", "A clear payoff", "Lively delivery")
_WEAKNESSES = ("a slow ending", "little context for newcomers", "a niche topic", "few emotional peaks")
_SENTENCES = (
    "So here is the thing nobody tells you.",
    "We tried it for a week, and it worked.",
    "And that is when everything changed.",
    "I did not see that coming at all.",
    "Ask yourself what you would do for free.",
    "It sounds simple, because it is.",
)


def names(count: int, dice: random.Random) -> list[str]:
    """So many names, all different."""
    deck = dice.sample(_NAMES, len(_NAMES))
    return [
        deck[place % len(deck)] + (f" ({place // len(deck) + 1})" if place >= len(deck) else "")
        for place in range(count)
    ]


def explanation(score: int, dice: random.Random) -> str:
    """Why a short has this score."""
    strength, weakness = dice.choice(_STRENGTHS), dice.choice(_WEAKNESSES)
    verdict = "likely to be shared" if score >= 65 else "unlikely to spread by itself"
    return f"{strength}, held back by {weakness}: {verdict}."


def captions(name: str) -> dict[str, str]:
    """Texts to publish a short with, by network."""
    return {
        "tiktok": f"{name} #fyp #viral",
        "youtube": f"{name} #shorts",
        "linkedin": f"{name}. What do you think?",
        "instagram": f"{name} #reels",
    }


def transcript(seconds: float, dice: random.Random) -> str:
    """About as many sentences as fit into this time."""
    return " ".join(dice.choice(_SENTENCES) for _ in range(min(40, max(1, int(seconds // 3)))))
