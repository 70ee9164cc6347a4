"""7. Growth: the cost of a triggerer with more waits and more folders."""

from __future__ import annotations

import statistics

from benchmarks import poll_server
from benchmarks.report import Bar, Section, Table, number
from benchmarks.waiting import run_plans
from benchmarks.waits import Plan

#: Polls until a job is ready, and the poll interval in seconds.
POLLS, EVERY = 3, 2.0

#: Name of the row, number of waits, number of folders; 0 folders = waits for tasks.
ROWS = (
    ("100 exports in 20 folders", 100, 20),
    ("1,000 exports in 200 folders", 1000, 200),
    ("5,000 exports in 1,000 folders", 5000, 1000),
    ("a video with 100 shorts", 100, 1),
    ("a batch of 500 videos", 500, 0),
)
ROUNDS = 2


def run() -> Section:
    """Run the benchmark."""
    with poll_server.running() as server:
        plans = [
            Plan("klap_exports" if folders else "klap", server.origin("http"), waits, POLLS, folders, EVERY)
            for _, waits, folders in ROWS
        ]
        rounds = [run_plans(plans, server) for _ in range(ROUNDS)]
    found = {name: [outcomes[index] for outcomes in rounds] for index, (name, *_) in enumerate(ROWS)}

    def median(name: str, figure: str) -> float:
        return statistics.median(float(getattr(outcome, figure)) for outcome in found[name])

    rows = [
        [
            name,
            number(median(name, "polls")),
            number(median(name, "polls") / POLLS / (folders or waits)),
            number(median(name, "cpu") / waits / POLLS * 1000),
            number(median(name, "memory") / waits / 1024),
            number(median(name, "block") * 1000),
        ]
        for name, waits, folders in ROWS
    ]
    many, most = ROWS[1][0], ROWS[2][0]
    return Section(
        name="growth",
        title="7. Growth",
        method=(
            f"Waits that start together in one event loop and poll a server on the same machine {POLLS} times, every "
            f"{EVERY:g} s; medians of {ROUNDS} rounds. One call answers all waits of a folder, or one task. Memory is "
            "the growth of the process, without what is loaded once."
        ),
        table=Table(
            (
                "",
                "calls",
                "calls per folder or task, and poll interval",
                "CPU per wait and poll interval, ms",
                "memory per wait, KiB",
                "longest block of the event loop, ms",
            ),
            rows,
        ),
        bars=[
            Bar(
                "calls per folder and poll interval, 5,000 waits in 1,000 folders",
                median(most, "polls") / POLLS / 1000,
                1.2,
            ),
            Bar("calls per poll interval, a video with 100 shorts", median(ROWS[3][0], "polls") / POLLS, 1.5),
            Bar(
                "CPU per wait, 5,000 exports against 1,000",
                median(most, "cpu") / 5000 / (median(many, "cpu") / 1000),
                1.25,
            ),
            Bar("memory per wait, 5,000 exports", median(most, "memory") / 5000 / 1024, 20, " KiB"),
            Bar("longest block of the event loop, 5,000 exports", median(most, "block") * 1000, 200, " ms"),
        ],
    )
