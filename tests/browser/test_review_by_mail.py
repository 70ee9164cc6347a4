"""A review that a reviewer answers on a phone, from the link of a mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser.conftest import Open
    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser

WIDTH = 390
PHONE = {"viewport": {"width": WIDTH, "height": 844}, "is_mobile": True, "has_touch": True}


def sides(element: Locator) -> tuple[float, float]:
    """Return the left and the right edge of an element in the window."""
    box = element.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


def test_a_reviewer_answers_on_a_phone_from_the_link_of_a_mail(
    new_page: Open, stage: Stage, mailed: tuple[str, str]
) -> None:
    run_id, mail = mailed
    [link] = re.findall(r"href='([^']+)'", mail)
    assert link == stage.tab_of(run_id)

    page = new_page(**PHONE)
    page.goto(link)
    review = page.get_by_role("region", name="Review")
    cards = review.get_by_role("listitem")
    expect(cards).to_have_count(5)
    player = review.locator("iframe").first
    picture = review.frame_locator("iframe").first.locator("video")
    picture.evaluate("video => video.readyState >= 2 || new Promise((seen) => (video.onloadeddata = seen))")
    assert picture.evaluate("video => video.videoWidth") > 0
    expect(player).to_be_in_viewport()
    answer = page.get_by_role("button", name="Export 3 shorts")
    expect(answer).to_be_in_viewport(ratio=1)
    # Nothing was scrolled here.
    for each in (player, answer, *cards.all(), *review.get_by_role("checkbox").all()):
        left, right = sides(each)
        assert 0 <= left < right <= WIDTH
    assert review.evaluate("element => element.scrollWidth - element.clientWidth") == 0

    cards.nth(0).get_by_role("checkbox").tap()
    page.get_by_role("button", name="Export 2 shorts").tap()
    expect(page.get_by_text("You selected 2 of 5 shorts")).to_be_in_viewport()
    stage.wait_for_success(run_id)
    shorts = stage.airflow.xcom(DAG_ID, run_id, "select_shorts")
    assert len(shorts) == 2
