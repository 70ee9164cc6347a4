"""The watched sources on the Klap page, and the requests of their buttons."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from klap_provider.rules.ledger_keys import pause_entry, poll_entry, source_entry
from tests.browser.stage import enter
from tests.support.api_server import ADMIN, ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

AT = datetime(2026, 11, 30, 9, tzinfo=timezone.utc).timestamp()
WATCH, TARGET = "watch_podcast", "klap_generate_shorts"


def item(name: str, reason: str = "", run_id: str = "") -> dict[str, Any]:
    return {"id": f"urn:episode:{name}", "title": name, "at": AT, "reason": reason, "run_id": run_id}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    podcast = {
        "name": "podcast",
        "trigger_dag_id": TARGET,
        "scopes": ["source podcast"],
        "at": AT,
        "next_start": AT + 86400,
        "waits": 31,
        "waiting": [item("Episode 41: On ledgers", "the pace delays it"), item("Live from Berlin", "it is live")],
        "started": [item("Episode 42: One run per item", run_id="watched__podcast__1")],
        "skipped": [item("From zero to hero… in one take!", "it has the name of a short that this Airflow delivered")],
    }
    uploads = {"name": "uploads", "trigger_dag_id": TARGET, "at": AT, "waits": 0}
    by_check = {"dag_id": WATCH, "run_id": "r", "task_id": "check"}
    with ApiServer(tmp_path_factory.mktemp("airflow"), path="/airflow") as running:
        running.seed(
            runs=[{"dag_id": WATCH, "run_id": "r", "at": "2026-11-30T09:00:00+00:00"}],
            rows=[
                {"key": source_entry("podcast"), "value": podcast, **by_check},
                {"key": source_entry("uploads"), "value": uploads, **by_check},
                {"key": poll_entry("uploads"), "value": {"at": AT, "error": "access to s3://media/in was refused"}},
                {
                    "key": pause_entry("source podcast"),
                    "value": {"reason": "Klap has no credit", "until": None},
                    **by_check,
                },
            ],
        )
        yield running


@pytest.fixture
def sources(page: Page, server: ApiServer) -> Page:
    enter(page, server.url, ADMIN)
    page.goto(f"{server.url}/plugin/klap?view=sources")
    return page


def test_a_source_shows_its_waiting_started_and_skipped_items(sources: Page) -> None:
    podcast = sources.get_by_role("region", name="Source podcast")
    expect(podcast.get_by_role("row")).to_have_count(5)
    for text in (
        "Waits: the pace delays it",
        "Skipped: it has the name of",
        "31 items wait",
        "29 more wait.",
    ):
        expect(podcast.get_by_text(text)).to_be_visible()
    expect(podcast.get_by_text("Paused: Klap has no credit")).to_be_visible()
    link = podcast.get_by_role("link", name="Episode 42")
    expect(link).to_have_attribute("href", f"/airflow/dags/{TARGET}/runs/watched__podcast__1/plugin/shorts")
    expect(sources.get_by_role("region", name="Source uploads").get_by_text("was refused")).to_be_visible()
    assert Axe().run(sources, context="[aria-label='Sources']").violations_count == 0


def test_the_buttons_trigger_the_dag_that_checks_the_source(sources: Page) -> None:
    sent: list[tuple[str, Any]] = []

    def take(route: Route) -> None:
        sent.append((route.request.url.rpartition("/api/v2")[2], json.loads(route.request.post_data or "")))
        route.fulfill(json={})

    sources.route("**/dagRuns", take)
    podcast = sources.get_by_role("region", name="Source podcast")
    podcast.get_by_role("button", name="Check now").click()
    expect(podcast.get_by_text("A check was started.")).to_be_visible()
    podcast.get_by_role("button", name="Skip: Live from Berlin").click()
    expect(podcast.get_by_text("The item is skipped by the check")).to_be_visible()
    podcast.get_by_role("button", name="Start now: From zero to hero").click()
    expect(podcast.get_by_text("The item starts with the check")).to_be_visible()
    confs = [{}, {"skip": ["urn:episode:Live from Berlin"]}, {"start": ["urn:episode:From zero to hero… in one take!"]}]
    assert sent == [(f"/dags/{WATCH}/dagRuns", {"conf": conf, "logical_date": None}) for conf in confs]


def test_a_deleted_dag_is_shown_as_an_error(sources: Page, complaints: list[str]) -> None:
    uploads = sources.get_by_role("region", name="Source uploads")
    uploads.get_by_role("button", name="Check now").click()
    expect(uploads.get_by_text("Airflow returned 404")).to_be_visible()
    assert len(complaints) == 1
    complaints.clear()
