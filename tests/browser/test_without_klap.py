"""Delivered shorts play when Klap cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.stage import DAG_ID, VIDEO_DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.stage import Stage
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.browser

#: The runs, the Dag of each, and how many videos each has delivered: into a folder, and into S3.
KEPT = {"kept, folder": (DAG_ID, 2), "kept, S3": (DAG_ID, 1), "kept, whole": (VIDEO_DAG_ID, 1)}


def plays(shown: Page | Locator) -> None:
    """Check that every video plays and seeks."""
    for video in shown.locator("video").all():
        video.scroll_into_view_if_needed()
        video.evaluate("video => { video.muted = true; return video.play(); }")
        page = video.page
        page.wait_for_function("video => video.currentTime > 0.3", arg=video.element_handle())
        video.evaluate("video => { video.pause(); video.currentTime = 1; }")
        page.wait_for_function("video => !video.seeking && video.readyState >= 2", arg=video.element_handle())
        assert video.evaluate("video => video.error") is None


def test_deliveries_play_from_a_folder_and_from_s3_without_klap(
    page: Page, runs: tuple[Stage, dict[str, str]], closing: Sandbox
) -> None:
    stage, ids = runs
    for name, (dag_id, _) in KEPT.items():
        stage.wait_for_success(ids[name], dag_id)
    assert sorted(entry["kind"] for entry in closing.ledger()) == ["export"] * 4 + ["task"] * 3
    closing.stop()  # its files are deleted with it
    with pytest.raises(requests.ConnectionError):
        requests.get(closing.root, timeout=10)

    for name, (dag_id, count) in KEPT.items():
        page.goto(stage.tab_of(ids[name], dag_id=dag_id))
        expect(page.locator("video")).to_have_count(count)
        plays(page)

    page.goto(f"{stage.airflow.url}/plugin/klap?view=shorts")
    page.get_by_label("Dag", exact=True).select_option(VIDEO_DAG_ID)
    way_back = page.locator(f'a[href*="{ids["kept, whole"]}"]')
    kept = page.get_by_role("tabpanel", name="Shorts").get_by_role("listitem").filter(has=way_back)
    expect(kept.locator("video")).to_have_count(1)
    plays(kept)
