"""9. The page Klap: time until its first screen, and its requests, with few and many runs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Bar, Section, Table, spread
from tests.browser.stage import chromium, sign_in
from tests.support.api_server import ADMIN, ApiServer
from tests.support.many_runs import SHORTS, many_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

ROUNDS = 3
COUNTS = (10, 1000)
DAGS, KLAP = "Airflow's list of Dags", "the *Klap* page"


@dataclass
class Screen:
    """
    Measurements of a first screen, one per round.

    :param requests: number of requests for this page, without those of every page of Airflow.
    :param sizes: bytes of their responses, as sent.
    """

    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def run() -> Section:
    """Run the benchmark."""
    screens: dict[tuple[str, int], Screen] = defaultdict(Screen)
    with (
        tempfile.TemporaryDirectory(prefix="klap-bench-") as folder,
        ApiServer(Path(folder)) as server,
        chromium() as browser,
    ):
        done = 0
        for count in COUNTS:  # the oldest first, because newer runs have greater ids
            server.seed(**many_runs(range(COUNTS[-1] - count, COUNTS[-1] - done)))
            done = count
            for _ in range(ROUNDS):
                open_page(browser, server, "dags", "klap_generate_shorts", screens[DAGS, count])
                open_page(browser, server, "plugin/klap", f"Episode {COUNTS[-1] - count}", screens[KLAP, count])
    few, many = (screens[KLAP, count] for count in COUNTS)
    own = statistics.median(screens[DAGS, COUNTS[-1]].seconds)
    return Section(
        name="page",
        title="9. The page Klap",
        method=(
            f"The API server with this number of runs in its database (SQLite), each with {SHORTS} delivered shorts. "
            f"Chromium opens the page {ROUNDS} times: time from the request until the first row is painted, compared "
            "with Airflow's list of Dags. Airflow's code is in the browser's cache, that of the page is not. Requests "
            "and bytes are those of the page's first screen, with its modules."
        ),
        table=Table(
            ("", "runs", "time until it is shown, s", "requests", "kB"),
            [
                [
                    page,
                    f"{count:,}",
                    spread(screen.seconds),
                    spread(screen.requests) if page == KLAP else "",
                    spread(size / 1000 for size in screen.sizes) if page == KLAP else "",
                ]
                for (page, count), screen in screens.items()
            ],
        ),
        bars=[
            Bar(
                f"first screen of the *Klap* page, {COUNTS[-1]:,} runs, against Airflow's list of Dags",
                statistics.median(many.seconds) / own,
                2,
            ),
            Bar(
                f"its requests, {COUNTS[-1]:,} runs, against {COUNTS[0]}",
                statistics.median(many.requests) / statistics.median(few.requests),
                1,
            ),
        ],
    )


def open_page(browser: Browser, server: ApiServer, path: str, first: str, screen: Screen) -> None:
    """Open a page in a new browser context, and add its measurements."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    sign_in(page, server.url, ADMIN)
    requests: list[Request] = []
    page.on("requestfinished", lambda request: requests.append(request))
    started = time.monotonic()
    page.goto(f"{server.url}/{path}", wait_until="commit")
    page.get_by_text(first).first.wait_for()
    screen.seconds.append(time.monotonic() - started)
    page.wait_for_load_state("networkidle")
    ours = [each for each in requests if "/klap/" in each.url or "hitlDetails" in each.url]
    screen.requests.append(len(ours))
    screen.sizes.append(sum(each.sizes()["responseBodySize"] for each in ours))
    context.close()
