"""The Klap page and the players, with runs of a complete Airflow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import BATCH_DAG_ID, DAG_ID
from tests.browser.test_shorts_tab import cards
from tests.browser.test_tab_actions import axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stage import Stage
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.browser

SELECTED, NAME = "select_shorts", "short_name"

#: The name of a link to a run of the sample video. The link of its cost, which has a $, does not match.
NAMED_AFTER_VIDEO = re.compile(r"^[^$]*sample\.mp4")


def test_delivered_shorts_play_when_klap_has_no_data_any_more(page: Page, stage: Stage, delivered: str) -> None:
    page.route(f"{stage.sandbox.root}/**", lambda route: route.abort())
    page.goto(stage.tab_of(delivered))
    videos = cards(page).locator("video")
    expect(videos).to_have_count(2)
    for video in videos.all():
        video.evaluate("video => { video.muted = true; return video.play(); }")
        page.wait_for_function("video => video.currentTime > 0.3", arg=video.element_handle())
    with page.expect_download() as download:
        link = cards(page).first.get_by_role("link", name="Download")
        link.evaluate("link => { link.removeAttribute('target'); link.click(); }")
    assert (stage.shorts / stage.airflow.xcom(DAG_ID, delivered, "submit")["klap_task_id"]).joinpath(
        download.value.suggested_filename
    ).read_bytes() == download.value.path().read_bytes()


def test_a_delivered_short_shows_its_captions_and_transcript(page: Page, stage: Stage, delivered: str) -> None:
    page.goto(stage.tab_of(delivered))
    cards(page).first.get_by_role("button", name="Captions and transcript of").click()
    expect(cards(page).first).to_contain_text("TikTok")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cards(page).first.get_by_role("button", name="Copy the TikTok text").click()
    expect(cards(page).first).to_contain_text("Copied")
    texts = stage.airflow.xcom(DAG_ID, delivered, "short.deliver", map_index=0)["publication_captions"]
    assert page.evaluate("navigator.clipboard.readText()") == texts["tiktok"]


def test_an_open_review_is_linked_on_the_page(page: Page, stage: Stage, asked: str) -> None:
    page.goto(f"{stage.airflow.url}/plugin/klap")
    waiting = page.get_by_role("region", name="Waiting for you")
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    expect(waiting.get_by_role("listitem").first).to_contain_text(re.compile(f"since {when}, until {when}"))
    expect(page.get_by_role("table", name="Videos")).to_contain_text("Waiting For You")
    if (everything := waiting.get_by_role("button", name="Show all")).is_visible():
        everything.click()
    link = waiting.locator(f'a[href*="{asked}"]')
    expect(link).to_have_count(1)
    link.click()
    expect(page).to_have_url(stage.tab_of(asked))
    expect(page.get_by_role("link", name="Shorts", exact=True)).to_have_attribute("aria-current", "page")


def test_a_batch_is_a_row_that_opens_and_its_run_has_a_tab(page: Page, stage: Stage, batch: str) -> None:
    page.goto(stage.tab_of(batch, dag_id=BATCH_DAG_ID))
    section = page.get_by_role("region", name="Batch")
    expect(section).to_contain_text("1 of 3 videos complete. The batch failed because 1 video did not complete")
    lines = section.get_by_role("table", name="Videos of the batch").locator("tbody tr td:first-child")
    expect(lines).to_have_text(["1", "2"])
    expect(section.get_by_role("row").filter(has_text="Success")).to_contain_text(re.compile(r"\$\d"))
    failed = section.get_by_role("row").filter(has_text="Failed")
    expect(failed).to_contain_text("start a new run")
    expect(failed.get_by_role("cell").last).to_have_text(re.compile(r"^\w+: "))  # the cause goes first
    expect(section).to_contain_text(f"Line 3: {stage.sandbox.root}/gone.mp4")
    assert axe(page, "Batch") == []

    page.goto(f"{stage.airflow.url}/plugin/klap")
    row = page.get_by_role("row").filter(has_text=BATCH_DAG_ID)
    expect(row.get_by_role("link", name=NAMED_AFTER_VIDEO)).to_contain_text("and 1 more")
    expect(row).to_contain_text(re.compile(r"2 videos\d+\$\d"))  # the best score, and the cost of both
    row.get_by_role("button", name="Videos of").click()
    expect(page.get_by_role("row").filter(has_text="sample.mp4?…")).to_have_count(
        3
    )  # the batch, its opened list, and the row in that list
    expect(page.get_by_role("table", name="Videos of the batch").get_by_role("row")).to_have_count(3)
    page.set_viewport_size({"width": 800, "height": 900})
    table = page.get_by_role("table", name="Videos", exact=True).locator("..")
    assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.get_by_role("table", name="Videos of the batch").get_by_role("link", name=NAMED_AFTER_VIDEO).click()
    expect(page).to_have_url(re.compile(f"/dags/{DAG_ID}/runs/klap__.*/plugin/shorts$"))
    expect(page.get_by_text("1 of 1 short delivered")).to_be_visible()


def test_the_cost_of_a_run_on_its_tab_and_row_is_what_klap_bills(
    page: Page, runs: tuple[Stage, dict[str, str]], permitted: Sandbox
) -> None:
    stage, run_id = runs[0], runs[0].wait_for_success(runs[1]["permitted"])
    [task], exports = permitted.ledger("task"), len(permitted.ledger("export"))
    folder = permitted.outcome(f"/tasks/{task['id']}")["output_id"]
    shorts = permitted.call("GET", f"/projects/{folder}").json()
    cost = f"${0.44 + len(shorts) * 0.32 + exports * 0.48:.2f}"
    page.goto(stage.tab_of(run_id))
    expect(page.get_by_role("region", name="Summary")).to_contain_text(f"{cost} (estimated)")
    page.goto(f"{stage.airflow.url}/plugin/klap")
    row = page.get_by_role("table", name="Videos").get_by_role("row").filter(has_text="Permitted")
    expect(page.get_by_text("prices are estimated")).to_be_visible()
    row.get_by_role("link", name=f"{cost}, paid by Permitted").click()
    expect(page.get_by_text(re.compile(rf"^\d requests, {re.escape(cost)} \(estimated\)$"))).to_be_visible()
    page.go_back()
    row.get_by_role("link", name="Permitted", exact=True).click()
    expect(page).to_have_url(stage.tab_of(run_id))
    page.get_by_role("region", name="Summary").get_by_role(
        "link", name=re.compile("paid requests of this run$")
    ).click()
    expect(page.get_by_text(re.compile(rf"^\d requests, {re.escape(cost)} \(estimated\)$"))).to_be_visible()


def test_all_shorts_of_all_runs_are_listed_with_cost_and_ledger_link(
    page: Page, stage: Stage, delivered: str, finished: str, captioned: str, complaints: list[str]
) -> None:
    page.goto(f"{stage.airflow.url}/plugin/klap?view=shorts")
    library = page.get_by_role("tabpanel", name="Shorts")
    short = library.get_by_role("listitem")
    expect(short.first).to_contain_text("$0.48")
    scores = [int(meter.get_attribute("aria-valuenow") or -1) for meter in library.get_by_role("meter").all()]
    assert len(scores) > 3
    assert scores == sorted(scores, reverse=True)
    page.get_by_role("searchbox", name="Search shorts").fill(stage.airflow.xcom(DAG_ID, delivered, SELECTED)[0][NAME])
    expect(page.get_by_text(re.compile(r"^\d shorts?, \$\d\.\d\d \(estimated\)$"))).to_be_visible()

    page.get_by_role("tab", name="Cost").click()
    expect(page.get_by_role("heading", name=re.compile(r"\$.* in the last 30 days \(estimated\)"))).to_be_visible()
    expect(page.get_by_role("table", name="Paid requests")).to_contain_text("Generate shorts")
    page.get_by_role("link", name="Open the ledger").click()
    expect(page).to_have_url(re.compile(r"/assets/\d+/asset-state-store$"))
    expect(page.get_by_text(re.compile(r"^claim\.")).first).to_be_visible()
    page.goto("about:blank")  # after this, the console has no more errors
    # An error of Airflow: its page of an asset requests the Dags that the asset schedules, and there are none.
    assert all("404 (Not Found)" in complaint and "/ui/dependencies?" in complaint for complaint in complaints)
    complaints.clear()
