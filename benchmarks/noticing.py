"""
2. Noticing: seconds from ready to noticed, and looks spent, with a simulated clock.

``python -m benchmarks noticing`` prints it; put the lengths of your own jobs into :data:`KINDS` to see yours.
"""

from __future__ import annotations

import math
import random
import statistics
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.plot import Line, log_log
from benchmarks.report import Bar, Section, Table, number
from klap_provider.api.answers import Export, Task
from klap_provider.rules import pace
from klap_provider.rules.pace import Pace, Took, Typical
from klap_provider.rules.polling import ExportTarget, Ready, TaskTarget, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.rules.pace import Documented

JOBS = 4000


class Kind(NamedTuple):
    """
    A kind of job, with lengths that are log-normal, 95 % of them between the ends, and none beyond.

    :param fixed: seconds between looks in Klap's documents.
    :param longest: the default of ``max_wait``.
    :param looks: the bar for looks per job.
    :param share: the bar for the time to notice, as a share of that of a fixed interval with as many looks.
    """

    name: str
    least: float
    most: float
    fixed: float
    longest: float
    documented: Documented
    looks: float = math.inf
    share: float = math.inf

    @property
    def median(self) -> float:
        """Seconds."""
        return MEDIANS.get(self.name, math.sqrt(self.least * self.most))

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithms."""
        return math.log(self.most / self.least) / 2 / 1.96


MEDIANS = {"tasks": 480.0, "exports": 330.0}
KINDS = (
    Kind("tasks", 120, 1800, 30, 120, pace.TASKS, 20.4, 0.8),
    Kind("exports", 180, 600, 15, 60, pace.EXPORTS, 24, 0.5),
    Kind("tasks of some 4 minutes", 160, 360, 30, 120, pace.TASKS),
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
        ours = noticed_by_this_project(kind, lengths, learns=True)
        equal = interval_with(ours.looks, lengths)
        same = noticed(lengths, every(equal))
        for name, each in (
            ("this project", ours),
            ("this project, while it knows no job", noticed_by_this_project(kind, lengths, learns=False)),
            (f"every {kind.fixed:g} s", noticed(lengths, every(kind.fixed))),
            (f"every {equal:.1f} s: as many looks", same),
            ("the optimum with as many looks", optimum(kind, lengths, ours.looks)),
        ):
            rows.append([kind.name, name, number(each.mean), number(each.late), number(each.looks)])
        if kind.name == "exports":
            by, rng = learned_of(kind, lengths), random.Random(1)
            for count in (10, 50):
                sets = [rng.sample(lengths, count) for _ in range(200)]
                together = noticed_in_folders(sets, by)
                calls = together.looks * count
                alone = noticed_in_folders([[max(each)] for each in sets], by).looks
                what = f"{count} exports of one folder"
                rows.append([what, "all together", number(together.mean), number(together.late), number(calls)])
                rows.append([what, "the longest of them alone", "", "", number(alone)])
                bars.append(
                    Bar(
                        f"calls for {count} exports of one folder, against the longest of them alone",
                        calls / alone,
                        1.2,
                    )
                )
        if math.isinf(kind.looks):
            continue
        bars.append(Bar(f"looks per job, {kind.name}", ours.looks, kind.looks))
        what = f"mean seconds from ready to noticed, {kind.name}, against a fixed interval with as many looks"
        bars.append(Bar(what, ours.mean / same.mean, kind.share))
        fixed = [noticed(lengths, every(step)) for step in (5, 8, 15, 30, 60)]
        best = [optimum(kind, lengths, looks) for looks in (8, 12, 20, 40, 80)]
        lines.append(Line(f"{kind.name}, this project", [(ours.looks, ours.mean)]))
        lines.append(Line(f"{kind.name}, fixed interval", [(each.looks, each.mean) for each in fixed]))
        lines.append(Line(f"{kind.name}, optimum", [(each.looks, each.mean) for each in best]))
    short = [worst_of_short_jobs(kind) for kind in KINDS[:2]]
    bars.append(
        Bar(
            "jobs of 5 to 60 s: worst time to notice, in units of 5 s or a third of the length",
            max(worst for worst, _ in short),
            1,
        )
    )
    bars.append(Bar("jobs of 5 to 60 s: looks at most", max(looks for _, looks in short), 10))
    return Section(
        name="noticing",
        title="2. Noticing",
        said=(
            f"{JOBS:,} jobs of each kind with a simulated clock, one after the other, through the code that sensors "
            "and triggers decide by: it begins with what Klap's documents say and learns of each job what its looks "
            "tell of it. Lengths are log-normal: 95 % of the tasks between 2 and 30 minutes (median 8), of the exports "
            "between 3 and 10 (median 5½), and none beyond. Klap's documents look every 30 and every 15 s. The "
            "optimum knows the distribution, has no jitter and no bounds. Jobs of 5 to 60 s are such where nothing is "
            "known, and where such jobs are. Exports of one folder begin half a second apart and share their looks: "
            "the looks are those of all."
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
    lengths: list[float] = []
    while len(lengths) < JOBS:
        length = kind.median * math.exp(rng.gauss(0, kind.spread))
        if kind.least <= length <= kind.most:
            lengths.append(length)
    return lengths


def noticed_by_this_project(kind: Kind, lengths: list[float], *, learns: bool) -> Noticed:
    """Look at each job as the sensors' defaults have it."""
    record: object = None
    after, looks = [], 0
    for length in lengths:
        typical = pace.learned(kind.documented, pace.lengths(record))
        late, spent, took = wait_for(kind, length, Pace(5, kind.longest, typical))
        after.append(late)
        looks += spent
        if learns and took:
            record = pace.remember(record, [Took(took)])
    return _noticed(after, looks)


def wait_for(kind: Kind, length: float, by: Pace) -> tuple[float, int, float | None]:
    """Wait for one job; return how late it was noticed, at how many looks, and how long it seems to have taken."""
    target = TaskTarget("t") if kind.documented is pace.TASKS else ExportTarget("e", "p")
    watch, now, looks = Watch(0, 1e6, by, running_at=0), by.delay(0), 1
    while True:
        verdict = target.judge(_job(target, now >= length), watch, now=now)  # type: ignore[arg-type]  # of its kind
        if isinstance(verdict, Ready):
            return now - length, looks, verdict.took
        watch, now, looks = verdict.watch, now + verdict.seconds, looks + 1


@cache
def _job(target: TaskTarget | ExportTarget, ready: bool) -> Task | Export:
    status = "ready" if ready else "processing"
    return Task(id="t", status=status, output_id="f") if isinstance(target, TaskTarget) else _export(status)


def _export(status: str) -> Export:
    return Export(id="e", status=status, src_url="https://example.com/short.mp4")


def every(seconds: float) -> Callable[[float], float]:
    """Return the pace of a fixed interval."""
    return lambda _: seconds


def noticed(lengths: list[float], step: Callable[[float], float]) -> Noticed:
    """Look at each job until it is ready, and first when it is submitted."""
    after, looks = [], 0
    for length in lengths:
        now = 0.0
        looks += 1
        while now < length:
            now += step(now)
            looks += 1
        after.append(now - length)
    return _noticed(after, looks)


def _noticed(after: list[float], looks: int) -> Noticed:
    return Noticed(statistics.mean(after), statistics.quantiles(after, n=20)[-1], looks / len(after))


def interval_with(looks: float, lengths: list[float]) -> float:
    """Return the fixed interval that spends so many looks per job."""
    low, high = 0.5, 120.0
    for _ in range(40):
        middle = (low + high) / 2
        spent = statistics.mean(1 + math.ceil(length / middle) for length in lengths)
        low, high = (middle, high) if spent > looks else (low, middle)
    return high


def optimum(kind: Kind, lengths: list[float], looks: float) -> Noticed:
    """Return what the best pace for a known distribution makes of so many looks."""
    low, high = 0.001, 100.0
    for _ in range(12):
        price = math.sqrt(low * high)
        best = Pace(0.1, math.inf, Typical(kind.median, kind.spread, price))
        found = noticed(lengths[:1000], lambda now, best=best: best.delay(now, lambda: 0.0))  # type: ignore[misc]  # bound now
        low, high = (price, high) if found.looks - 1 > looks else (low, price)
    return Noticed(found.mean, found.late, found.looks - 1)  # it takes none when the job is submitted


def looks_at_fixed_intervals(shorts: int) -> float:
    """Return the looks of a run at the task and at each of its exports, as in Klap's documents."""
    of_task, of_export = (noticed(drawn(kind), every(kind.fixed)).looks for kind in KINDS[:2])
    return of_task + shorts * of_export


@cache
def looks_of_a_run(shorts: int) -> float:
    """Return the looks at the task and the exports of a run, where the connection's last jobs are known."""
    tasks, exports = KINDS[:2]
    at_task = noticed_by_this_project(tasks, drawn(tasks)[:500], learns=True).looks
    lengths, rng = drawn(exports), random.Random(1)
    folders = [rng.sample(lengths, shorts) for _ in range(100)]
    return at_task + noticed_in_folders(folders, learned_of(exports, lengths)).looks * shorts


def learned_of(kind: Kind, lengths: list[float]) -> Pace:
    """Return the pace of a connection whose last jobs took so long."""
    return Pace(5, kind.longest, pace.learned(kind.documented, lengths[: pace.KEPT]))


def noticed_in_folders(folders: list[list[float]], by: Pace) -> Noticed:
    """Wait for the exports of each folder, where a call is a look at all of them."""
    after, looks = [], 0
    for lengths in folders:
        late, calls = wait_for_folder(lengths, by)
        after += late
        looks += calls
    return _noticed(after, looks)


def wait_for_folder(lengths: list[float], by: Pace, apart: float = 0.5) -> tuple[list[float], int]:
    """
    Wait for exports of one folder; return how late each was noticed, and at how many calls.

    :param apart: seconds between the beginnings of two exports.
    """
    due = {place: place * apart + by.delay(0) for place in range(len(lengths))}
    late, looks = [], 0
    while due:
        now = min(due.values())
        looks += 1
        for place in [place for place in due if place * apart <= now]:
            age = now - place * apart
            if age >= lengths[place]:
                late.append(age - lengths[place])
                del due[place]
            else:
                due[place] = now + by.delay(age, shared=len(lengths) > 1)
    return late, looks


def worst_of_short_jobs(kind: Kind) -> tuple[float, int]:
    """Return the worst time to notice jobs of 5 to 60 s, in units of 5 s or a third of the length, and most looks."""
    rng = random.Random(1)
    worst, most = 0.0, 0
    for known in ([], [rng.uniform(5, 60) for _ in range(pace.KEPT)]):
        by = Pace(5, kind.longest, pace.learned(kind.documented, known))
        for _ in range(JOBS):
            length = rng.uniform(5, 60)
            late, looks, _took = wait_for(kind, length, by)
            worst, most = max(worst, late / max(5, length / 3)), max(most, looks)
    return worst, most
