"""
When to look next. Pure: no clock, no sleep, no Airflow.

A look costs a request; a job that is ready and not yet looked at costs time. Say that jobs are ready after ``t``
seconds with density ``f``, that a share ``S`` of them still runs then, and that ``n`` looks are taken per second at
that time. A job is noticed after ``1 / 2n`` seconds, and looks are spent on those that still run. With a look worth
``price`` seconds, what is to be least is the integral of ``f / 2n + price · n · S``; that is where
``n = √(h / (2 · price))``, with the hazard ``h = f / S``: how likely a job that still runs is ready in the next second.
So looks are rare before jobs can be ready, close when they usually are, and rare again for those that take longer than
nearly all. The price decides how many looks there are; the lengths, where they go.

Lengths are taken for log-normal: a median, and a factor that most of them lie within. They begin as Klap's documents
have them and become those of the last jobs (:func:`learned`).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Seconds of a job in which looks come after a third of the time waited, where jobs may be that short.
FIRST_MINUTE = 60.0

#: How many of the last jobs are kept: enough to know their spread, few enough to be forgotten when Klap changes.
KEPT = 64

#: How many jobs must be known before looks in the first minute are spared.
ENOUGH = 8

#: Share of jobs that end in their first minute below which it is not looked at closely.
RARE = 0.02

#: How many jobs the documents count for.
PRIOR = 1.0

#: Factor around the median beyond which a length counts as no further away.
OUTLIER = 8.0

#: Of the looks at a job alone, the share that is taken where others of its folder share them: the last of ten takes so
#: much longer than one does that the calls for all would else be twice as many.
SHARED = 0.6

#: Lengths spread no less than this (of their logarithms), however alike the last ones were.
LEAST_SPREAD = 0.15

#: Times at which the looks of a plan are reckoned, in seconds: each a thirtieth later, up to a day.
_TIMES = (0.0, *(math.exp(k / 30) for k in range(342)))


@dataclass(frozen=True)
class Typical:
    """
    How long jobs of a kind take.

    :param median: seconds.
    :param spread: standard deviation of their natural logarithms.
    :param price: seconds of noticing later that are worth a look.
    :param may_be_short: whether a job may well end in its first minute.
    """

    median: float
    spread: float
    price: float
    may_be_short: bool = False

    def hazard(self, age: float) -> float:
        """Return how likely a job of that age, in seconds, is ready in the next second."""
        z = math.log(age / self.median) / self.spread
        if z > 5:  # where both are too small to be divided
            return z / (age * self.spread)
        density = math.exp(-z * z / 2) / (age * self.spread * math.sqrt(2 * math.pi))
        return density / (0.5 * math.erfc(z / math.sqrt(2)))

    def share_before(self, age: float) -> float:
        """Return the share of jobs that take less than so many seconds."""
        return 0.5 * math.erfc(-math.log(age / self.median) / self.spread / math.sqrt(2))


@dataclass(frozen=True)
class Documented:
    """
    What Klap's documents say of a kind of job.

    :param soonest: seconds, with ``latest`` the ends between which 95 % of the jobs lie.
    :param latest: seconds.
    :param price: of a look, where the lengths are known.
    :param first_price: of a look, until they are: those in the first minute are to be paid for, too.
    """

    soonest: float
    latest: float
    price: float
    first_price: float

    @property
    def median(self) -> float:
        """Seconds."""
        return math.sqrt(self.soonest * self.latest)

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithms."""
        return math.log(self.latest / self.soonest) / 2 / 1.96


#: About 2 to 30 minutes. With these prices looks are no more than at every 30 s, as the documents have it.
TASKS = Documented(120, 1800, price=0.68, first_price=2.2)
#: About 3 to 10 minutes; every 15 s.
EXPORTS = Documented(180, 600, price=0.192, first_price=0.5)


def learned(documented: Documented, lengths: Sequence[float] = ()) -> Typical:
    """
    Return what is typical, of what is documented and what the last jobs took.

    The documents count as much as one job. A length that is far from the others counts as one that is less far.

    :param lengths: seconds of the last jobs, in any order.
    """
    logs = [math.log(max(1.0, length)) for length in lengths]
    if not logs:
        return Typical(documented.median, documented.spread, documented.first_price, may_be_short=True)
    middle, reach = sorted(logs)[len(logs) // 2], math.log(OUTLIER)
    logs = [min(max(each, middle - reach), middle + reach) for each in logs]
    mean = math.fsum(logs) / len(logs)
    before, weight = math.log(documented.median), len(logs) / (len(logs) + PRIOR)
    centre = (1 - weight) * before + weight * mean
    variance = (
        (1 - weight) * documented.spread**2
        + weight * math.fsum((each - mean) ** 2 for each in logs) / len(logs)
        + weight * (1 - weight) * (mean - before) ** 2
    )
    # Rounded, so that waits which know nearly the same share a plan.
    median, spread = math.exp(round(centre, 2)), max(LEAST_SPREAD, round(math.sqrt(variance), 2))
    fit = Typical(median, spread, documented.price)
    if len(logs) < ENOUGH or fit.share_before(FIRST_MINUTE) > RARE:
        return Typical(median, spread, documented.first_price, may_be_short=True)
    return fit


@dataclass(frozen=True)
class Pace:
    """
    When to look, within bounds.

    Where jobs may be short, they are looked at after each third of the time waited in their first minute: one that is
    short, or fails at once, is noticed within a third of its length. Where nothing is known about the kind of job, so
    it goes on.

    :param shortest: seconds between looks at least.
    :param longest: seconds between looks at most.
    :param typical: what is known about the kind of job.
    """

    shortest: float
    longest: float
    typical: Typical | None = None

    def delay(self, waited: float, draw: Callable[[], float] = random.random, *, shared: bool = False) -> float:
        """
        Return the seconds until the next look.

        :param waited: seconds since the job was submitted.
        :param shared: whether looks tell of other jobs, too: there are :data:`SHARED` as many then, but where jobs may
            be short.
        :param draw: uniform random number from 0 to 1. It shortens the delay by up to about a tenth, so that waits that
            started together do not beat together.
        """
        part = 1 - 0.1 * draw()
        if self.typical is None or waited < 0:
            return min(self.longest, max(self.shortest, waited / 3) * part)
        if shared and not (self.typical.may_be_short and waited < FIRST_MINUTE):
            part /= SHARED
        delay = _plan(self.typical, self.shortest).after(waited, part)
        return min(self.longest, max(self.shortest * part, delay))


class _Plan(NamedTuple):
    """How many looks belong before each of :data:`_TIMES`."""

    looks: Sequence[float]

    def after(self, waited: float, part: float) -> float:
        """Return the seconds until that part of a look more is due."""
        due = _between(_TIMES, self.looks, waited) + part
        return math.inf if due >= self.looks[-1] else _between(self.looks, _TIMES, due) - waited


@lru_cache(maxsize=512)
def _plan(typical: Typical, shortest: float) -> _Plan:
    def density(age: float) -> float:
        if typical.may_be_short and age < FIRST_MINUTE * 4 / 3:
            return 1 / max(0.98 * shortest, 0.265 * age)  # somewhat more than a look from t to t · 4/3
        return math.sqrt(typical.hazard(age) / 2 / typical.price)

    steps = ((end - start) * density((start + end) / 2) for start, end in pairwise(_TIMES))
    return _Plan((0.0, *accumulate(steps)))


def _between(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    right = min(max(bisect_right(xs, x), 1), len(xs) - 1)
    span = xs[right] - xs[right - 1]
    return ys[right] if span <= 0 else ys[right - 1] + (ys[right] - ys[right - 1]) * (x - xs[right - 1]) / span


class Took(NamedTuple):
    """
    How long a job took.

    :param seconds: from the submission until it was ready, as far as looks tell.
    :param of: seconds of the video that it is about, where that is known.
    """

    seconds: float
    of: float | None = None


def remember(row: object, jobs: Iterable[Took]) -> list[list[float | None]]:
    """
    Return a record with further jobs in it, the last ones alone.

    :param row: the record as it was kept; what cannot be read of it is forgotten.
    """
    known = [*_read(row), *jobs]
    return [[round(took.seconds, 1), took.of and round(took.of, 1)] for took in known[-KEPT:]]


def lengths(row: object, of: float | None = None) -> list[float]:
    """
    Return what the last jobs took.

    :param row: a record of :func:`remember`, or anything else for none.
    :param of: seconds of the video; jobs about one that is half to twice as long are preferred, if enough are known.
    """
    known = _read(row)
    alike = [took.seconds for took in known if of and took.of and of / 2 <= took.of <= of * 2]
    return alike if len(alike) >= ENOUGH else [took.seconds for took in known]


def _read(row: object) -> list[Took]:
    entries = row if isinstance(row, list) else []
    return [
        Took(float(entry[0]), entry[1])
        for entry in entries
        if isinstance(entry, list) and len(entry) == 2 and _is_length(entry[0])
        if entry[1] is None or _is_length(entry[1])
    ]


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
