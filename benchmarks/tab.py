"""8. The tab: time until a run's shorts are shown."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.report import Bar, Section, Table, spread
from benchmarks.stage import DAGS, OURS, Stage, shared
from tests.browser.stage import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROUNDS = 3
COUNTS = (10, 100)
DETAILS, SHORTS = "Airflow's *Details* tab", "the *Shorts* tab"


def run() -> Section:
    """Run the benchmark."""
    stage = shared(OURS)
    runs = {}
    for count in COUNTS:
        run_id = make_run(stage, count)
        runs[count] = f"{stage.airflow.url}/dags/{DAGS[OURS]}/runs/{run_id}"
    taken: dict[tuple[str, int], list[float]] = {}
    with chromium() as browser:
        page = browser.new_page()
        page.goto(runs[COUNTS[0]])
        page.get_by_role("link", name="Submit").first.wait_for()
        for _ in range(ROUNDS):
            for count, run in runs.items():
                details = seconds(page, f"{run}/details", "table >> text=Run ID")
                taken.setdefault((DETAILS, count), []).append(details)
                shorts = seconds(page, f"{run}/plugin/shorts", "section[aria-label=Shorts] li")
                taken.setdefault((SHORTS, count), []).append(shorts)
    return Section(
        name="tab",
        title="8. The tab",
        method=(
            f"A finished run, opened in Chromium {ROUNDS} times: time from the request until the first short is "
            "painted, "
            "compared with Airflow's *Details* tab. The code of both is in the browser's cache, except for the first "
            "time of the *Shorts* tab."
        ),
        table=Table(
            ("", "shorts", "time until it is shown, s"),
            [[tab, str(count), spread(times)] for (tab, count), times in taken.items()],
        ),
        bars=[
            Bar(
                f"{COUNTS[-1]} shorts in the tab, against Airflow's *Details* tab",
                statistics.median(taken[SHORTS, COUNTS[-1]]) / statistics.median(taken[DETAILS, COUNTS[-1]]),
                2,
            )
        ],
    )


def make_run(stage: Stage, count: int) -> str:
    """Run the Dag with this number of shorts, of which one is delivered; return the run id."""
    stage.sandbox.reset(task_seconds=1, export_seconds=1)
    run_id = stage.airflow.trigger(DAGS[OURS], {**stage.conf(count), "limit": 1})
    if stage.airflow.wait_for_run(DAGS[OURS], run_id, seconds=300) != "success":
        raise RuntimeError(f"the run with {count} shorts failed")
    return run_id


def seconds(page: Page, address: str, first: str) -> float:
    """Return the time until an address shows the selector, in seconds."""
    page.goto("about:blank")
    started = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator(first).first.wait_for()
    return time.monotonic() - started
