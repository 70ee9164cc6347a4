"""Decide when to poll a job: first when it can be ready, then at Klap's documented interval. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Maximum delay of a poll as a share of the interval, so that waits that start together do not poll together.
JITTER = 0.1


@dataclass(frozen=True)
class PollSchedule:
    """
    When to poll a job.

    :param interval: minimum seconds between two polls.
    :param first: minimum seconds from the submission to the first poll. Default: twice the interval.
    """

    interval: float
    first: float | None = None

    @property
    def first_poll(self) -> float:
        """Minimum seconds from the submission to the first poll."""
        return 2 * self.interval if self.first is None else self.first

    def until_first(self, waited: float, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds until the first poll. For the parameters, see :meth:`delay`."""
        return max(0.0, self.first_poll - max(0.0, waited)) + self.interval * JITTER * draw()

    def delay(self, waited: float, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds until the next poll, ``waited`` seconds after the submission. ``draw``: jitter, 0 to 1."""
        return max(self.interval, self.first_poll - max(0.0, waited)) + self.interval * JITTER * draw()


#: Klap documents that tasks take about 2 to 30 minutes, and a poll every 30 s.
TASKS = PollSchedule(interval=30)

#: Klap documents that exports take about 3 to 10 minutes, and a poll every 15 s.
EXPORTS = PollSchedule(interval=15)

#: The list of a task's shorts is complete within seconds to minutes.
LISTS = PollSchedule(interval=5, first=0)
