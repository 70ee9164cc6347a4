"""1. Waiting: the cost of thousands of waits in one event loop."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict

from benchmarks import poll_server
from benchmarks.plot import Line, log_log
from benchmarks.report import Bar, Section, Table, spread
from benchmarks.waits import Outcome, Plan

ROUNDS = 2
NAMES = {
    "klap": "this project",
    "http_sensor": "HttpSensorTrigger",
    "dbt_cloud": "DbtCloudRunJobTrigger",
    "bare": "aiohttp alone",
}
SCHEMES = {"http": "plain", "https": "TLS"}
SESSION_SHARING, MANY_POLLS = ("klap", "bare"), 10
CONTENDERS = {"http": ("klap", "http_sensor", "bare"), "https": ("klap", "http_sensor", "dbt_cloud", "bare")}


def run() -> Section:
    """Run the benchmark."""
    with poll_server.running() as server:

        def plans(waits: int, polls: int, schemes: dict[str, tuple[str, ...]]) -> list[Plan]:
            return [
                Plan(
                    name,
                    server.origin(scheme),
                    waits,
                    MANY_POLLS if waits == 1000 and name in SESSION_SHARING else polls,
                )
                for scheme, names in schemes.items()
                for name in names
            ]

        found: dict[tuple[str, str, int], list[Outcome]] = defaultdict(list)
        all_plans = [*plans(100, 10, CONTENDERS), *plans(1000, 2, CONTENDERS) * ROUNDS]
        # Over TLS, the others would need minutes for five thousand handshakes per round of polls.
        all_plans += plans(5000, 1, {"http": ("klap", "http_sensor", "bare"), "https": ("klap", "bare")})
        all_plans += plans(5000, 1, {"http": ("klap",), "https": ("klap",)}) * (ROUNDS - 1)
        for plan, outcome in zip(all_plans, run_plans(all_plans, server), strict=True):
            found[plan.contender, plan.origin.partition(":")[0], plan.waits].append(outcome)
        memory = {}
        for name in ("idle", "klap", "http_sensor"):
            (outcome,) = run_plans([Plan(name, server.origin("http"), 5000, 2)], server)
            memory[name] = outcome.memory / 5000 / 1024

    def cpu(name: str, scheme: str, waits: int = 1000) -> float:
        return statistics.median(_per_poll(outcome) for outcome in found[name, scheme, waits])

    rows = [
        [
            NAMES[name],
            SCHEMES[scheme],
            f"{waits:,}",
            spread(map(_per_poll, outcomes)),
            spread(outcome.connections for outcome in outcomes),
            spread(outcome.block * 1000 for outcome in outcomes),
        ]
        for (name, scheme, waits), outcomes in sorted(found.items(), key=lambda item: (item[0][2], item[0][1]))
    ]
    blocks = [outcome.block for scheme in SCHEMES for outcome in found["klap", scheme, 5000]]
    kept_open = max(outcome.connections for scheme in SCHEMES for outcome in found["klap", scheme, 1000])
    own = memory["klap"] - memory["idle"]
    return Section(
        name="waiting",
        title="1. Waiting",
        method=(
            "Waits in one event loop poll a server on the same machine until their jobs are ready: 10, 2 and 1 polls "
            "each "
            "for 100, 1,000 and 5,000 waits, a thousand polls per second. The limit of requests per second is disabled "
            "to measure the cost of a poll. Airflow's own objects are frozen in garbage collection, as its pauses for "
            "them (0.2 to 0.5 s) are the same for all contenders. "
            f"A wait takes {own:.1f} KiB of memory, in addition to the {memory['idle']:.1f} KiB of one that only "
            f"sleeps; HttpSensorTrigger takes {memory['http_sensor'] - memory['idle']:.1f} KiB. Two earlier waits load "
            "what is loaded once, so no figure contains it. Contenders that share a session take 10 polls each with "
            "1,000 waits, to spread the cost of opening it."
        ),
        table=Table(("", "", "waits", "CPU per poll, ms", "connections", "longest block of the event loop, ms"), rows),
        bars=[
            Bar(
                "CPU per poll over TLS, 1,000 waits, against HttpSensorTrigger",
                cpu("klap", "https") / cpu("http_sensor", "https"),
                0.2,
            ),
            Bar("the same, plain", cpu("klap", "http") / cpu("http_sensor", "http"), 0.4),
            Bar("connections opened for 1,000 waits and 10,000 polls", kept_open, 100),
            Bar(
                "longest block of the event loop, 5,000 waits starting together",
                statistics.median(blocks) * 1000,
                200,
                " ms",
            ),
            Bar("memory per wait beyond the event loop's own", own, 20, " KiB"),
        ],
        plots={
            "waiting.svg": log_log(
                [
                    Line(
                        f"{NAMES[name]}, {SCHEMES[scheme]}",
                        [
                            (waits, waits / 10 * cpu(name, scheme, waits) / 10)
                            for waits in (100, 1000, 5000)
                            if found[name, scheme, waits]
                        ],
                    )
                    for name, scheme in (
                        ("klap", "https"),
                        ("http_sensor", "https"),
                        ("dbt_cloud", "https"),
                        ("bare", "https"),
                        ("http_sensor", "http"),
                    )
                ],
                title="Waits against CPU, each polling every 10 s",
                x="waits in one triggerer",
                y="% of one core",
            )
        },
    )


def run_plans(plans: list[Plan], server: poll_server.Server) -> list[Outcome]:
    """Run plans in a new process."""
    # REQUESTS_CA_BUNDLE, if it is set, takes precedence in this project.
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(server.certificate))
    env = {**os.environ, **trust, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.waits"],
        input=json.dumps([asdict(plan) for plan in plans]),
        capture_output=True,
        text=True,
        env=env,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    outcomes = [Outcome(**each) for each in json.loads(done.stdout.splitlines()[-1])]
    for plan, outcome in zip(plans, outcomes, strict=True):
        if plan.contender != "idle" and outcome.polls < (plan.folders or plan.waits) * plan.polls:
            raise RuntimeError(f"{plan} ended after {outcome.polls} polls")
    return outcomes


def _per_poll(outcome: Outcome) -> float:
    return outcome.cpu / outcome.polls * 1000
