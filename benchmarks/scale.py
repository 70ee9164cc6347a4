"""11. Scale: concurrent runs on several machines, and the cost of one of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import takeover
from benchmarks.cluster_stage import CONTENDERS, ClusterStage, running_cluster
from benchmarks.plot import Line, log_log
from benchmarks.report import Bar, Section, Table, number
from benchmarks.stage import DAGS, OURS, Times

if TYPE_CHECKING:
    from benchmarks.cluster_stage import Reading

#: Concurrent runs. A hundred of each would take half an hour on two cores.
COUNTS = (1, 5, 20)
SHORTS = 3

#: Shorts of a video in the table of sizes, as at the top of the guide.
SHORTS_OF_A_VIDEO = 5

#: Durations of the sandbox's jobs; see benchmarks.whole_run.
TIMES = Times(task=15, export=7.5)

#: Runs that have not ended, runs that have succeeded, and median duration in seconds.
RUNS = """
SELECT count(*) FILTER (WHERE state IN ('queued', 'running')), count(*) FILTER (WHERE state = 'success'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM end_date - queued_at))
FROM dag_run WHERE dag_id = %s AND run_id = ANY(%s)
"""

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
class ConcurrentRuns:
    """
    Measurements of concurrent runs.

    :param runs: number of runs.
    :param overhead: median duration of a run without the sandbox's jobs, in seconds.
    :param used: resources of all runs.
    :param connections: maximum number of database connections.
    :param calls: API calls of all runs.
    """

    runs: int
    overhead: float
    used: Reading
    connections: int
    calls: int

    @property
    def per_run(self) -> dict[str, float]:
        """Cost of one run, by figure."""
        used = self.used
        return {
            "CPU, s": used.cpu / self.runs,
            "queries": used.queries / self.runs,
            "API calls": self.calls / self.runs,
        }

    def row(self, contender: str) -> list[str]:
        """Return a row of the table."""
        figures = [
            self.overhead,
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
    """Run the benchmark."""
    with running_cluster() as stage:
        idle = stage.idle
        measured = {
            (count, contender): run_concurrently(stage, contender, count)
            for count in COUNTS
            for contender in CONTENDERS
        }
        two = takeover.measure(stage)
    few, many = COUNTS[1], COUNTS[-1]

    def grows(what: str) -> float:
        return measured[many, OURS].per_run[what] / measured[few, OURS].per_run[what]

    figures = ("CPU, s", "queries", "API calls")
    lines = [
        Line(f"{what}: {'this project' if contender == OURS else 'HTTP provider'}", points)
        for what in figures
        for contender in CONTENDERS
        for points in [[(count, measured[count, contender].per_run[what]) for count in COUNTS]]
    ]
    return Section(
        name="scale",
        title="11. Scale",
        method=(
            "An Airflow of two machines, simulated on one as by `make cluster`: CeleryExecutor, PostgreSQL, Redis, two "
            "schedulers, two triggerers, and two workers with three tasks at a time. The sandbox takes "
            f"{TIMES.task:g} s for the task and {TIMES.export:g} s for each export. All runs of a row have {SHORTS} "
            "shorts and are started without a pause; shorts are delivered to S3. Overhead is the median duration of a "
            "run without one task and one export. CPU is that of Airflow, its workers, PostgreSQL and Redis. Queries "
            "are counted by PostgreSQL. Both are without those of the idle cluster: "
            f"{number(idle.cpu / idle.seconds)} of a core and {number(idle.queries / idle.seconds)} queries per "
            "second. Database connections are the maximum. The table of videos a day is calculated from the cost per "
            f"worker start of this project with {many} runs at once, spread evenly over the day; peak hours need more."
            f"\n\n{takeover.METHOD}"
        ),
        table=Table(COLUMNS, [found.row(contender) for (_, contender), found in measured.items()]),
        further=[sizes(measured[many, OURS].used, idle), two.table],
        bars=[
            *(
                Bar(f"{what} of a run, {many} at once against {few} at once", grows(what), most)
                for what, most in (("CPU, s", 1.1), ("queries", 1.1), ("API calls", 1.05))
            ),
            *two.bars,
        ],
        plots={
            "scale.svg": log_log(
                lines, title="Cost of one run, by number of concurrent runs", x="runs at once", y="cost of one run"
            )
        },
    )


def sizes(used: Reading, idle: Reading) -> Table:
    """Return the average load of videos per day, calculated from the cost per worker start."""
    starts, all_day = 4 + 3 * SHORTS_OF_A_VIDEO, 24 * 60 * 60
    idle_figures = [number(idle.cpu / idle.seconds), number(idle.queries / idle.seconds)]
    columns = (
        f"videos a day, of {SHORTS_OF_A_VIDEO} shorts",
        "worker starts per second",
        "cores busy",
        "queries per second",
    )
    per_start = [figure / used.starts for figure in (used.starts, used.cpu, used.queries)]
    rows = [
        [f"{videos:,}", *(number(videos * starts / all_day * figure) for figure in per_start)]
        for videos in (100, 1_000, 10_000)
    ]
    return Table(columns, [["none (idle Airflow)", "0", *idle_figures], *rows])


def run_concurrently(stage: ClusterStage, contender: str, count: int) -> ConcurrentRuns:
    """Start runs without a pause, and return their measurements when all have ended."""
    stage.sandbox.reset(task_seconds=TIMES.task, export_seconds=TIMES.export)
    dag_id, before, connections = DAGS[contender], stage.read(), 0
    run_ids = [stage.cluster.trigger(dag_id, stage.conf(contender, SHORTS)) for _ in range(count)]
    unfinished = count
    while unfinished:
        time.sleep(1)
        ((unfinished, succeeded, took),) = stage.query(RUNS, dag_id, run_ids)
        ((open_now,),) = stage.query(CONNECTIONS)
        connections = max(connections, open_now - 1)  # without the one of this query
    used = stage.read().since(before, stage.idle)
    if succeeded != count or len(stage.sandbox.ledger("export")) != count * SHORTS:
        raise RuntimeError(f"{contender}, {count} at once: {succeeded} succeeded, see {stage.cluster.home}")
    calls = [call for call in stage.sandbox.requests() if not call["path"].startswith("/renders")]
    return ConcurrentRuns(count, took - TIMES.task - TIMES.export, used, connections, len(calls))
