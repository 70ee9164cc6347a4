"""Plan the shorts of a video. The same request and video length give the same shorts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klap_sandbox import sample_texts

if TYPE_CHECKING:
    from klap_sandbox.request_bodies import VideoToShorts, VideoToVideo

PREFERRED_MIN_SECONDS = 15
"""Plan fewer shorts before making them shorter than this."""


@dataclass(frozen=True)
class Short:
    """A part of the source video, and its texts.

    :param start: seconds from the start of the source.
    :param score: 0 to 100; None for a whole video, like its explanation.
    """

    start: float
    seconds: float
    name: str
    score: int | None
    explanation: str | None
    captions: dict[str, str]
    transcript: str


def plan_shorts(request: VideoToShorts, source_seconds: float) -> list[Short]:
    """Return the shorts of a video, spread over its length without overlaps.

    :param source_seconds: length of the source video.
    :returns: the shorts, not sorted by score; none if the source is shorter than ``min_duration``.
    """
    if source_seconds < request.min_duration:
        return []
    rng = random.Random(request.model_dump_json())
    preferred = min(max(request.min_duration, PREFERRED_MIN_SECONDS), request.max_duration)
    wanted = min(request.target_clip_count, request.max_clip_count)
    count = max(1, min(wanted, int(source_seconds // preferred)))
    section = source_seconds / count
    target = min(max(request.target_duration, request.min_duration), request.max_duration, section)
    scores = _scores(count, rng)
    names = sample_texts.names(count, rng)
    shorts = []
    for index in range(count):
        seconds = max(request.min_duration, target * rng.uniform(0.8, 1.0))
        start = index * section + rng.uniform(0, section - seconds)
        shorts.append(_short(start, seconds, names[index], scores[index], rng))
    return shorts


def plan_whole(request: VideoToVideo, source_seconds: float) -> Short:
    """Return the one project of a video-to-video task: the whole source under the requested name."""
    rng = random.Random(request.model_dump_json())
    return _short(0.0, source_seconds, request.name, None, rng)


def _short(start: float, seconds: float, name: str, score: int | None, rng: random.Random) -> Short:
    return Short(
        start=_hundredths(start),
        seconds=_hundredths(seconds),
        name=name,
        score=score,
        explanation=None if score is None else sample_texts.explanation(score, rng),
        captions=sample_texts.captions(name),
        transcript=sample_texts.transcript(seconds, rng),
    )


def _hundredths(seconds: float) -> float:
    # Rounded down, so that no short ends after its source.
    return math.floor(seconds * 100) / 100


def _scores(count: int, rng: random.Random) -> list[int]:
    """Return scores. The first is never the best, as clients must not rely on the order."""
    scores = [rng.randint(30, 99) for _ in range(count)]
    if count > 1 and scores[0] >= max(scores[1:]):
        scores[0], scores[-1] = min(scores) - 1, scores[0]
    return scores
