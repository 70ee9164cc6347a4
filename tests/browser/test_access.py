"""The Shorts tab below a URL path, behind a login, and without permissions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import ADMIN, VIEWER, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser


def test_the_tab_works_where_airflow_is_served_below_a_path(
    page: Page, stage: Stage, below_a_path: str, delivered: str
) -> None:
    sign_in(page, below_a_path, ADMIN)
    page.goto(stage.page_of(delivered, root=below_a_path))
    page.get_by_role("link", name="Shorts", exact=True).click()
    expect(page.get_by_text("2 of 2 shorts delivered")).to_be_visible()
    page.get_by_role("link", name="Log of").first.click()
    expect(page).to_have_url(re.compile(f"^{below_a_path}/dags/.*/tasks/short.deliver/mapped/0$"))


def test_a_user_who_may_not_read_xcoms_sees_no_shorts(
    page: Page, stage: Stage, below_a_path: str, delivered: str, complaints: list[str]
) -> None:
    sign_in(page, below_a_path, VIEWER)
    page.goto(stage.tab_of(delivered, root=below_a_path))
    expect(page.get_by_text("You need the permission to read XComs")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has=page.get_by_role("meter"))).to_have_count(0)
    expect(page.locator("video")).to_have_count(0)
    assert complaints == [], "no request is sent that would be refused"
