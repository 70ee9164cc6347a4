"""The Klap page with 700 runs and 3,500 shorts in the database, below a URL path and behind a login."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import imageio_ffmpeg
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from klap_provider.rules.ledger_keys import DELIVERED
from tests.browser.stage import enter, sign_in
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer
from tests.support.auth import PRIVATE
from tests.support.many_runs import SHORTS, many_runs
from tests.support.object_storage import ObjectStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

DAGS = ("klap_generate_shorts", "klap_generate_shorts", "weekly_webinar", PRIVATE)
#: Fewer runs than the page reads at once. Each has 7 payments.
RUNS = 700
BEST, GONE, SEARCHED = "Kept in a bucket", "Deleted since", "Needle in a haystack"


@dataclass
class Desk:
    """An Airflow with many runs."""

    server: ApiServer
    runs: list[dict[str, Any]]

    def open(self, page: Page, view: str = "videos", user: str = ADMIN, period: str = "all") -> Page:
        """Open the page as a user."""
        enter(page, self.server.url, user)
        page.goto(self.address(view, period))
        return page

    def address(self, view: str = "videos", period: str = "all") -> str:
        """Return the address of a part of the page."""
        return f"{self.server.url}/plugin/klap?view={view}&period={period}"


def clip(path: Path) -> bytes:
    """Make a small video."""
    source = "testsrc2=size=270x480:rate=25:duration=3"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", path]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


def database(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of these runs, including some special shorts."""
    path = f"file://{folder / 'clip.mp4'}"
    tables = many_runs(range(RUNS), dag_ids=DAGS, path=path, every=timedelta(hours=2))
    for run in tables["runs"]:
        run["tasks"] = [
            {"operator": "DeliverShortOperator", "task_id": "deliver", "map_index": index} for index in range(SHORTS)
        ]
    special = [
        row["value"]
        for row in tables["rows"]
        if row["key"].startswith(f"{DELIVERED}.") and row["dag_id"] == "klap_generate_shorts"
    ]
    special[0] |= {"name": BEST, "score": 100, "path": "s3://media@media/clip.mp4"}
    special[1] |= {"name": GONE, "score": 0, "path": f"file://{folder / 'gone.mp4'}"}
    special[2] |= {"name": SEARCHED, "score": 0}
    return tables


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home, folder = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("shorts")
    with ObjectStorage(home) as storage:
        storage.reset()
        storage.put("clip.mp4", clip(folder / "clip.mp4"))
        with ApiServer(home, connections={"media": storage.connection}, path="/airflow") as server:
            tables = database(folder)
            server.seed(**tables)
            yield Desk(server, tables["runs"])


def rows(page: Page) -> Locator:
    """Return the rows of the table of videos."""
    return page.get_by_role("table", name="Videos").locator("tbody").get_by_role("row")


def cards(page: Page) -> Locator:
    """Return the cards of all shorts."""
    return page.get_by_role("tabpanel", name="Shorts").get_by_role("listitem")


def plays(video: Locator) -> None:
    video.evaluate("video => { video.muted = true; return video.play(); }")
    video.page.wait_for_function(
        "video => video.currentTime > 0.3 && video.videoWidth === 270", arg=video.element_handle()
    )


def test_the_page_is_in_the_navigation_and_lists_runs_newest_first(page: Page, desk: Desk) -> None:
    sign_in(page, desk.server.url, ADMIN)
    page.get_by_role("link", name="Klap", exact=True).click()
    expect(page).to_have_url(re.compile("/airflow/plugin/klap"))
    expect(rows(page)).to_have_count(25)
    expect(rows(page).first).to_contain_text("Episode 0")
    expect(rows(page).first).to_contain_text("$6.04")
    expect(page.get_by_text("prices are estimated")).to_be_visible()
    expect(rows(page).first).to_contain_text("of $10.00")
    expect(rows(page).first).to_contain_text(f"by {USER}")
    page.get_by_role("button", name="More").click()
    expect(rows(page)).to_have_count(50)
    page.get_by_role("link", name="Episode 0", exact=True).click()
    expect(page).to_have_url(re.compile("/dags/klap_generate_shorts/runs/manual.*/plugin/shorts$"))


def test_the_view_is_in_the_address_for_back_reload_and_links(page: Page, new_page: Open, desk: Desk) -> None:
    desk.open(page)
    search = page.get_by_role("searchbox", name="Search videos")
    search.fill("episode 49")
    expect(rows(page)).to_have_count(15)
    page.get_by_label("Sort by").select_option("Oldest first")
    expect(rows(page).first).to_contain_text("Episode 499")
    page.get_by_label("State").select_option("Failed")
    expect(page.get_by_role("status")).to_contain_text(
        'No video that matches "episode 49" in the state Failed is among the newest 500 runs.'
    )
    page.go_back()
    expect(rows(page)).to_have_count(15)
    page.reload()
    expect(rows(page).first).to_contain_text("Episode 499")
    expect(search).to_have_value("episode 49")
    shared = new_page()
    enter(shared, desk.server.url, ADMIN)
    shared.goto(page.url)
    expect(rows(shared).first).to_contain_text("Episode 499")
    page.get_by_role("tab", name="Shorts").click()
    expect(page.get_by_role("searchbox", name="Search shorts")).to_have_value("")
    page.get_by_role("searchbox", name="Search shorts").fill("nothing of the kind")
    expect(page.get_by_role("status")).to_contain_text('No short that matches "nothing of the kind" was delivered')
    page.get_by_role("button", name="Remove the filters").click()
    expect(cards(page)).to_have_count(24)
    page.go_back()
    page.go_back()
    expect(search).to_have_value("episode 49")
    expect(rows(page)).to_have_count(15)


def test_all_shorts_are_listed_best_first_with_their_cost(page: Page, desk: Desk) -> None:
    desk.open(page, "shorts")
    expect(page.get_by_text("3,500 shorts")).to_be_visible()
    expect(cards(page)).to_have_count(24)
    expect(cards(page).first).to_contain_text(BEST)
    expect(cards(page).first).to_contain_text("$0.48")
    page.get_by_label("Sort by").select_option("Newest first")
    expect(cards(page).first).to_contain_text("talks/0.mp4")
    page.get_by_role("searchbox", name="Search shorts").fill("needle hay")
    expect(page.get_by_text(re.compile("^1 short,"))).to_be_visible()
    expect(cards(page).first).to_contain_text(SEARCHED)
    page.get_by_role("searchbox", name="Search shorts").fill("episode 698")
    expect(page.get_by_text("5 shorts, $2.40")).to_be_visible()
    expect(page.get_by_text("Exports only")).to_be_visible()
    expect(cards(page).first).to_contain_text("Episode 698")
    # Not clicked: the videos of that run do not exist.
    link = cards(page).first.get_by_role("link", name="Run of")
    expect(link).to_have_attribute("href", re.compile("/plugin/shorts$"))


def test_a_short_plays_and_seeks_from_a_folder_and_from_s3(page: Page, desk: Desk) -> None:
    desk.open(page, "shorts")
    plays(cards(page).filter(has_text=BEST).locator("video"))
    local = cards(page).nth(2).locator("video")
    plays(local)
    local.evaluate("video => { video.pause(); video.currentTime = 2.5; }")
    page.wait_for_function("video => !video.seeking && video.currentTime > 2.4", arg=local.element_handle())


def test_a_deleted_file_is_reported_on_its_card(page: Page, desk: Desk, complaints: list[str]) -> None:
    desk.open(page, "shorts")
    page.get_by_role("searchbox", name="Search shorts").fill(GONE)
    expect(cards(page).filter(has_text=GONE).get_by_role("alert")).to_contain_text("was deleted or moved")
    assert complaints
    assert all("404" in complaint for complaint in complaints)
    complaints.clear()


def test_a_short_whose_run_is_deleted_is_still_listed_and_plays(page: Page, desk: Desk) -> None:
    desk.open(page)
    expect(rows(page).nth(1)).to_contain_text("Episode 1")
    run_id = desk.runs[1]["run_id"]
    path = f"/api/v2/dags/{desk.runs[1]['dag_id']}/dagRuns/{quote(run_id)}"
    requests.delete(f"{desk.server.url}{path}", headers=desk.server.token(ADMIN), timeout=30).raise_for_status()
    page.reload()
    expect(rows(page).nth(1)).to_contain_text("Episode 2")
    page.goto(desk.address("shorts"))
    page.get_by_role("searchbox", name="Search shorts").fill("Moment 0 of 1 talks/1.mp4")
    expect(page.get_by_text(re.compile("^1 short,"))).to_be_visible()
    expect(cards(page).get_by_role("link", name="Run of")).to_have_count(0)
    plays(cards(page).locator("video"))


def test_download_gives_the_delivered_file(page: Page, desk: Desk) -> None:
    desk.open(page, "shorts")
    link = cards(page).filter(has_text=BEST).get_by_role("link", name="Download")
    with page.expect_download() as download:
        link.evaluate("link => { link.removeAttribute('target'); link.click(); }")
    assert download.value.suggested_filename == "clip.mp4"


def test_costs_are_shown_by_day_month_and_dag(page: Page, desk: Desk) -> None:
    desk.open(page, "cost", period="30")
    expect(page.get_by_role("heading", name="in the last 30 days")).to_be_visible()
    chart = page.get_by_role("img", name=re.compile("Cost by day"))
    expect(chart).to_be_visible()
    by_dag = page.get_by_role("table", name="By Dag")
    expect(by_dag.get_by_role("row")).to_have_count(4)
    page.get_by_role("combobox", name="Time").select_option("Last year")
    expect(page.get_by_role("heading", name="$4,228.00 in the last year (estimated)")).to_be_visible()
    webinar = by_dag.get_by_role("row").filter(has_text="weekly_webinar")
    expect(webinar).to_contain_text("$1,057.00 of $1,750.00")


def test_the_shorts_of_a_period_are_counted_with_their_cost(page: Page, desk: Desk) -> None:
    desk.open(page, "shorts")
    expect(page.get_by_text("3,500 shorts, $1,680.00 (estimated)")).to_be_visible()
    page.get_by_role("combobox", name="Time").select_option("Last 30 days")
    total = page.get_by_text(re.compile(r"^1,7\d\d shorts, "))
    expect(total).to_be_visible()
    expect(page).to_have_url(re.compile("view=shorts&period=30"))
    page.get_by_role("tab", name="Cost").click()
    expect(page.get_by_role("heading", name="in the last 30 days")).to_be_visible()
    page.get_by_role("tab", name="Shorts").click()
    expect(total).to_be_visible()
    count = int(total.inner_text().split()[0].replace(",", ""))
    assert total.inner_text() == f"{count:,} shorts, ${count * 0.48:.2f} (estimated)"
    scores = [int(meter.get_attribute("aria-valuenow") or -1) for meter in cards(page).get_by_role("meter").all()]
    assert scores == sorted(scores, reverse=True)


def test_paid_requests_are_in_a_table_with_links_to_their_runs(page: Page, desk: Desk) -> None:
    desk.open(page, "cost")
    table = page.get_by_role("table", name="Paid requests")
    paid = table.locator("tbody").get_by_role("row")
    expect(paid).to_have_count(25)
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    newest = paid.filter(has_text="media.example.com/talks/0.mp4").filter(has_text="Export of it")
    expect(newest).to_have_count(5)
    expect(newest.first).to_contain_text("watermark acme.png")
    expect(newest.first).to_contain_text("$0.48")
    page.get_by_role("region", name="Paid requests").get_by_role("button", name="More").click()
    expect(paid).to_have_count(50)
    expect(newest.first).to_contain_text(DAGS[0])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename == "klap-payments.csv"
    lines = download.value.path().read_text().splitlines()
    count = page.get_by_text(re.compile("^[0-9,]+ requests, ")).inner_text().split()[0].replace(",", "")
    assert (lines[0][:7], len(lines) - 1) == ("at,cost", int(count))
    newest.first.get_by_role("link", name="Run of Episode 0").click()
    expect(page).to_have_url(re.compile(f"/dags/{DAGS[0]}/runs/.*/plugin/shorts$"))


def test_paid_requests_can_be_searched_by_run_name_with_their_sum(page: Page, desk: Desk) -> None:
    desk.open(page, "cost")
    payments = page.get_by_role("region", name="Paid requests")
    expect(payments.get_by_text("4,900 requests, $4,228.00 (estimated)")).to_be_visible()
    payments.get_by_role("button", name="More").click()
    expect(payments.locator("tbody").get_by_role("row")).to_have_count(50)
    search = payments.get_by_role("searchbox", name="Search paid requests")
    search.focus()
    page.keyboard.type("episode 698 export")
    expect(payments.get_by_text("5 requests, $2.40 (estimated)")).to_be_visible()
    expect(search).to_be_focused()
    expect(payments.locator("tbody").get_by_role("row")).to_have_count(5)
    search.fill("nobody has paid this")
    expect(payments.get_by_text(re.compile("^0 requests, "))).to_be_visible()
    search.fill("")
    payments.get_by_role("combobox", name="Dag").select_option("weekly_webinar")
    expect(payments.get_by_text("1,225 requests, $1,057.00")).to_be_visible()


def test_the_cost_of_a_run_links_to_its_paid_requests_and_back(page: Page, desk: Desk) -> None:
    desk.open(page)
    for way_back in (lambda: page.get_by_role("tab", name="Videos").click(), page.go_back):
        page.get_by_role("link", name="$6.04, paid by Episode 0").click()
        payments = page.get_by_role("region", name="Paid requests")
        expect(payments.get_by_text("7 requests, $6.04 (estimated)")).to_be_visible()
        expect(page.get_by_role("tab", name="Cost")).to_have_attribute("aria-selected", "true")
        expect(payments.locator("tbody").get_by_role("row")).to_have_count(7)
        expect(page.get_by_role("table", name="By Dag")).to_have_count(0)
        way_back()
        expect(rows(page).first).to_contain_text("Episode 0")
    page.get_by_role("link", name="$6.04, paid by Episode 0").click()
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("table", name="By Dag")).to_be_visible()


def test_times_are_in_the_time_zone_of_airflows_ui(new_page: Open, desk: Desk) -> None:
    page = new_page(timezone_id="America/New_York")
    desk.open(page)
    page.get_by_role("tab", name="Cost").click()
    paid = page.get_by_role("table", name="Paid requests").locator("tbody").get_by_role("row").first
    at = datetime.fromisoformat(desk.runs[0]["at"])
    expect(paid).to_contain_text(f"{at.astimezone(ZoneInfo('America/New_York')):%Y-%m-%d %H:%M:%S}")
    page.get_by_text(re.compile(r"^-0\d:00$")).click()
    page.get_by_role("dialog").get_by_role("combobox").fill("Tokyo")
    page.get_by_role("option", name="Asia/Tokyo").click()
    page.keyboard.press("Escape")
    expect(paid).to_contain_text(f"{at.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d %H:%M:%S}")


def test_a_dag_that_the_user_may_not_read_is_not_shown(page: Page, desk: Desk) -> None:
    enter(page, desk.server.url, USER)
    for view, whole in (("videos", "Episode 0"), ("shorts", "2,625 shorts"), ("cost", "Runs that paid")):
        page.goto(desk.address(view))
        expect(page.get_by_text(whole).first).to_be_visible()
        expect(page.get_by_text(PRIVATE)).to_have_count(0)


def test_a_user_who_may_not_read_xcoms_is_told_so(page: Page, desk: Desk) -> None:
    desk.open(page, user=VIEWER)
    expect(page.get_by_text("You need the permission to read XComs of a Klap Dag")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, desk: Desk, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    enter(page, desk.server.url, ADMIN)
    for view, seen in (("videos", "Episode 0"), ("shorts", BEST), ("cost", "Runs that paid")):
        page.goto(desk.address(view))
        expect(page.get_by_text(seen).first).to_be_visible()
        found = Axe().run(page, context={"include": [["section[aria-label=Klap]"]]})
        assert [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []


def test_the_page_works_by_keyboard(page: Page, desk: Desk) -> None:
    desk.open(page)
    page.get_by_role("tab", name="Videos").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Shorts")).to_be_focused()
    expect(cards(page).first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Sources")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("table", name="By Dag")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("heading", name="this month")).to_be_visible()


@pytest.mark.parametrize("width", [800, 1280])
def test_nothing_overflows_the_window(page: Page, desk: Desk, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    desk.open(page)
    section = page.get_by_role("region", name="Klap")
    fits = "element => element.scrollWidth <= element.clientWidth"
    for view, first in (("Videos", "Episode 0"), ("Shorts", "Moment"), ("Cost", "Runs that paid")):
        page.get_by_role("tab", name=view).click()
        expect(page.get_by_role("tabpanel", name=view).get_by_text(first).first).to_be_visible()
        assert section.evaluate(fits)
        assert all(table.locator("..").evaluate(fits) for table in page.get_by_role("table").all())


def test_the_first_view_requests_only_its_own_data(new_page: Open, desk: Desk) -> None:
    page, sent = new_page(), []
    enter(page, desk.server.url, ADMIN)
    page.on("response", lambda response: sent.append(response.url))
    page.goto(desk.address())
    expect(page.get_by_text("Episode 0").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert any("api/reviews" in url for url in sent)
    expect(page.get_by_role("region", name="Waiting for you")).to_have_count(0)  # nothing waits
    own = [url for url in sent if "/klap/" in url or "hitlDetails" in url]
    assert not [url for url in own if re.search("api/shorts|api/spending|page/shorts.js|page/cost.js", url)]
