"""7. The page Klap: how soon its first screen is seen, and what it reads, with few runs and with many."""

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
    What a first screen took, one figure a round.

    :param requests: which Klap's plugin, or Airflow for it, was asked, beyond what every page of Airflow's asks.
    :param sizes: bytes of what came back, as they were sent.
    """

    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def run() -> Section:
    """Measure."""
    screens: dict[tuple[str, int], Screen] = defaultdict(Screen)
    with (
        tempfile.TemporaryDirectory(prefix="klap-bench-") as folder,
        ApiServer(Path(folder)) as server,
        chromium() as browser,
    ):
        done = 0
        for count in COUNTS:
            server.seed(**many_runs(range(done, count)))
            done = count
            for _ in range(ROUNDS):
                look(browser, server, "dags", "klap_generate_shorts", screens[DAGS, count])
                look(browser, server, "plugin/klap", "Episode 0", screens[KLAP, count])
    few, many = (screens[KLAP, count] for count in COUNTS)
    own = statistics.median(screens[DAGS, COUNTS[-1]].seconds)
    return Section(
        name="page",
        title="9. The page Klap",
        said=(
            f"The API server with so many runs of {SHORTS} delivered shorts in its database (SQLite), in Chromium, "
            f"{ROUNDS} times: from asking for the page's address until the first row is painted, beside Airflow's own "
            "list of DAGs. Airflow's own code is in the browser's cache, and this page's is not; requests and bytes "
            "are those for this page alone, of the whole first screen, its modules among them."
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


def look(browser: Browser, server: ApiServer, path: str, first: str, screen: Screen) -> None:
    """Open a page in a new browser that knows Airflow, and write down what it took."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    sign_in(page, server.url, ADMIN)
    asked: list[Request] = []
    page.on("requestfinished", lambda request: asked.append(request))
    started = time.monotonic()
    page.goto(f"{server.url}/{path}", wait_until="commit")
    page.get_by_text(first).first.wait_for()
    screen.seconds.append(time.monotonic() - started)
    page.wait_for_load_state("networkidle")
    ours = [each for each in asked if "/klap/" in each.url or "hitlDetails" in each.url]
    screen.requests.append(len(ours))
    screen.sizes.append(sum(each.sizes()["responseBodySize"] for each in ours))
    context.close()
