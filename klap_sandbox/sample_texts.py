"""Texts of shorts: names, explanations, captions, transcripts. Some names are hard to use as file names."""

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


def names(count: int, rng: random.Random) -> list[str]:
    """Return different names."""
    shuffled = rng.sample(_NAMES, len(_NAMES))
    return [
        shuffled[index % len(shuffled)] + (f" ({index // len(shuffled) + 1})" if index >= len(shuffled) else "")
        for index in range(count)
    ]


def explanation(score: int, rng: random.Random) -> str:
    """Return the explanation of a score."""
    strength, weakness = rng.choice(_STRENGTHS), rng.choice(_WEAKNESSES)
    verdict = "likely to be shared" if score >= 65 else "unlikely to be shared"
    return f"{strength}, held back by {weakness}: {verdict}."


def captions(name: str) -> dict[str, str]:
    """Return publication captions, by network."""
    return {
        "tiktok": f"{name} #fyp #viral",
        "youtube": f"{name} #shorts",
        "linkedin": f"{name}. What do you think?",
        "instagram": f"{name} #reels",
    }


def transcript(seconds: float, rng: random.Random) -> str:
    """Return about as many sentences as fit into this time."""
    return " ".join(rng.choice(_SENTENCES) for _ in range(min(40, max(1, int(seconds // 3)))))
