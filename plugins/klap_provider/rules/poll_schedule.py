"""When to poll a job: first when it can be ready, then at Klap's documented interval. Pure: no clock, no Airflow."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Share of an interval by which a poll comes later at most, so that waits that start together do not poll together.
JITTER = 0.1


@dataclass(frozen=True)
class PollSchedule:
    """
    When to poll a job.

    :param interval: seconds between two polls at least.
    :param first: seconds from the submission to the first poll at least. Default: twice the interval.
    """

    interval: float
    first: float | None = None

    @property
    def first_poll(self) -> float:
        """Seconds from the submission to the first poll at least."""
        return 2 * self.interval if self.first is None else self.first

    def until_first(self, waited: float, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds until the first poll; the parameters are those of :meth:`delay`."""
        return max(0.0, self.first_poll - max(0.0, waited)) + self.interval * JITTER * draw()

    def delay(self, waited: float, draw: Callable[[], float] = random.random) -> float:
        """
        Return the seconds until the next poll.

        :param waited: seconds since the job was submitted.
        :param draw: return a uniform random number from 0 to 1, for the jitter.
        """
        return max(self.interval, self.first_poll - max(0.0, waited)) + self.interval * JITTER * draw()


#: Klap documents that tasks take about 2 to 30 minutes, and a poll every 30 s.
TASKS = PollSchedule(interval=30)

#: Klap documents that exports take about 3 to 10 minutes, and a poll every 15 s.
EXPORTS = PollSchedule(interval=15)

#: The list of a task's shorts is complete within seconds to minutes.
LISTS = PollSchedule(interval=5, first=0)
