"""Which shorts come out of a video: a function of what was asked and of the video's length.

The same request for the same video gives the same shorts.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klap_sandbox import words

if TYPE_CHECKING:
    from klap_sandbox.schemas import VideoToShorts, VideoToVideo

COMFORTABLE_SECONDS = 15
"""Rather fewer shorts than shorter ones than this."""


@dataclass(frozen=True)
class Short:
    """A stretch of the source, and what there is to say about it. Times in seconds, the score 0 to 100.

    A whole video has neither score nor explanation.
    """

    start: float
    seconds: float
    name: str
    score: int | None
    explanation: str | None
    captions: dict[str, str]
    transcript: str


def plan_shorts(request: VideoToShorts, source_seconds: float) -> list[Short]:
    """Choose the shorts: spread over the source, never overlapping, never beyond its end.

    :param source_seconds: length of the source video.
    :returns: the shorts in no particular order of score; none if the source is shorter than ``min_duration``.
    """
    if source_seconds < request.min_duration:
        return []
    dice = random.Random(request.model_dump_json())
    comfortable = min(max(request.min_duration, COMFORTABLE_SECONDS), request.max_duration)
    wanted = min(request.target_clip_count, request.max_clip_count)
    count = max(1, min(wanted, int(source_seconds // comfortable)))
    stretch = source_seconds / count
    target = min(max(request.target_duration, request.min_duration), request.max_duration, stretch)
    scores = _scores(count, dice)
    names = words.names(count, dice)
    shorts = []
    for place in range(count):
        seconds = max(request.min_duration, target * dice.uniform(0.8, 1.0))
        start = place * stretch + dice.uniform(0, stretch - seconds)
        shorts.append(_short(start, seconds, names[place], scores[place], dice))
    return shorts


def plan_whole(request: VideoToVideo, source_seconds: float) -> Short:
    """The one project of a video-to-video task: the whole source, under the name that was asked for."""
    dice = random.Random(request.model_dump_json())
    return _short(0.0, source_seconds, request.name, None, dice)


def _short(start: float, seconds: float, name: str, score: int | None, dice: random.Random) -> Short:
    return Short(
        start=_hundredths(start),
        seconds=_hundredths(seconds),
        name=name,
        score=score,
        explanation=None if score is None else words.explanation(score, dice),
        captions=words.captions(name),
        transcript=words.transcript(seconds, dice),
    )


def _hundredths(seconds: float) -> float:
    """Rounded down, so that no short ends beyond its source."""
    return math.floor(seconds * 100) / 100


def _scores(count: int, dice: random.Random) -> list[int]:
    """Scores of which the first is not the best: a client must not rely on the order of the list."""
    scores = [dice.randint(30, 99) for _ in range(count)]
    if count > 1 and scores[0] >= max(scores[1:]):
        scores[0], scores[-1] = min(scores) - 1, scores[0]
    return scores
