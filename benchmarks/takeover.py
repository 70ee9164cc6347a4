"""Two triggerers: how they share many waits, how often they look, and how soon one has those of the other."""

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

#: Seconds over which looks are counted.
WHILE = 20

SCHEDULED = "SELECT count(*) FROM task_instance WHERE run_id = %s AND state = 'scheduled'"
SHARES = "SELECT hostname, count(*) FROM trigger JOIN job ON job.id = triggerer_id GROUP BY hostname"


@dataclass(frozen=True)
class Takeover:
    """
    What was found.

    :param taken_up: seconds until the two had all waits.
    :param shares: waits of each, the smaller number first.
    :param of_two: polls per second, both triggerers.
    :param taken_over: seconds from the death of one until the other had all waits.
    :param of_one: polls per second, the remaining triggerer.
    """

    taken_up: float
    shares: tuple[int, int]
    of_two: float
    taken_over: float
    of_one: float

    @property
    def table(self) -> Table:
        """The figures."""
        rows = [
            ["time until they have taken all waits, s", number(self.taken_up)],
            ["waits of each", " and ".join(f"{share:,}" for share in self.shares)],
            ["polls per second, both triggerers", number(self.of_two)],
            ["one is killed: time until the other one has all waits, s", number(self.taken_over)],
            ["polls per second, the remaining triggerer", number(self.of_one)],
        ]
        return Table((f"two triggerers, {WAITS:,} waits", ""), rows)

    @property
    def bars(self) -> list[Bar]:
        """What is promised."""
        return [
            Bar("two triggerers: the smaller share of 2,000 waits", self.shares[0] / WAITS, 0.3, at_least=True),
            Bar("polls per second of a triggerer with 2,000 waits", self.of_one, 50),
            Bar("time until a triggerer has the waits of one that died", self.taken_over, 90, " s"),
        ]


SAID = (
    f"{WAITS:,} waits for tasks that never end, each of which wants to be looked at every 5 s, on the same cluster "
    "with Airflow's own settings but for `[triggerer] capacity`, which is 2,000: with the default of 1,000 one "
    "triggerer cannot have all of them. They are there at once, as if as many workers had deferred at the same time. "
    f"Looks are those that the sandbox has counted in {WHILE} s. Then one triggerer is killed; 30 s after its last "
    "sign of life it counts as dead (`[triggerer] triggerer_health_check_threshold`), and the other one takes up its "
    "waits, 50 at a time (`[triggerer] max_trigger_to_select_per_loop`)."
)


def measure(stage: ClusterStage) -> Takeover:
    """Let there be many waits, and let one triggerer die."""
    begun = defer(stage)
    taken_up = until(stage, lambda shares: sum(shares.values()) == WAITS) - begun
    less, more = sorted(shares_of(stage).values())
    of_two = looks_per_second(stage)
    kill_group(stage.cluster.processes[f"triggerer@{MACHINES[0]}"])
    killed = time.monotonic()
    taken_over = until(stage, lambda shares: shares == {MACHINES[1]: WAITS}) - killed
    return Takeover(taken_up, (less, more), of_two, taken_over, looks_per_second(stage))


def defer(stage: ClusterStage) -> float:
    """Let there be so many waits, and return when they were there for triggerers to take."""
    cluster = stage.cluster
    look = {"id": "unfinished", "status": "processing"}
    stage.sandbox.reset()
    stage.sandbox.fault("GET", "^/tasks/", "status", times=None, code=200, body=look)
    cluster.api("POST", "/pools", json={"name": "closed", "slots": 0})
    run_id = cluster.trigger(DAG_ID, {})
    cluster.wait_for(lambda: stage.query(SCHEDULED, run_id) == [(WAITS,)], seconds=180, what="the tasks")
    script = ROOT / "tests" / "e2e" / "cluster" / "deferred.py"
    environment = {**cluster.env, "KLAP_MACHINE": HEAD}
    subprocess.run([cluster.python, script, run_id], env=environment, check=True)
    return time.monotonic()


def shares_of(stage: ClusterStage) -> dict[str, int]:
    """Return how many waits each machine's triggerer has."""
    return dict(stage.query(SHARES))


def until(stage: ClusterStage, holds: Callable[[dict[str, int]], bool]) -> float:
    """Return when that holds of the triggerers' shares."""
    stage.cluster.wait_for(lambda: holds(shares_of(stage)), seconds=180, what="the triggerers")
    return time.monotonic()


def looks_per_second(stage: ClusterStage) -> float:
    """Return how often Klap is looked at."""
    before = len(stage.sandbox.requests("GET", "^/tasks/"))
    began = time.monotonic()
    time.sleep(WHILE)
    looks = len(stage.sandbox.requests("GET", "^/tasks/")) - before
    return looks / (time.monotonic() - began)
