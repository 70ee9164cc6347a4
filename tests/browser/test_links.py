"""Links of task instances and of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser


def follow(page: Page, name: str) -> Page:
    """Click on a link that opens a new page, and return the page."""
    with page.expect_popup() as opened:
        page.get_by_role("link", name=name).click()
    opened.value.wait_for_load_state()
    return opened.value


def test_the_tasks_of_each_short_link_to_it(page: Page, stage: Stage, delivered: str) -> None:
    shorts = stage.airflow.xcom(DAG_ID, delivered, "select_shorts")
    page.goto(stage.page_of(delivered, "tasks", "short.export", "mapped", 1, "details"))
    app = follow(page, "Open in Klap")
    expect(app).to_have_url(f"{stage.sandbox.root}/spaces/{shorts[1]['folder_id']}#{shorts[1]['project_id']}")
    expect(app.get_by_role("link")).to_have_count(5)
    page.goto(stage.page_of(delivered, "tasks", "short.deliver", "mapped", 1, "details"))
    player = follow(page, "Preview short")
    expect(player).to_have_url(shorts[1]["preview_url"])
    expect(player.get_by_role("heading", name=shorts[1]["short_name"])).to_be_visible()


def test_an_unknown_address_has_no_button(page: Page, stage: Stage, failed: str, complaints: list[str]) -> None:
    page.goto(stage.page_of(failed, "tasks", "select_shorts", "details"))
    expect(page.get_by_role("heading", name="Select")).to_be_visible()
    expect(page.get_by_role("link", name="Rendered Templates")).to_be_visible()
    expect(page.get_by_role("link", name="Open in Klap")).to_have_count(0)
    # An error of Airflow: the page of a task that was never started requests its first try.
    assert all("404 (Not Found)" in complaint and "/select_shorts/tries/1?" in complaint for complaint in complaints)
    complaints.clear()


def test_cards_link_to_player_video_and_log(page: Page, stage: Stage, delivered: str) -> None:
    [name, *_] = [short["short_name"] for short in stage.airflow.xcom(DAG_ID, delivered, "select_shorts")]
    page.goto(stage.tab_of(delivered))
    expect(follow(page, f"Open in Klap: {name}").get_by_role("heading", name=name)).to_be_visible()
    with page.expect_download() as download:
        link = page.get_by_role("link", name=f"Download {name}")
        link.evaluate(
            "link => { link.removeAttribute('target'); link.click(); }"
        )  # Playwright does not report a download of another page
    assert download.value.suggested_filename.endswith(".mp4")
    page.get_by_role("link", name=f"Log of {name}").click()
    expect(page.get_by_role("heading", name=f"Deliver [{name}]")).to_be_visible()
