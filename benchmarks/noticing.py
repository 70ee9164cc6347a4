"""2. Noticing: seconds from ready to noticed, and looks spent, with a simulated clock."""

from __future__ import annotations

import math
import random
import statistics
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.plot import Line, log_log
from benchmarks.report import Bar, Section, Table, number
from klap_provider.api.answers import Export, Task
from klap_provider.rules.polling import ExportTarget, Pace, TaskTarget, Wait, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = 4000


class Kind(NamedTuple):
    """
    A kind of job, with lengths that are log-normal, 95 % of them between the ends, and none beyond.

    :param fixed: seconds between looks in Klap's documents; also the default of ``max_wait``.
    """

    name: str
    median: float
    shortest: float
    longest: float
    fixed: float
    target: TaskTarget | ExportTarget
    job: Task | Export


KINDS = (
    Kind("tasks", 480, 120, 1800, 30, TaskTarget("t"), Task(id="t", status="processing")),
    Kind("exports", 330, 180, 600, 15, ExportTarget("e", "p"), Export(id="e", status="processing")),
)


class Noticed(NamedTuple):
    """Mean and 95th percentile of seconds after ready, and looks per job."""

    mean: float
    late: float
    looks: float


def run() -> Section:
    """Simulate."""
    random.seed(1)  # the draws of the paces
    rows, bars, lines = [], [], []
    for kind in KINDS:
        lengths = drawn(kind)
        ours = noticed(lengths, partial(pace_of_this_project, kind))
        docs = noticed(lengths, every(kind.fixed))
        equal = interval_with(ours.looks, lengths)
        same = noticed(lengths, every(equal))
        for name, each in (
            ("this project", ours),
            (f"every {kind.fixed:g} s", docs),
            (f"every {equal:.1f} s: as many looks", same),
        ):
            rows.append([kind.name, name, number(each.mean), number(each.late), number(each.looks)])
        bars.append(
            Bar(
                f"mean seconds from ready to noticed, {kind.name}, against a fixed interval with as many looks",
                ours.mean / same.mean,
                1 if kind.name == "tasks" else 0.75,
            )
        )
        fixed = [noticed(lengths, every(step)) for step in (2, 3, 5, 8, 15, 30, 60)]
        lines.append(Line(f"{kind.name}, this project", [(ours.looks, ours.mean)]))
        lines.append(Line(f"{kind.name}, fixed interval", [(each.looks, each.mean) for each in fixed]))
    worst = max(worst_of_short_jobs(kind) for kind in KINDS)
    bars.append(Bar("jobs of 5 to 60 s: worst time to notice, in units of 2 s or a tenth of the length", worst, 1))
    return Section(
        name="noticing",
        title="2. Noticing",
        said=(
            f"{JOBS:,} jobs of each kind with a simulated clock, through the code that sensors and triggers decide by. "
            "Lengths are log-normal: 95 % of the tasks between 2 and 30 minutes (median 8), of the exports between 3 "
            "and 10 (median 5½), and none beyond. Klap's documents look every 30 and every 15 s."
        ),
        table=Table(("", "", "noticed after, mean s", "95th percentile, s", "looks per job"), rows),
        bars=bars,
        plots={
            "noticing.svg": log_log(
                lines,
                title="Noticed after, against looks spent",
                x="looks per job",
                y="mean seconds from ready to noticed",
            )
        },
    )


def drawn(kind: Kind) -> list[float]:
    """Draw the lengths of jobs, the same in every run."""
    rng = random.Random(kind.name)
    sigma = math.log(kind.longest / kind.shortest) / 2 / 1.96
    lengths: list[float] = []
    while len(lengths) < JOBS:
        length = kind.median * math.exp(rng.gauss(0, sigma))
        if kind.shortest <= length <= kind.longest:
            lengths.append(length)
    return lengths


def pace_of_this_project(kind: Kind, now: float) -> float:
    """Return the seconds until the next look at a job that has run for so long, as the sensors' defaults have it."""
    watch = Watch(0, 7200, Pace(2, kind.fixed))
    verdict = kind.target.judge(kind.job, watch, now=now)  # type: ignore[arg-type]  # the job is of its kind
    assert isinstance(verdict, Wait)
    return verdict.seconds


def every(seconds: float) -> Callable[[float], float]:
    """Return the pace of a fixed interval."""
    return lambda _: seconds


def noticed(lengths: list[float], step: Callable[[float], float]) -> Noticed:
    """Look at each job until it is ready."""
    after, looks = [], 0
    for length in lengths:
        now = 0.0
        looks += 1
        while now < length:
            now += step(now)
            looks += 1
        after.append(now - length)
    return Noticed(statistics.mean(after), statistics.quantiles(after, n=20)[-1], looks / len(lengths))


def interval_with(looks: float, lengths: list[float]) -> float:
    """Return the fixed interval that spends so many looks per job."""
    low, high = 0.5, 120.0
    for _ in range(40):
        middle = (low + high) / 2
        spent = statistics.mean(1 + math.ceil(length / middle) for length in lengths)
        low, high = (middle, high) if spent > looks else (low, middle)
    return high


def worst_of_short_jobs(kind: Kind) -> float:
    """Return the worst time to notice a job of 5 to 60 s, as a share of 2 s or a tenth of its length."""
    rng = random.Random(1)
    lengths = [rng.uniform(5, 60) for _ in range(JOBS)]
    worst = 0.0
    for length in lengths:
        after = noticed([length, length], partial(pace_of_this_project, kind)).mean
        worst = max(worst, after / max(2, length / 10))
    return worst
