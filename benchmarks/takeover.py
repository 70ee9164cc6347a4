"""Two triggerers: how they share waits, how often they poll, and how long a takeover takes."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.report import Bar, Table, number
from demo.airflow import ROOT, kill_group
from demo.cluster import HEAD, MACHINES

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.cluster_stage import ClusterStage

DAG_ID, WAITS = "klap_waits", 2000

#: Seconds in which polls are counted.
COUNT_SECONDS = 20

SCHEDULED = "SELECT count(*) FROM task_instance WHERE run_id = %s AND state = 'scheduled'"
SHARES = "SELECT hostname, count(*) FROM trigger JOIN job ON job.id = triggerer_id GROUP BY hostname"


@dataclass(frozen=True)
class Takeover:
    """
    Measurements.

    :param taken_up: seconds until both together have all waits.
    :param shares: waits of each, in ascending order.
    :param polls_of_two: polls per second of both triggerers.
    :param taken_over: seconds from the end of one until the other has all waits.
    :param polls_of_one: polls per second of the remaining triggerer.
    """

    taken_up: float
    shares: tuple[int, int]
    polls_of_two: float
    taken_over: float
    polls_of_one: float

    @property
    def table(self) -> Table:
        """The table."""
        rows = [
            ["time until they have taken all waits, s", number(self.taken_up)],
            ["waits of each", " and ".join(f"{share:,}" for share in self.shares)],
            ["polls per second, both triggerers", number(self.polls_of_two)],
            ["one is killed: time until the other one has all waits, s", number(self.taken_over)],
            ["polls per second, the remaining triggerer", number(self.polls_of_one)],
        ]
        return Table((f"two triggerers, {WAITS:,} waits", ""), rows)

    @property
    def bars(self) -> list[Bar]:
        """The targets."""
        return [
            Bar("two triggerers: the smaller share of 2,000 waits", self.shares[0] / WAITS, 0.3, at_least=True),
            Bar("polls per second of a triggerer with 2,000 waits", self.polls_of_one, 50),
            Bar("time until a triggerer has the waits of one that died", self.taken_over, 90, " s"),
        ]


METHOD = (
    f"{WAITS:,} waits for tasks that never end, with a poll interval of 5 s, on the same cluster with Airflow's "
    "default "
    "settings, except for a `[triggerer] capacity` of 2,000: with the default of 1,000, one triggerer cannot have all "
    "waits. All waits start together. The sandbox counts the polls of "
    f"{COUNT_SECONDS} s. Then one triggerer is killed. 30 s after its last heartbeat it counts as dead "
    "(`[triggerer] triggerer_health_check_threshold`), and the other one takes over its waits, 50 at a time "
    "(`[triggerer] max_trigger_to_select_per_loop`)."
)


def measure(stage: ClusterStage) -> Takeover:
    """Start the waits, kill one triggerer, and return the measurements."""
    started = start_waits(stage)
    taken_up = until(stage, lambda shares: sum(shares.values()) == WAITS) - started
    fewer, more = sorted(shares_of(stage).values())
    polls_of_two = polls_per_second(stage)
    kill_group(stage.cluster.processes[f"triggerer@{MACHINES[0]}"])
    killed = time.monotonic()
    taken_over = until(stage, lambda shares: shares == {MACHINES[1]: WAITS}) - killed
    return Takeover(taken_up, (fewer, more), polls_of_two, taken_over, polls_per_second(stage))


def start_waits(stage: ClusterStage) -> float:
    """Defer all waits, and return the time at which they were ready for triggerers."""
    cluster = stage.cluster
    response = {"id": "unfinished", "status": "processing"}
    stage.sandbox.reset()
    stage.sandbox.fault("GET", "^/tasks/", "status", times=None, code=200, body=response)
    cluster.api("POST", "/pools", json={"name": "closed", "slots": 0})
    run_id = cluster.trigger(DAG_ID, {})
    cluster.wait_for(lambda: stage.query(SCHEDULED, run_id) == [(WAITS,)], seconds=180, what="the tasks")
    script = ROOT / "tests" / "e2e" / "cluster" / "deferred.py"
    environment = {**cluster.env, "KLAP_MACHINE": HEAD}
    subprocess.run([cluster.python, script, run_id], env=environment, check=True)
    return time.monotonic()


def shares_of(stage: ClusterStage) -> dict[str, int]:
    """Return the number of waits of each machine's triggerer."""
    return dict(stage.query(SHARES))


def until(stage: ClusterStage, condition: Callable[[dict[str, int]], bool]) -> float:
    """Return the time at which a condition of the triggerers' shares becomes true."""
    stage.cluster.wait_for(lambda: condition(shares_of(stage)), seconds=180, what="the triggerers")
    return time.monotonic()


def polls_per_second(stage: ClusterStage) -> float:
    """Return the number of polls per second."""
    before = len(stage.sandbox.requests("GET", "^/tasks/"))
    started = time.monotonic()
    time.sleep(COUNT_SECONDS)
    polls = len(stage.sandbox.requests("GET", "^/tasks/")) - before
    return polls / (time.monotonic() - started)
