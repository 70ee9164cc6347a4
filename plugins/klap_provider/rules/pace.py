"""How many items of a source start, when, and which. Pure, and independent of Klap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, kw_only=True)
class Pace:
    """
    How many items of a source start, when, and which.

    :param per_day: maximum number of runs per calendar day. Default: no maximum.
    :param per_hour: maximum number of runs per full hour in UTC. Default: no maximum.
    :param hours: hours in which runs start: ``(9, 18)`` is from 9:00 to 18:00. Default: all hours.
    :param timezone: time zone of ``per_day`` and ``hours``. Default ``UTC``.
    :param back_catalogue: whether the items of the first check start, too. Newer items start first. Default false.
    :param since: items that were published since this time start even at the first check. Earlier ones never start.
    """

    per_day: int | None = None
    per_hour: int | None = None
    hours: tuple[int, int] | None = None
    timezone: str = "UTC"
    back_catalogue: bool = False
    since: datetime | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.since.tzinfo is None:
            raise ValueError(f"since is {self.since}; it needs a time zone.")
        if self.hours and not (0 <= self.hours[0] < 24 and 0 <= self.hours[1] <= 24):
            raise ValueError(f"hours is {self.hours}; it must be two hours from 0 to 24, such as (9, 18).")
        ZoneInfo(self.timezone)

    def allowed(self, now: float, starts: Collection[float]) -> float:
        """Return how many runs may start now, after the given times of earlier starts."""
        at = self._local(now)
        if self.hours and not _within(at.hour, *self.hours):
            return 0
        before = [self._local(start) for start in starts]
        today = sum(start.date() == at.date() for start in before)
        # In UTC, because an hour of the clock comes twice when summer time ends.
        in_hour = sum(start // 3600 == now // 3600 for start in starts)
        left = [limit - used for limit, used in ((self.per_day, today), (self.per_hour, in_hour)) if limit is not None]
        return max(0, min(left, default=math.inf))

    def next_start(self, now: float, starts: Collection[float]) -> float | None:
        """Return when the next run may start; None if that is not within two days."""
        at = now
        for _ in range(48 * 4 + 1):
            if self.allowed(at, starts):
                return at
            at = (at // 900 + 1) * 900  # there are time zones with quarters of an hour
        return None

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, ZoneInfo(self.timezone))


def _within(hour: int, first: int, end: int) -> bool:
    return first <= hour < end if first < end else hour >= first or hour < end
