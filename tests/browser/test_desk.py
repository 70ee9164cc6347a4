"""The page Klap and the players on a whole Airflow, with what its own tasks have left."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.stage import BATCH_DAG_ID, DAG_ID
from tests.browser.test_shorts_tab import cards

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser


def test_delivered_shorts_play_and_are_had_when_klap_has_nothing_any_more(
    page: Page, stage: Stage, delivered: str
) -> None:
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


def test_the_captions_and_the_transcript_of_a_delivered_short_are_beside_it(
    page: Page, stage: Stage, delivered: str
) -> None:
    page.goto(stage.tab_of(delivered))
    cards(page).first.get_by_role("button", name="Texts of").click()
    expect(cards(page).first).to_contain_text("TikTok")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cards(page).first.get_by_role("button", name="Copy the TikTok text").click()
    expect(cards(page).first).to_contain_text("Copied")
    texts = stage.airflow.xcom(DAG_ID, delivered, "short.deliver", map_index=0)["publication_captions"]
    assert page.evaluate("navigator.clipboard.readText()") == texts["tiktok"]


def test_a_review_waits_on_the_page_and_is_one_click_away(page: Page, stage: Stage, asked: str) -> None:
    page.goto(f"{stage.airflow.url}/plugin/klap")
    waiting = page.get_by_role("region", name="Waiting for you")
    pick = waiting.locator(f'a[href*="{quote(asked)}"]')
    expect(pick).to_have_count(1)
    pick.click()
    expect(page).to_have_url(stage.tab_of(quote(asked)))


def test_a_batch_is_a_row_that_opens_and_its_run_has_a_tab(page: Page, stage: Stage) -> None:
    no_video = f"{stage.sandbox.root}/"
    urls = [f"{stage.sandbox.sample}?batch=1", no_video, f"{stage.sandbox.root}/gone.mp4"]
    run_id = stage.trigger(BATCH_DAG_ID, source_video_urls=urls, limit=1)
    assert stage.airflow.wait_for_run(BATCH_DAG_ID, run_id, seconds=400) == "failed"

    page.goto(stage.tab_of(run_id, dag_id=BATCH_DAG_ID))
    batch = page.get_by_role("region", name="Batch")
    expect(batch).to_contain_text("1 of 2 videos complete, 1 failed")
    failed = batch.get_by_role("row").filter(has_text="Failed")
    expect(failed).to_contain_text("Mend the cause")
    expect(batch).to_contain_text(f"Line 3: {stage.sandbox.root}/gone.mp4")

    page.goto(f"{stage.airflow.url}/plugin/klap")
    page.get_by_role("row").filter(has_text=BATCH_DAG_ID).get_by_role("button", name="Videos of").click()
    expect(page.get_by_role("table", name="Videos of the batch").get_by_role("row")).to_have_count(3)
    page.get_by_role("table", name="Videos of the batch").get_by_role("link", name="sample.mp4").click()
    expect(page).to_have_url(re.compile(f"/dags/{DAG_ID}/runs/klap__.*/plugin/shorts$"))
    expect(page.get_by_text("1 of 1 short delivered")).to_be_visible()
