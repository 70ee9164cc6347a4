"""The requests of the Shorts tab, and what it draws, with a seeded database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.stage import enter
from tests.integration.test_page import at
from tests.integration.test_shorts_tab import DAG, EXPORT, RUN, whole_run
from tests.support.api_server import ADMIN, USER, VIEWER, ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

SHORTS = 100
QUESTION = ["1. Short a (90)", "2. Short b (89)", "3. Short c (88)", "None of them"]


def running() -> dict[str, Any]:
    """Return a run that exports a hundred shorts, of which the first are delivered."""
    run = whole_run(DAG, "running", state="running")
    listed = [
        {"project_id": f"s{n}", "short_name": f"Moment {n}", "virality_score": 99 - n // 2, "reason": None}
        for n in range(SHORTS)
    ]
    submit, wait, select, *_ = run["tasks"]
    select["xcoms"]["klap_shorts"] = listed
    states = {"ExportShortOperator": "success", "ExportStatusSensor": "deferred", "DeliverShortOperator": None}
    steps = [
        {"operator": operator, "map_index": n, "state": "success" if n < 10 else state}
        for operator, state in states.items()
        for n in range(SHORTS)
    ]
    return {
        **run,
        "tasks": [submit, wait, select, *steps, {"operator": "PublishShortsOperator", "map_index": -1, "state": None}],
    }


def asking() -> dict[str, Any]:
    run = whole_run(DAG, "asking", state="running")
    submit, wait, select, *_ = run["tasks"]
    return {**run, "tasks": [submit, wait, {**select, "state": "awaiting_input", "question": {"options": QUESTION}}]}


def failed() -> dict[str, Any]:
    """Return a run with an export in doubt and an XCom whose file is missing."""
    run = whole_run(DAG, "failed", state="failed")
    submit, wait, select, export, *_ = run["tasks"]
    select["xcoms"]["klap_offer"] = "file:///nowhere.json"
    doubt = {"entry": EXPORT, "sent_at": at(1), "jobs": [], "price": 0.48, "estimated": True}
    export = {
        **export,
        "state": "failed",
        "xcoms": {"klap_error": {"error": "It may have arrived.", "open_decision": doubt}},
    }
    later = [
        {"operator": operator, "map_index": 0, "state": "upstream_failed"}
        for operator in ("ExportStatusSensor", "DeliverShortOperator")
    ]
    publish = {"operator": "PublishShortsOperator", "map_index": -1, "state": "failed"}
    return {**run, "tasks": [submit, wait, select, export, *later, publish]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    env = {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": "file:///nowhere",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "1000000",
        "AIRFLOW__CORE__NUM_DAG_RUNS_TO_RETAIN_RENDERED_FIELDS": "0",
        "AIRFLOW__KLAP__ALLOWED_DESTINATIONS": "",
    }
    with ApiServer(tmp_path_factory.mktemp("airflow"), path="/airflow", env=env) as airflow:
        airflow.run("-m", "airflow", "dags", "reserialize")
        more = [
            whole_run(DAG, f"more__task01__Town-hall__{n}", note=f"Town hall: {n}", conf={"project_ids": ["b"]})
            for n in range(50)
        ]
        entry = {"key": EXPORT, "value": {}, "dag_id": DAG, "run_id": RUN}
        airflow.seed(runs=[whole_run(DAG, RUN), running(), asking(), failed(), *more], rows=[entry])
        yield airflow


@pytest.fixture
def tab(page: Page, server: ApiServer) -> Any:
    """Open the tab of a run, and record the status codes of its requests."""

    def open_tab(run_id: str, user: str = ADMIN) -> list[int]:
        enter(page, server.url, user)
        asked: list[int] = []
        page.on("response", lambda answer: asked.append(answer.status) if answer.url.endswith("/shorts") else None)
        page.goto(f"{server.url}/dags/{DAG}/runs/{run_id}/plugin/shorts")
        expect(page.get_by_role("region", name="Summary")).to_be_visible()
        return asked

    return open_tab


def test_a_finished_run_is_requested_once_with_its_fifty_follow_ups(page: Page, tab: Any) -> None:
    asked = tab(RUN)
    expect(page.get_by_role("region", name=re.compile("^Town hall: "))).to_have_count(50)
    page.wait_for_timeout(3_000)
    opened = len(asked)
    assert opened <= 2, "Airflow may mount the tab twice"
    page.wait_for_timeout(15_000)
    assert len(asked) == opened
    page.evaluate("dispatchEvent(new Event('focus'))")
    page.wait_for_timeout(3_000)
    assert asked[opened:] == [304]


def test_a_run_with_100_shorts_is_polled_rarely_mostly_with_304(page: Page, tab: Any) -> None:
    asked = tab("running")
    expect(page.get_by_role("region", name="Shorts").get_by_role("listitem")).to_have_count(SHORTS)
    page.wait_for_timeout(30_000)
    assert 3 <= len(asked) <= 10
    assert asked[0] == 200
    assert set(asked[2:]) == {304}


def test_the_browser_requests_no_xcoms_or_task_instances(page: Page, tab: Any) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    tab(RUN)
    page.wait_for_timeout(2_000)
    assert [url for url in sent if "xcomEntries" in url or "operator=" in url] == []


def test_each_short_of_a_review_has_its_option_and_one_answer_is_sent(page: Page, tab: Any) -> None:
    tab("asking")
    section = page.get_by_role("region", name="Review")
    expect(section.get_by_role("listitem")).to_have_count(3)
    expect(section).to_contain_text('Over the limit in "Shorts to export"')
    section.get_by_role("checkbox").nth(1).click()
    expect(section.get_by_role("button", name="Export 2 shorts · $0.96")).to_be_enabled()
    # Airflow mounts the tab again when the user comes back to it.
    page.get_by_role("link", name="Klap", exact=True).click()
    expect(page.get_by_role("table", name="Videos")).to_be_visible()
    page.go_back()
    expect(section.get_by_role("checkbox").nth(1)).to_be_checked()
    section.get_by_role("button", name="Clear").click()
    section.get_by_role("button", name="Select all").click()
    section.get_by_role("checkbox").nth(2).click()
    sent: list[Route] = []
    page.route("**/answers", lambda route: sent.append(route))  # never answered
    section.get_by_role("button", name="Export 2 shorts · $0.96").dblclick()
    expect(section.get_by_role("button", name="Export none")).to_be_disabled()
    assert [route.request.post_data_json["options"] for route in sent] == [{"a": QUESTION[0], "b": QUESTION[1]}]


def test_unreadable_data_is_named_and_the_rest_is_shown(page: Page, tab: Any, complaints: list[str]) -> None:
    tab("failed")
    expect(page.get_by_role("region", name="Shorts")).to_contain_text("Short a")
    doubt = page.get_by_role("region", name="Resolve the request")
    expect(doubt).to_contain_text("Search the Klap app for an export of that time")
    expect(doubt.get_by_role("button", name="It is not in Klap: send again · $0.48 (estimated)")).to_be_visible()


def test_an_outdated_tab_pays_nothing_and_shows_the_reason(
    page: Page, server: ApiServer, tab: Any, complaints: list[str]
) -> None:
    tab("failed")
    doubt = page.get_by_role("region", name="Resolve the request")
    entry = {"key": EXPORT, "value": {"at": at(3)}, "dag_id": DAG, "run_id": "failed"}
    server.seed(rows=[entry])  # another user resolved it meanwhile
    doubt.get_by_role("button", name="It is not in Klap: send again").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("The run has changed since this page showed it. Nothing was started")).to_be_visible()
    assert all("409 (Conflict)" in each for each in complaints)
    complaints.clear()


def test_a_user_without_permission_for_xcoms_is_told_so(page: Page, tab: Any) -> None:
    tab(RUN, VIEWER)
    expect(page.get_by_text("You need the permission to read XComs of this Dag")).to_be_visible()
    expect(page.get_by_role("region", name="Shorts")).to_have_count(0)


def test_a_failed_request_is_retried_and_the_last_view_stays(page: Page, tab: Any, complaints: list[str]) -> None:
    tab("running", USER)
    page.route("**/klap/api/**", lambda route: route.fulfill(status=502, body="<html>proxy</html>"))
    expect(page.get_by_text("Airflow returned 502")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("region", name="Shorts").get_by_role("listitem")).to_have_count(SHORTS)
    page.unroute("**/klap/api/**")
    expect(page.get_by_text("Airflow returned 502")).to_have_count(0, timeout=30_000)
    complaints.clear()  # of the 502


def test_a_card_with_malformed_data_leaves_the_other_cards(page: Page, tab: Any, complaints: list[str]) -> None:
    def malform(route: Route) -> None:
        answer = route.fetch()
        if answer.status != 200:
            return route.fulfill(response=answer)
        view = answer.json()
        view["details"]["shorts"][1]["name"] = {"not": "a text"}
        return route.fulfill(response=answer, json=view)

    page.route("**/klap/api/dags/**/shorts", malform)
    tab("running")
    cards = page.get_by_role("region", name="Shorts").get_by_role("listitem")
    expect(cards).to_have_count(SHORTS)
    expect(cards.filter(has_text="This part could not be shown. Reload this page.")).to_have_count(1)
    expect(cards.nth(1)).to_contain_text("This part could not be shown.")
    expect(cards.nth(2)).to_contain_text("Moment 2")
    assert complaints
    assert all("React error #31" in each for each in complaints), "an object is no text"
    complaints.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("run_id", [RUN, "asking", "failed"])
def test_axe_finds_nothing_serious(page: Page, tab: Any, run_id: str, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    tab(run_id)
    found = Axe().run(page, context={"include": [["[aria-label=Summary]"], ["[aria-label^=Shorts]"]]})
    assert [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []
