"""The Shorts tab of a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import AWKWARD, MISCHIEF, TWIN
from tests.browser.stage import VIDEO_DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser


def cards(page: Page, section: str = "Shorts") -> Locator:
    """Return the cards of one section of the tab."""
    return page.get_by_role("region", name=section).get_by_role("listitem")


def test_the_tab_is_on_the_run_page_and_shows_delivered_shorts(page: Page, stage: Stage, delivered: str) -> None:
    page.goto(stage.page_of(delivered))
    page.get_by_role("link", name="Shorts", exact=True).click()
    summary = page.get_by_role("region", name="Summary")
    expect(summary).to_contain_text("2 of 2 shorts delivered")
    expect(summary.get_by_role("link", name=stage.sandbox.sample)).to_be_visible()
    expect(cards(page)).to_have_count(2)
    expect(cards(page, "Not selected")).to_have_count(3)
    scores = page.get_by_role("meter").all()
    shown = [int(score.get_attribute("aria-valuenow") or -1) for score in scores]
    assert shown == sorted(shown, reverse=True)


def test_a_short_plays_in_the_page(page: Page, stage: Stage, delivered: str) -> None:
    page.goto(stage.tab_of(delivered))
    video = page.locator("video").first
    expect(video).to_be_visible()
    video.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function("video => video.currentTime > 0.5 && video.videoWidth === 270", arg=video.element_handle())
    assert video.evaluate("video => video.error") is None


def test_a_captioned_video_is_shown_as_one_video_with_its_aspect_ratio(
    page: Page, stage: Stage, captioned: str
) -> None:
    page.goto(stage.tab_of(captioned, dag_id=VIDEO_DAG_ID))
    summary = page.get_by_role("region", name="Summary")
    expect(summary).to_contain_text("Delivered")
    expect(summary).not_to_contain_text(re.compile("shorts?", re.IGNORECASE))
    expect(cards(page, "Video")).to_have_count(1)
    expect(cards(page, "Video").get_by_role("heading", name="Town hall", exact=True)).to_be_visible()
    expect(cards(page, "Video")).not_to_contain_text("Virality", ignore_case=True)
    video = page.locator("video")
    video.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function("video => video.videoWidth === 480", arg=video.element_handle())
    box = video.bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(16 / 9, rel=0.02)
    assert box["width"] > 480


def test_a_failed_run_shows_its_error_and_links_to_the_log(page: Page, stage: Stage, failed: str) -> None:
    page.goto(stage.tab_of(failed))
    summary = page.get_by_role("region", name="Summary")
    expect(summary).to_contain_text("The video could not be submitted")
    expect(summary).to_contain_text("min_duration (100 s) is longer than max_duration (50 s)")
    summary.get_by_role("link", name="Log of submit").click()
    expect(page).to_have_url(re.compile("/tasks/submit"))


def test_names_with_markup_are_escaped(page: Page, stage: Stage, awkward: str, complaints: list[str]) -> None:
    page.goto(stage.tab_of(awkward))
    expect(page.get_by_role("heading", name=MISCHIEF, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name=TWIN, exact=True)).to_have_count(2)
    for short in AWKWARD:
        expect(page.get_by_role("heading", name=str(short["name"]), exact=True).first).to_be_visible()
    expect(page.locator("img[src=x]")).to_have_count(0)
    expect(page.get_by_role("link", name="Click", exact=True)).to_have_count(0)
    assert page.title() != "taken over"
    page.goto("about:blank")  # after this, the console has no more errors
    # This Klap has a made-up list, and no players for its shorts.
    assert all("404 (Not Found)" in complaint and "/player/awkward" in complaint for complaint in complaints)
    complaints.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", ["delivered", "asked", "failed"])
def test_axe_finds_nothing_serious_in_either_theme(
    page: Page, stage: Stage, request: pytest.FixtureRequest, state: str, theme: Any
) -> None:
    run_id = request.getfixturevalue(state)
    page.emulate_media(color_scheme=theme)
    page.goto(stage.tab_of(run_id))
    expect(page.get_by_role("region", name="Summary")).to_be_visible()
    expect(page.locator("html")).to_have_class(re.compile(theme))
    found = Axe().run(
        page, context={"include": [["[aria-label=Summary]"], ["[aria-label^=Shorts]"], ["[aria-label='Not selected']"]]}
    )
    serious = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    assert serious == []
    assert {section for each in found.response["passes"] for section in each} or found.response["url"]


def test_dark_mode_follows_airflow(page: Page, stage: Stage, delivered: str) -> None:
    page.goto(stage.tab_of(delivered))
    title = cards(page).get_by_role("heading").first
    colour = "heading => getComputedStyle(heading).color"
    expect(title).to_be_visible()
    in_the_light = title.evaluate(colour)
    page.get_by_role("button", name="User").click()
    page.get_by_role("menuitem", name="Appearance").click()
    page.get_by_role("menuitemradio", name="Dark Mode").click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    assert title.evaluate(colour) != in_the_light
    assert title.evaluate(colour) == page.get_by_role("heading", name=delivered).evaluate(colour)


def test_a_narrow_window_stacks_the_cards(page: Page, stage: Stage, delivered: str) -> None:
    """Airflow's run page is at least 1,280 px wide and scrolls sideways. The tab fits the visible part."""
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(stage.tab_of(delivered))
    expect(cards(page)).to_have_count(2)
    boxes = [box for card in cards(page).all() if (box := card.bounding_box())]
    assert all(box["width"] <= 400 - 64 for box in boxes), "next to Airflow's navigation of 64 px"
    assert len({box["x"] for box in boxes}) == 1
    overflowing = "card => [...card.querySelectorAll('*')].filter(each => each.scrollWidth > card.clientWidth).length"
    assert [card.evaluate(overflowing) for card in cards(page).all()] == [0, 0]


def test_a_hundred_shorts_load_only_the_visible_videos(page: Page, stage: Stage, a_hundred: str) -> None:
    page.goto(stage.tab_of(a_hundred))
    expect(cards(page)).to_have_count(100)
    assert page.locator("video").count() < 30
