"""
Decide whether a failed request is sent again automatically, and when. Pure.

A GET is sent again after any transient error. A paid POST is sent again only if it is certain that Klap did not accept
it: the connection was never made, 429, or 503 with ``Retry-After`` and JSON. After a lost response or any other 5xx,
the request is in doubt (:mod:`klap_provider.rules.in_doubt`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.errors import KlapError


@dataclass(frozen=True)
class Backoff:
    """
    How often a request is repeated, and after which time.

    :param attempts: maximum number of attempts, including the first one.
    :param base: average seconds before the second attempt. They double with each further attempt.
    :param cap: maximum seconds to wait. If ``Retry-After`` is longer, the error is raised, and Airflow retries the task
        after that time, so that no worker is held meanwhile.
    """

    attempts: int = 4
    base: float = 1.0
    cap: float = 30.0

    def delay(
        self, attempt: int, *, retry_after: float | None = None, draw: Callable[[], float] = random.random
    ) -> float:
        """Return the seconds to wait after attempt ``attempt`` (from 1). The jitter spreads them over ±50 %."""
        delay = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60) * (0.5 + draw()))
        return delay if retry_after is None else max(delay, retry_after)


#: For callers that repeat the request themselves, such as a poll loop.
ONCE = Backoff(attempts=1)


def next_attempt_in(
    error: KlapError,
    *,
    repeatable: bool,
    attempt: int,
    backoff: Backoff,
    draw: Callable[[], float] = random.random,
) -> float | None:
    """Return the seconds until a request is sent again after its ``attempt`` (from 1); None: it is not sent again."""
    if attempt >= backoff.attempts or not error.transient or not (repeatable or error.refused):
        return None
    if error.retry_after is not None and error.retry_after > backoff.cap:
        return None
    return backoff.delay(attempt, retry_after=error.retry_after, draw=draw)
