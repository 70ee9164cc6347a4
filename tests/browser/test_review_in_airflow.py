"""A review on Airflow's page for required actions."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MISCHIEF, TWIN
from tests.browser.stage import DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser


def submit(page: Page, *choices: str) -> None:
    """Clear the selection, select the options that begin with these words, and submit."""
    chooser = page.get_by_role("combobox", name="Select one or multiple values")
    taken_back = page.get_by_role("group").filter(has=chooser).get_by_role("button")
    while count := taken_back.count():
        chooser.press("Backspace")
        expect(taken_back).to_have_count(count - 1)
    for choice in choices:
        chooser.click()
        page.get_by_role("option", name=re.compile(f"^{re.escape(choice)}")).click()
    page.get_by_role("button", name="Respond").click()


def test_two_selected_shorts_of_five_are_exported(page: Page, stage: Stage, asked: str) -> None:
    page.goto(stage.tab_of(asked))
    page.get_by_role("link", name="Airflow's own form").click()
    expect(page.get_by_text(re.compile("Which shorts of .*/sample.mp4 should be exported"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"Each export costs \$0.48 .* If nobody answers by .* UTC"))).to_be_visible()
    preview = page.get_by_role("link", name="preview")
    expect(preview).to_have_count(5)
    shorts = stage.airflow.xcom(DAG_ID, asked, "select_shorts", key="klap_shorts")
    assert preview.first.get_attribute("href") == shorts[0]["preview_url"]
    for short in shorts:
        expect(page.get_by_text(short["explanation"]).first).to_be_visible()

    submit(page, "2. ", "5. ")
    stage.wait_for_success(asked)

    page.goto(stage.tab_of(asked))
    expect(page.get_by_text("2 of 2 shorts delivered")).to_be_visible()
    expect(page.get_by_text("Anonymous selected 2 of 5 shorts")).to_be_visible()
    manifest = json.loads(next(stage.shorts.glob(f"{task_of(stage, asked)}/manifest.json")).read_text())
    selected = [shorts[1]["project_id"], shorts[4]["project_id"]]
    assert [short["project_id"] for short in manifest["delivered"]] == selected
    assert manifest["review"]["selected"] == selected
    assert manifest["review"]["by"] == "Anonymous"


def test_names_are_escaped_in_the_form_and_selecting_none_succeeds(page: Page, stage: Stage, awkward: str) -> None:
    page.goto(stage.page_of(awkward, "tasks", "select_shorts", "required_actions"))
    expect(page.get_by_text(MISCHIEF).first).to_be_visible()
    expect(page.get_by_text(TWIN)).to_have_count(2)
    expect(page.locator("img[src=x]")).to_have_count(0)
    expect(page.get_by_role("link", name="Click", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="preview")).to_have_count(4)
    assert page.title() != "taken over"

    submit(page, "None of them")
    stage.wait_for_success(awkward)

    page.goto(stage.tab_of(awkward))
    expect(page.get_by_text("Anonymous selected 0 of 4 shorts")).to_be_visible()
    expect(page.get_by_role("region", name="Not selected").get_by_role("listitem")).to_have_count(4)


def task_of(stage: Stage, run_id: str) -> str:
    return str(stage.airflow.xcom(DAG_ID, run_id, "submit")["klap_task_id"])
