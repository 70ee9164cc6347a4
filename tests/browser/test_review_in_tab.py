"""A review in the Shorts tab."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Open
    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser


def question(page: Page) -> Locator:
    return page.get_by_role("region", name="Review")


def exports(stage: Stage, run_id: str) -> list[str]:
    """Return the ids of a run's shorts whose exports were paid, oldest first. Exports of other runs may continue."""
    ids = [short["project_id"] for short in stage.airflow.xcom(DAG_ID, run_id, "select_shorts", key="klap_shorts")]
    return [entry["project_id"] for entry in stage.sandbox.ledger("export") if entry["project_id"] in ids]


def test_shorts_are_selected_beside_their_players_and_only_these_paid(page: Page, stage: Stage, asked: str) -> None:
    shorts = stage.airflow.xcom(DAG_ID, asked, "select_shorts", key="klap_shorts")
    page.goto(stage.tab_of(asked))
    ticks = question(page).get_by_role("checkbox")
    expect(ticks).to_have_count(5)
    assert [tick.is_checked() for tick in ticks.all()] == [True, True, True, False, False]
    expect(question(page)).to_contain_text(re.compile("Answer by .* Without an answer, the 3 shorts"))

    expect(page.get_by_role("region", name="Summary")).to_contain_text("Cost without exports$2.04")
    player = question(page).frame_locator("iframe").first
    expect(player.get_by_role("heading", name=shorts[0]["short_name"])).to_be_visible()
    picture = player.locator("video")
    picture.evaluate("video => video.readyState >= 2 || new Promise((seen) => (video.onloadeddata = seen))")
    expect(picture).to_have_js_property("paused", value=True)
    assert picture.evaluate("video => video.currentTime") > 0, "it shows the short's part of the video"

    ticks.nth(0).click()
    ticks.nth(1).click()
    ticks.nth(4).click()
    page.get_by_role("button", name="Export 2 shorts · $0.96").dblclick()
    expect(page.get_by_text("You selected 2 of 5 shorts")).to_be_in_viewport()
    expect(page.get_by_role("region", name="Not selected").get_by_role("listitem")).to_have_count(3)
    expect(page.get_by_role("region", name="Summary")).to_contain_text("2 of 2 shorts delivered", timeout=120_000)
    page.reload()
    expect(page.get_by_text("Anonymous selected 2 of 5 shorts")).to_be_visible()
    ids = [short["project_id"] for short in shorts]
    assert sorted(exports(stage, asked)) == sorted([ids[2], ids[4]])


def test_players_load_when_their_cards_come_into_view(page: Page, stage: Stage, asked: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 700})
    page.goto(stage.tab_of(asked))
    players = question(page).locator("iframe")
    expect(players.first).to_be_visible()
    assert players.count() < 5
    question(page).get_by_role("listitem").last.scroll_into_view_if_needed()
    expect(players.last).to_have_attribute("title", re.compile("Klap's player of "))
    for card in question(page).get_by_role("listitem").all():
        card.scroll_into_view_if_needed()
    expect(players).to_have_count(5)


def test_earlier_exports_are_marked_and_free(page: Page, stage: Stage, delivered: str) -> None:
    task = stage.airflow.xcom(DAG_ID, delivered, "submit")["klap_task_id"]
    asked = stage.wait_for_question(stage.trigger(klap_task_id=task, limit=3, review=True, budget=0.5))
    before = len(exports(stage, asked))
    page.goto(stage.tab_of(asked))
    free = question(page).get_by_role("listitem").filter(has_text="already exported")
    expect(free).to_have_count(2)
    expect(page.get_by_role("button", name="Export 3 shorts · $0.48")).to_be_visible()
    question(page).get_by_role("checkbox").nth(3).click()
    expect(question(page)).to_contain_text("the budget covers 1: the best 1 are exported")
    question(page).get_by_role("checkbox").nth(3).click()
    page.get_by_role("button", name="Export 3 shorts").click()
    expect(page.get_by_role("region", name="Summary")).to_contain_text("3 of 3 shorts delivered", timeout=120_000)
    assert len(exports(stage, asked)) == before + 1


def test_the_second_of_two_answers_is_refused_with_the_first_reviewer(
    page: Page, new_page: Open, stage: Stage, asked: str, complaints: list[str]
) -> None:
    other = new_page()
    for each in (page, other):
        each.goto(stage.tab_of(asked))
        expect(each.get_by_role("button", name="Export none")).to_be_visible()
    before = len(exports(stage, asked))
    page.get_by_role("button", name="Export none").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("You selected 0 of 5 shorts")).to_be_visible()
    other.get_by_role("button", name="Export 3 shorts").click()
    expect(other.get_by_role("alert")).to_contain_text(
        re.compile("Anonymous has already answered this review. Your answer was not saved")
    )
    stage.wait_for_success(asked)
    expect(other.get_by_text("Anonymous selected 0 of 5 shorts")).to_be_visible()
    assert len(exports(stage, asked)) == before
    assert all("409 (Conflict)" in complaint for complaint in complaints)
    complaints.clear()
