"""3. A whole run on a real Airflow: worker starts, CPU, API calls, and overhead."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.report import Bar, Section, Table, number, spread
from benchmarks.stage import ALONE, DAGS, DEFERRABLE, OURS, POLL_INTERVAL, RESCHEDULE, Cost, Stage, Times, shared
from klap_provider.rules.poll_schedule import EXPORTS, TASKS
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from klap_provider.rules.poll_schedule import PollSchedule

COUNTS = (1, 10, 50)

#: Durations of the sandbox's jobs. A poll finds them half an interval after they end, which is the average delay.
TIMES = Times(12.5, 22.5)

#: Durations of Klap's own task and longest export, from its documentation.
KLAP_TIMES = Times(480, 540)

ROUNDS = 3

#: Up to this number of shorts, contenders run concurrently, each on its own Airflow, as they mostly wait.
MAX_CONCURRENT = 1

#: Number of shorts of the deferrable HTTP flow. Each of its waits occupies a worker, so more shorts take minutes.
DEFERRABLE_COUNT = 1

SCRIPT = "the script in Klap's documentation"

#: Numbers of shorts of the script. It exports sequentially, so fifty shorts take 20 minutes.
SCRIPT_COUNTS = (1, 10)

#: What can be used instead, with Airflow.
HTTP_FLOWS = (RESCHEDULE, DEFERRABLE)


def polls_of(schedule: PollSchedule, seconds: float) -> int:
    """Return the number of polls of a job with this duration."""
    at, polls = schedule.first_poll, 1
    while at < seconds:
        at, polls = at + schedule.delay(at, lambda: 0.5), polls + 1
    return polls


def run() -> Section:
    """Run the benchmark."""
    costs: dict[tuple[int, str], list[Cost]] = defaultdict(list)

    background = ThreadPoolExecutor()
    scripts = {count: background.submit(run_script, count) for count in SCRIPT_COUNTS}  # they mostly sleep
    stages = list(background.map(shared, DAGS))

    def run_on(stage: Stage, count: int) -> None:
        costs[count, stage.contender].append(stage.run(count, TIMES))

    for count in COUNTS:
        participants = [stage for stage in stages if stage.contender != DEFERRABLE or count == DEFERRABLE_COUNT]
        for _ in range(ROUNDS):
            for script in scripts.values():
                if script.done():
                    script.result()  # raises its error now rather than at the end
            with ThreadPoolExecutor(len(stages) if count <= MAX_CONCURRENT else 1) as pool:
                list(pool.map(run_on, participants, [count] * len(participants)))
    for count, script in scripts.items():
        costs[count, SCRIPT].append(script.result())
    order = [OURS, ALONE, RESCHEDULE, DEFERRABLE, SCRIPT]
    rows = [
        [
            str(count),
            contender,
            spread(cost.starts for cost in found),
            spread(cost.cpu for cost in found),
            spread(cost.calls for cost in found),
            spread(cost.overhead for cost in found),
            spread(cost.poll_delay for cost in found) if contender in (OURS, *HTTP_FLOWS) else "",
        ]
        for (count, contender), found in sorted(costs.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    ]

    def median(count: int, contender: str, figure: str) -> float:
        return statistics.median(float(getattr(cost, figure)) for cost in costs[count, contender])

    def relative_to_best(count: int, figure: str) -> float:
        flows = [contender for contender in HTTP_FLOWS if costs[count, contender]]
        return median(count, OURS, figure) / min(median(count, contender, figure) for contender in flows)

    def relative_to_alone(count: int, figure: str) -> float:
        return median(count, OURS, figure) / median(count, ALONE, figure)

    def calls_at_klaps_times(count: int) -> float:
        """Return the calls of a run with Klap's own durations."""
        polls = polls_of(TASKS, KLAP_TIMES.task) + polls_of(EXPORTS, KLAP_TIMES.export)  # one list for all exports
        return statistics.median(cost.calls - cost.polls for cost in costs[count, OURS]) + polls

    def cpu_at_klaps_times(count: int) -> float:
        """Return this project's CPU relative to that of reschedule mode, where each poll is a worker start."""
        ours = median(count, OURS, "cpu")
        per_start = statistics.median(cost.cpu / cost.starts for cost in costs[count, RESCHEDULE])
        other_starts = 3 + 2 * count
        polls = math.ceil(KLAP_TIMES.task / TASKS.interval) + count * math.ceil(KLAP_TIMES.export / EXPORTS.interval)
        return ours / (per_start * (other_starts + polls))

    return Section(
        name="whole_run",
        title="3. A whole run",
        method=(
            "An Airflow (LocalExecutor, four tasks at a time) and a sandbox that takes "
            f"{TIMES.task:g} s for the task and {TIMES.export:g} s for each export, less than Klap. Every contender "
            f"polls every {POLL_INTERVAL} s. The sandbox's durations are chosen so that a poll comes half an interval "
            "after the end of a job, which is the average. Airflow alone has the same tasks, the same mapped group and "
            "the same retries, but its tasks only pass a number on, and its triggers only sleep until the sandbox's "
            "jobs would end. No Dag of this shape can need less. "
            f"{ROUNDS} rounds. With {MAX_CONCURRENT} short, the contenders run concurrently, each on its own Airflow; "
            "with more, one after the other. "
            "A slot is free within a second of a task's end (`[workers] min_heartbeat_interval = 1`). CPU is that of "
            "Airflow and its workers, without that of the idle Airflow. For Klap's own durations it is calculated: "
            "reschedule mode needs one more start for each more poll, and this project none. Overhead is the duration "
            "of the run without one task and one export. Its part from the end of a job to the poll that finds it is "
            "the poll delay. The comparison with Airflow alone is without the poll delay, because the poll interval is "
            "a setting. All contenders that call the sandbox download the videos, check that they are "
            "complete, and store them; downloads do not count as API calls. Calls of this project with 50 shorts: "
            f"{calls_by_kind(costs[50, OURS][0])}. With Klap's own durations, a task of {KLAP_TIMES.task:g} s and "
            "exports "
            f"of {KLAP_TIMES.export:g} s, it would be {number(calls_at_klaps_times(10))} calls with 10 shorts, and "
            f"{number(calls_at_klaps_times(50))} with 50. "
            "A deferrable HttpSensor with a response_check occupies a worker, so it ran with one short only. The "
            "script "
            "exports one short after another. With 50 shorts it would take 20 minutes, so it is left out."
        ),
        table=Table(("shorts", "", "worker starts", "CPU, s", "API calls", "overhead, s", "of it poll delay, s"), rows),
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
                    calls_at_klaps_times(count),
                    most,
                )
                for count, most in ((10, 75), (50, 200))
            ),
            *(
                Bar(f"{what}, N = {count}, against the best HttpOperator flow", relative_to_best(count, figure), 1)
                for what, figure in (("overhead of a run", "overhead"), ("CPU of a run", "cpu"))
                for count in COUNTS
            ),
            *(
                Bar(f"{what}, N = {count}, against Airflow alone", relative_to_alone(count, figure), most)
                for what, figure, most in (
                    ("overhead of a run without the poll delay", "own", 1.25),
                    ("CPU of a run", "cpu", 1.3),
                )
                for count in COUNTS
            ),
            *(
                Bar(
                    f"CPU of a run at Klap's own lengths (calculated), N = {count}",
                    cpu_at_klaps_times(count),
                    2 / 3,
                )
                for count in COUNTS
            ),
        ],
    )


def calls_by_kind(cost: Cost) -> str:
    """Return the number of calls of a run, by method and path."""
    return ", ".join(f"{count} × `{kind}`" for kind, count in cost.kinds.most_common())


def run_script(count: int) -> Cost:
    """Run the script in Klap's documentation with a new sandbox."""
    with Sandbox(task_seconds=TIMES.task, export_seconds=TIMES.export) as sandbox:
        started = time.monotonic()
        arguments = [sandbox.url, str(count), str(POLL_INTERVAL), str(POLL_INTERVAL)]
        command = [sys.executable, "-m", "benchmarks.docs_script", *arguments]
        cpu = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        took = time.monotonic() - started
        return Cost(0, cpu, len(sandbox.requests(path="^(?!/renders)")), took - TIMES.task - TIMES.export)
