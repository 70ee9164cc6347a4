"""7. Scale: runs at once on several machines, and what one of them costs however many there are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import takeover
from benchmarks.cluster_stage import CONTENDERS, ClusterStage, standing
from benchmarks.plot import Line, log_log
from benchmarks.report import Bar, Section, Table, number
from benchmarks.stage import DAGS, OURS, Times

if TYPE_CHECKING:
    from benchmarks.cluster_stage import Reading

#: Runs at once. A hundred of each would take two cores half an hour.
COUNTS = (1, 5, 20)
SHORTS = 3

#: Of the videos that sizes are reckoned for, as at the top of the guide.
SHORTS_OF_A_VIDEO = 5

#: What the sandbox takes: as much as with one short in the benchmark of a whole run, and for the same reason.
TIMES = Times(task=15, export=7.5)

#: Of some runs: how many have not ended, how many have succeeded, and how many seconds half of them took.
RUNS = """
SELECT count(*) FILTER (WHERE state IN ('queued', 'running')), count(*) FILTER (WHERE state = 'success'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM end_date - queued_at))
FROM dag_run WHERE dag_id = %s AND run_id = ANY(%s)
"""

#: Of the table.
COLUMNS = (
    "runs at once",
    "",
    "overhead, s",
    "worker starts per second",
    "worker starts per run",
    "CPU per run, s",
    "CPU of PostgreSQL, s",
    "database connections",
    "queries per run",
    "API calls per run",
)

CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


@dataclass(frozen=True)
class Crowd:
    """
    What so many runs at once came to.

    :param runs: how many.
    :param beyond: seconds from the start of a run to its end, beyond the sandbox's own; the median.
    :param used: by all of them.
    :param connections: to the database, at most.
    :param calls: of the API, of all of them.
    """

    runs: int
    beyond: float
    used: Reading
    connections: int
    calls: int

    @property
    def per_run(self) -> dict[str, float]:
        """What one of them cost, by what it is."""
        used = self.used
        return {
            "CPU, s": used.cpu / self.runs,
            "queries": used.queries / self.runs,
            "API calls": self.calls / self.runs,
        }

    def row(self, contender: str) -> list[str]:
        """Return a row of the table."""
        figures = [
            self.beyond,
            self.used.starts / self.used.seconds,
            self.used.starts / self.runs,
            self.per_run["CPU, s"],
            self.used.database / self.runs,
            self.connections,
            self.per_run["queries"],
            self.per_run["API calls"],
        ]
        return [str(self.runs), contender, *map(number, figures)]


def run() -> Section:
    """Measure."""
    with standing() as stage:
        idle = stage.idle
        crowds = {(count, contender): crowd(stage, contender, count) for count in COUNTS for contender in CONTENDERS}
        two = takeover.measure(stage)
    few, many = COUNTS[1], COUNTS[-1]

    def grows(what: str) -> float:
        return crowds[many, OURS].per_run[what] / crowds[few, OURS].per_run[what]

    figures = ("CPU, s", "queries", "API calls")
    lines = [
        Line(f"{what}: {'this project' if contender == OURS else 'HTTP provider'}", points)
        for what in figures
        for contender in CONTENDERS
        for points in [[(count, crowds[count, contender].per_run[what]) for count in COUNTS]]
    ]
    return Section(
        name="scale",
        title="10. Scale",
        said=(
            "A real Airflow of two machines' worth on this one (CeleryExecutor, PostgreSQL, Redis; two schedulers, two "
            "triggerers, two workers of three tasks at a time), as `make cluster` starts it, and a sandbox that takes "
            f"{TIMES.task:g} s for the task and {TIMES.export:g} s for each export. All runs of a row, of {SHORTS} "
            "shorts each, are started one after the other without a pause; shorts go to an S3. Beyond the sandbox's "
            "own: from a run's start to its end, less one task and one export; the median. CPU is that of Airflow, "
            "its workers, PostgreSQL and Redis, and queries are PostgreSQL's count of statements, both less what "
            f"the cluster takes for nothing: {number(idle.cpu / idle.seconds)} of a core and "
            f"{number(idle.queries / idle.seconds)} queries per second. Connections to the database are the most that "
            "there were at a time. What videos of a day take is reckoned by what a worker start has taken of this "
            f"project with {many} runs at once, and spread over the day; mind the hours with more.\n\n{takeover.SAID}"
        ),
        table=Table(COLUMNS, [found.row(contender) for (_, contender), found in crowds.items()]),
        further=[sizes(crowds[many, OURS].used, idle), two.table],
        bars=[
            *(
                Bar(f"{what} of a run, {many} at once against {few} at once", grows(what), most)
                for what, most in (("CPU, s", 1.1), ("queries", 1.1), ("API calls", 1.05))
            ),
            *two.bars,
        ],
        plots={
            "scale.svg": log_log(
                lines, title="What one run costs, by how many there are", x="runs at once", y="of one run"
            )
        },
    )


def sizes(used: Reading, idle: Reading) -> Table:
    """Return what videos of a day take, spread over it, by what one worker start has taken."""
    starts, all_day = 4 + 3 * SHORTS_OF_A_VIDEO, 24 * 60 * 60
    at_rest = [number(idle.cpu / idle.seconds), number(idle.queries / idle.seconds)]
    columns = (
        f"videos a day, of {SHORTS_OF_A_VIDEO} shorts",
        "worker starts per second",
        "cores busy",
        "queries per second",
    )
    of_a_start = [figure / used.starts for figure in (used.starts, used.cpu, used.queries)]
    rows = [
        [f"{videos:,}", *(number(videos * starts / all_day * figure) for figure in of_a_start)]
        for videos in (100, 1_000, 10_000)
    ]
    return Table(columns, [["none (idle Airflow)", "0", *at_rest], *rows])


def crowd(stage: ClusterStage, contender: str, count: int) -> Crowd:
    """Start so many runs, and see them to their end."""
    stage.sandbox.reset(task_seconds=TIMES.task, export_seconds=TIMES.export)
    dag_id, before, connections = DAGS[contender], stage.read(), 0
    run_ids = [stage.cluster.trigger(dag_id, stage.conf(contender, SHORTS)) for _ in range(count)]
    under_way = count
    while under_way:
        time.sleep(1)
        ((under_way, succeeded, took),) = stage.query(RUNS, dag_id, run_ids)
        ((open_now,),) = stage.query(CONNECTIONS)
        connections = max(connections, open_now - 1)  # less the one that asks
    used = stage.read().since(before, stage.idle)
    if succeeded != count or len(stage.sandbox.ledger("export")) != count * SHORTS:
        raise RuntimeError(f"{contender}, {count} at once: {succeeded} succeeded, see {stage.cluster.home}")
    calls = [call for call in stage.sandbox.requests() if not call["path"].startswith("/renders")]
    return Crowd(count, took - TIMES.task - TIMES.export, used, connections, len(calls))
