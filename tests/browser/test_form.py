"""The trigger form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import DAG_ID

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.stage import Stage

pytestmark = pytest.mark.browser

SECTIONS = [
    "Run Parameters",
    "Video",
    "Shorts",
    "Appearance",
    "Watermark",
    "Export",
    "Delivery",
    "Review",
    "Cost",
    "Account",
]


@pytest.fixture
def form(page: Page, stage: Stage) -> Locator:
    page.goto(f"{stage.airflow.url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger Dag").click()
    return page.get_by_role("dialog")


def field(form: Locator, title: str) -> Locator:
    """Return the input with a title."""
    row = form.get_by_role("group").filter(has_text=re.compile(f"^{title}(?![a-z])"))
    return row.locator("input:not([type=hidden]), textarea").last


def trigger(form: Locator) -> Locator:
    return form.get_by_role("button", name="Trigger", exact=True)


def test_the_form_requires_only_the_url_and_folds_the_other_sections(form: Locator) -> None:
    sections = form.locator("[data-part=item-trigger]")
    expect(sections).to_have_text([*SECTIONS, "Advanced Options"])
    for section in sections.all():
        is_first = section.inner_text() == SECTIONS[0]
        expect(section).to_have_attribute("aria-expanded", "true" if is_first else "false")
    expect(form.get_by_text("This field is required")).to_be_visible()
    expect(trigger(form)).to_be_disabled()
    field(form, "Video URL").fill("https://example.com/talk.mp4")
    expect(trigger(form)).to_be_enabled()


def test_an_invalid_field_is_refused_in_the_form(form: Locator, stage: Stage, complaints: list[str]) -> None:
    field(form, "Video URL").fill("https://example.com/refused.mp4")
    form.get_by_role("button", name="Delivery", exact=True).click()
    field(form, "Destination").fill("shorts")
    trigger(form).click()
    expect(form.get_by_role("alert").or_(form.get_by_text("400 Bad Request")).first).to_be_visible()
    expect(form).to_contain_text("Invalid input for param destination: 'shorts' does not match")
    error, given = form.get_by_text("Invalid input for param").bounding_box(), field(form, "Destination").bounding_box()
    assert error, "the form shows the error"
    assert given
    assert error["y"] < given["y"]
    runs = stage.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns")["dag_runs"]
    assert [run for run in runs if run["conf"]["source_video_url"] == "https://example.com/refused.mp4"] == []
    [refusal] = complaints
    assert "400 (Bad Request)" in refusal
    complaints.clear()


def test_an_address_without_a_video_is_refused_by_the_run(page: Page, form: Locator, stage: Stage) -> None:
    field(form, "Video URL").fill(" talk.mp4")
    with page.expect_response(
        lambda answer: answer.url.endswith("/dagRuns") and answer.request.method == "POST"
    ) as sent:
        trigger(form).click()
    run_id = sent.value.json()["dag_run_id"]
    assert stage.airflow.wait_for_run(DAG_ID, run_id, seconds=120) == "failed"
    page.goto(stage.tab_of(run_id))
    expect(page.get_by_text("must be a complete address that begins with https://").first).to_be_visible()
    expect(page.get_by_text("(got ' talk.mp4')").first).to_be_visible()
    assert not [entry for entry in stage.sandbox.ledger("task") if "talk.mp4" in str(entry["body"])]


def test_a_filled_in_form_is_sent_and_the_tab_follows_until_delivery(page: Page, form: Locator, stage: Stage) -> None:
    field(form, "Video URL").fill(stage.sandbox.sample)
    form.get_by_role("button", name="Video", exact=True).click()
    field(form, "Name").fill("Filled in by hand")
    form.get_by_role("combobox", name="Language").fill("Japan")
    page.get_by_role("option", name="Japanese").click()
    form.get_by_role("button", name="Shorts", exact=True).click()
    field(form, "Maximum number of shorts").fill("2")
    form.get_by_role("button", name="Appearance", exact=True).click()
    form.get_by_role("combobox", name="Aspect ratio").click()
    page.get_by_role("option", name="1:1 square").click()
    field(form, "Width").fill("240")
    form.get_by_role("button", name="Delivery", exact=True).click()
    field(form, "Destination").fill(str(stage.shorts))
    with page.expect_response(
        lambda answer: answer.url.endswith("/dagRuns") and answer.request.method == "POST"
    ) as sent:
        trigger(form).click()
    run_id = sent.value.json()["dag_run_id"]

    page.goto(stage.tab_of(run_id))
    expect(page.get_by_text(re.compile("^(Submitting the video to Klap|Waiting for Klap)$"))).to_be_visible()
    expect(page.get_by_text("No shorts yet")).to_be_visible()
    expect(page.get_by_role("heading", name="Shorts (2)")).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile("^Exporting: . of 2 shorts delivered$"))).to_be_visible()
    expect(page.get_by_text("2 of 2 shorts delivered")).to_be_visible(timeout=120_000)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(page.locator("video")).to_have_count(2)

    [asked] = [
        entry["body"] for entry in stage.sandbox.ledger("task") if entry["body"].get("name") == "Filled in by hand"
    ]
    assert asked["language"] == "ja"
    assert asked["max_clip_count"] == 2
    assert asked["dimensions"] == {"width": 240, "height": 240}
