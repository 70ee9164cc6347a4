"""3. A whole run, on a real Airflow: worker starts, CPU, API calls, and the time beyond what Klap itself takes."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.report import Bar, Section, Table, number, spread
from benchmarks.stage import DAGS, DEFERRABLE, OURS, RESCHEDULE, Cost, Stage, Times, shared
from klap_provider.rules.poll_schedule import EXPORTS, TASKS
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from klap_provider.rules.poll_schedule import PollSchedule

COUNTS = (1, 10, 50)

#: What the sandbox takes for a task and for an export: half an interval less than a look of the others, as a look at a
#: fixed interval is half of one late on average. Klap takes some 330 s for an export: the longer, the nearer.
TIMES = Times(15, 22.5)

#: Seconds that Klap's own task and the longest of its exports take, as its documentation has them.
OWN = Times(480, 540)

ROUNDS = 3

#: Number of shorts up to which all run at the same time, each on an Airflow of its own: they wait for most of it. With
#: more, whoever runs has both cores.
SIDE_BY_SIDE = 10

#: Number of shorts with which the flow that is to be deferrable takes part: its waits hold a worker each, four at a
#: time, and with more that takes minutes.
HELD = 1

#: Seconds between looks of the others, as in Klap's documents.
TASK_INTERVAL, EXPORT_INTERVAL = 30.0, 15.0

SCRIPT = "the script in Klap's documentation"

#: Numbers of shorts that the script takes part with: it exports one after another, and fifty take it 25 minutes.
IN_SEQUENCE = (1, 10)


def polls_of(schedule: PollSchedule, seconds: float) -> int:
    """Return how often a job that takes so long is polled."""
    at, polls = schedule.first_poll, 1
    while at < seconds:
        at, polls = at + schedule.delay(at, lambda: 0.5), polls + 1
    return polls


def run() -> Section:
    """Measure."""
    costs: dict[tuple[int, str], list[Cost]] = defaultdict(list)

    def script_for(count: int) -> None:
        costs[count, SCRIPT].append(run_script(count))

    scripts = [threading.Thread(target=script_for, args=[count]) for count in IN_SEQUENCE]
    for script in scripts:
        script.start()  # they sleep nearly all the time
    with ThreadPoolExecutor() as pool:
        stages = list(pool.map(shared, DAGS))

    def run_on(stage: Stage, count: int) -> None:
        costs[count, stage.contender].append(stage.run(count, TIMES))

    for count in COUNTS:
        taking_part = [stage for stage in stages if stage.contender != DEFERRABLE or count == HELD]
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(len(stages) if count <= SIDE_BY_SIDE else 1) as pool:
                list(pool.map(run_on, taking_part, [count] * len(taking_part)))
    for script in scripts:
        script.join()
    order = [OURS, RESCHEDULE, DEFERRABLE, SCRIPT]
    rows = [
        [
            str(count),
            contender,
            spread(cost.starts for cost in found),
            spread(cost.cpu for cost in found),
            spread(cost.calls for cost in found),
            spread(cost.beyond for cost in found),
        ]
        for (count, contender), found in sorted(costs.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    ]

    def against_the_best(count: int, figure: str) -> float:
        medians = {
            contender: statistics.median(float(getattr(cost, figure)) for cost in costs[count, contender])
            for contender in DAGS
            if costs[count, contender]
        }
        return medians.pop(OURS) / min(medians.values())

    def at_klaps_own_lengths(count: int) -> float:
        """Return the calls of a run less its polls, and the polls that Klap's own lengths take."""
        polls = polls_of(TASKS, OWN.task) + polls_of(EXPORTS, OWN.export)  # one list for all exports
        return statistics.median(cost.calls - cost.looks for cost in costs[count, OURS]) + polls

    def cpu_at_klaps_own_lengths(count: int) -> float:
        """Return this project's CPU against that of reschedule mode, where each poll is a start."""
        ours = statistics.median(cost.cpu for cost in costs[count, OURS])
        of_a_start = statistics.median(cost.cpu / cost.starts for cost in costs[count, RESCHEDULE])
        beside_looks = 3 + 2 * count
        polls = math.ceil(OWN.task / TASKS.interval) + count * math.ceil(OWN.export / EXPORTS.interval)
        return ours / (of_a_start * (beside_looks + polls))

    return Section(
        name="whole_run",
        title="3. A whole run",
        said=(
            "A real Airflow (LocalExecutor, four tasks at a time) and a sandbox with Klap's own lengths scaled down as "
            "far as looks at a fixed interval allow without being early or late by chance: it takes "
            f"{TIMES.task:g} s for the task and {TIMES.export:g} s for each export. "
            f"The others look every {TASK_INTERVAL:g} and {EXPORT_INTERVAL:g} s, as Klap's documents do, and are half "
            "an interval late, as one is on average. Klap's own exports take longer, and cost "
            "reschedule mode as many more starts. "
            f"{ROUNDS} rounds; up to {SIDE_BY_SIDE} shorts at the same time, each on an Airflow of its own, with more "
            "one after the other. "
            "A slot is given back within a second of a task's end (`[workers] min_heartbeat_interval = 1`). "
            "CPU is that of all parts of Airflow and of its workers, less what it takes when idle. At Klap's own "
            "lengths it is reckoned: reschedule mode takes as many starts more as the documents' looks are more than "
            "here, and this project takes none. Beyond the "
            "sandbox's own: the run's time less one task and one export. Everyone fetches the videos, sees that they "
            "are whole, and stores them; downloads are no API calls. Where each of ours goes, with 50 shorts: "
            f"{where_calls_go(costs[50, OURS][0])}. At Klap's own lengths it is the polls of a task of "
            f"{OWN.task:g} s and of exports of {OWN.export:g} s: {number(at_klaps_own_lengths(10))} calls "
            f"with 10 shorts, {number(at_klaps_own_lengths(50))} with 50. "
            "A HttpSensor that is to be deferrable holds a worker all the same if it has a response_check; "
            "it ran with one short. The script exports one short after another; "
            "with 50 it would take 25 minutes, and is left out."
        ),
        table=Table(("shorts", "", "worker starts", "CPU, s", "API calls", "overhead, s"), rows),
        bars=[
            *(
                Bar(
                    f"worker starts for N shorts, N = {count}",
                    max(cost.starts for cost in costs[count, OURS]),
                    4 + 3 * count,
                )
                for count in COUNTS
            ),
            *(
                Bar(f"API calls of a run, {count} shorts", max(cost.calls for cost in costs[count, OURS]), most)
                for count, most in ((10, 75), (50, 200))
            ),
            *(
                Bar(
                    f"API calls of a run at Klap's own lengths (calculated), {count} shorts",
                    at_klaps_own_lengths(count),
                    most,
                )
                for count, most in ((10, 75), (50, 200))
            ),
            *(
                Bar(f"{what}, N = {count}, against the best HttpOperator flow", against_the_best(count, figure), most)
                for what, figure, most in (
                    ("overhead of a run", "beyond", 1 / 3),
                    ("CPU of a run", "cpu", 2 / 3),
                )
                for count in COUNTS
            ),
            *(
                Bar(
                    f"CPU of a run at Klap's own lengths (calculated), N = {count}",
                    cpu_at_klaps_own_lengths(count),
                    2 / 3,
                )
                for count in COUNTS
            ),
        ],
    )


def where_calls_go(cost: Cost) -> str:
    """Return the calls of a run, by what they ask for."""
    return ", ".join(f"{count} × `{kind}`" for kind, count in cost.kinds.most_common())


def run_script(count: int) -> Cost:
    """Run the script in Klap's documentation, with a sandbox of its own."""
    with Sandbox(task_seconds=TIMES.task, export_seconds=TIMES.export) as sandbox:
        started = time.monotonic()
        arguments = [sandbox.url, str(count), str(TASK_INTERVAL), str(EXPORT_INTERVAL)]
        command = [sys.executable, "-m", "benchmarks.docs_script", *arguments]
        cpu = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        took = time.monotonic() - started
        return Cost(0, cpu, len(sandbox.requests(path="^(?!/renders)")), took - TIMES.task - TIMES.export)
