"""Actions in the Shorts tab, and what they pay."""

from __future__ import annotations

import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from demo.airflow import ROOT
from tests.browser.stage import ADMIN, DAG_ID, EDITOR, VIDEO_DAG_ID, enter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.browser.stage import Stage
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.browser

PATIENCE = 120_000


def section(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("region", name=name)


def confirm(page: Page, text: str) -> None:
    """Confirm a second payment, with two clicks."""
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text(f"Klap bills this one as well: {text}")
    dialog.get_by_role("button", name="Confirm").dblclick()


def paid(sandbox: Sandbox, since: int = 0) -> list[str]:
    """Return the paid requests of a Klap, oldest first, without the first ones."""
    return [entry["kind"] for entry in sandbox.ledger()][since:]


def later_runs(stage: Stage) -> list[dict[str, Any]]:
    """Return the runs that buttons of the tab have started."""
    query = {"limit": 100, "run_id_prefix_pattern": "more__"}
    found = stage.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns", params=query)["dag_runs"]
    return [{name: run[name] for name in ("dag_run_id", "note")} for run in found]


def axe(page: Page, name: str) -> list[Any]:
    """Return the serious problems that axe finds in a part of the tab."""
    found = Axe().run(page, context={"include": [[f"section[aria-label^='{name}']"]]})
    return [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]


# These tests depend on their order: each exports more shorts of the run ``finished``.


@pytest.fixture(scope="module")
def picture() -> Iterator[str]:
    """The address of a picture."""
    handler = partial(SimpleHTTPRequestHandler, directory=ROOT / "docs" / "images")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/links.png"
        server.shutdown()


def test_two_more_shorts_are_exported_with_three_clicks(page: Page, stage: Stage, acts: Sandbox, finished: str) -> None:
    before, runs = len(paid(acts)), later_runs(stage)
    page.goto(stage.tab_of(finished))
    ticks = section(page, "Not selected").get_by_role("checkbox")
    expect(ticks).to_have_count(3)
    names = section(page, "Not selected").get_by_role("heading", level=3).all_inner_texts()[:2]
    ticks.nth(0).click()
    ticks.nth(1).click()
    expect(page.get_by_text("2 × $0.48 (estimated)")).to_be_visible()
    page.get_by_role("button", name="Export 2 more · $0.96").dblclick()

    more = section(page, "Town hall: 2 more")
    expect(more).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)
    assert more.get_by_role("heading", level=3).all_inner_texts() == names
    expect(section(page, "Not selected").get_by_role("listitem")).to_have_count(1)
    assert paid(acts, before) == ["export", "export"]
    new = [run for run in later_runs(stage) if run not in runs]
    assert [run["note"] for run in new] == ["Town hall: 2 more shorts"], "a double click is one run"

    page.reload()
    expect(more).to_contain_text("2 of 2 shorts delivered")
    assert axe(page, "Town hall: 2 more") == []
    page.goto(f"{stage.airflow.url}/plugin/klap")
    expect(page.get_by_role("table", name="Videos").get_by_text("Town hall: 2 more")).to_be_visible()
    page.goto(stage.tab_of(finished))
    more.get_by_role("link", name="Open run").click()
    expect(page.get_by_text("Town hall: 2 more")).to_be_visible()
    expect(page).to_have_url(re.compile("/runs/more__"))


def test_the_same_short_is_exported_with_another_watermark(
    page: Page, stage: Stage, acts: Sandbox, finished: str, picture: str
) -> None:
    before = len(paid(acts))
    page.goto(stage.tab_of(finished))
    short = section(page, "Shorts").get_by_role("listitem").first
    short.get_by_role("button", name=re.compile("^Export again…")).click()
    export = short.get_by_role("button", name="Export with this watermark · $0.48 (estimated)")
    expect(export).to_be_disabled()
    expect(export).to_have_accessible_description("This short has no watermark. Enter the address of a picture first.")
    short.get_by_label("Watermark picture").fill(picture)
    short.get_by_label("Position", exact=True).select_option("Top left")
    short.get_by_label("Horizontal position").fill("0.5")
    expect(short.get_by_label("Position", exact=True)).to_have_value("Other position")
    preview = short.get_by_role("img", name="Watermark on ")
    expect(preview).to_have_attribute("src", picture)
    expect(preview).to_have_attribute("style", re.compile(r"left: 50%;.* top: 10%;"))
    assert axe(page, "Shorts") == []
    export.click()
    confirm(page, "$0.48 (estimated).")
    again = section(page, "Town hall: another watermark")
    expect(again.get_by_role("listitem")).to_have_count(1, timeout=PATIENCE)
    expect(again).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    expect(again).to_contain_text("Cost: $0.48 (estimated)")
    expect(again.get_by_role("listitem")).to_contain_text("with links.png")
    expect(short).not_to_contain_text("with links.png")
    expect(section(page, "Summary")).to_contain_text(re.compile(r"Including further exports\d delivered · \$\d\.\d\d"))
    assert paid(acts, before) == ["export"]
    mark = acts.ledger("export")[-1]["body"]["watermark"]
    assert mark == {"src_url": picture, "pos_x": 0.5, "pos_y": 0.1, "scale": 1}


def test_an_export_is_repeated_once_on_request(page: Page, stage: Stage, acts: Sandbox, finished: str) -> None:
    before = len(paid(acts))
    page.goto(stage.tab_of(finished))
    short = section(page, "Shorts").get_by_role("listitem").first
    file = short.get_by_text(re.compile(r"\.mp4$"))
    old = file.inner_text()
    short.get_by_role("button", name=re.compile("^Export again…")).click()
    short.get_by_role("button", name="Export again with the same settings · $0.48").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Cancel").click()
    assert paid(acts, before) == []
    short.get_by_role("button", name="Export again with the same settings").click()
    confirm(page, "$0.48")
    expect(file).not_to_have_text(old, timeout=PATIENCE)
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)
    assert paid(acts, before) == ["export"]


def test_a_failed_export_is_retried_and_the_tab_follows(
    page: Page, runs: tuple[Stage, dict[str, str]], failing: Sandbox
) -> None:
    stage, run_id = has_failed(runs, "bad day")
    before = len(paid(failing))
    page.goto(stage.tab_of(run_id))
    again = page.get_by_role("button", name="Retry this short")
    expect(again).to_have_count(1)
    expect(again).to_contain_text("$0.48")
    again.click()
    confirm(page, "$0.48")
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)
    assert paid(failing, before) == ["export"], "the other short is not changed"


def test_the_tab_of_a_cleared_run_refreshes_when_it_is_visible_again(page: Page, stage: Stage, finished: str) -> None:
    page.goto(stage.tab_of(finished))
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered")
    asked: list[str] = []
    page.wait_for_timeout(3_000)
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/shorts") else None)
    page.wait_for_timeout(12_000)
    assert asked == [], "a finished run is not polled"
    body = {"dry_run": False, "dag_run_id": finished, "only_failed": False, "task_ids": ["publish"]}
    stage.airflow.api("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=body)
    with page.expect_response(re.compile("/klap/api/dags/.*/shorts$"), timeout=PATIENCE):
        page.evaluate("dispatchEvent(new Event('focus'))")
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)


def test_a_submission_in_doubt_is_sent_again_from_the_tab(
    page: Page, runs: tuple[Stage, dict[str, str]], lossy: Sandbox
) -> None:
    stage, run_id = has_failed(runs, "lost")
    has_failed(runs, "found")
    before = len(paid(lossy))
    page.goto(stage.tab_of(run_id))
    question = section(page, "Resolve the request")
    expect(section(page, "Summary")).to_contain_text("It is not known whether Klap received this video")
    sent = "The request was sent on .* Search the Klap app for an upload of that time"
    expect(question).to_contain_text(re.compile(sent))
    expect(question.get_by_role("button", name="Continue with this task")).to_be_disabled()
    assert axe(page, "Resolve the request") == []
    expect(page.get_by_role("button", name="Run again with changes")).to_have_count(0)
    question.get_by_role("button", name="It is not in Klap: send again · $0.44 (estimated) + generated shorts").click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("If Klap has received the first request after all, it bills both.")
    dialog.get_by_role("button", name="Confirm").dblclick()
    expect(section(page, "Summary")).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(lossy, before) == ["task", "export"]


def test_a_submission_in_doubt_is_adopted_from_the_tab_for_free(
    page: Page, runs: tuple[Stage, dict[str, str]], lossy: Sandbox
) -> None:
    stage, run_id = has_failed(runs, "found")
    [taken] = [task["id"] for task in lossy.ledger("task") if task["body"]["name"] == "Lost and found"]
    before = len(paid(lossy))
    page.goto(stage.tab_of(run_id))
    question = section(page, "Resolve the request")
    question.get_by_label("Klap's task id").fill("nothing0fthekind")
    question.get_by_role("button", name="Continue with this task").click()
    expect(question).to_have_count(0)
    expect(question).to_contain_text(re.compile("HTTP 404"), timeout=PATIENCE)
    question.get_by_label("Klap's task id").fill(taken)
    question.get_by_role("button", name="Continue with this task").click()
    expect(section(page, "Summary")).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(lossy, before) == ["export"]


def test_a_video_that_failed_at_klap_is_sent_again_from_the_tab(page: Page, stage: Stage, no_video: str) -> None:
    address = f"{no_video}?again"
    run_id = stage.trigger(source_video_url=address, name="Gone")

    def sent() -> int:
        return sum(task["body"]["source_video_url"] == address for task in stage.sandbox.ledger("task"))

    assert stage.airflow.wait_for_run(DAG_ID, run_id, seconds=480) == "failed"
    before = sent()
    page.goto(stage.tab_of(run_id))
    expect(section(page, "Summary").get_by_role("alert")).to_contain_text("start a new run")
    page.get_by_role("button", name="Submit the video again · $0.44 (estimated) + generated shorts").click()
    confirm(page, "$0.44 (estimated) + generated shorts.")
    # A busy Airflow takes such a short wait for a task that its executor lost, and retries it after two minutes.
    expect(section(page, "Summary")).to_contain_text("Cost$0.88 (estimated)", timeout=3 * PATIENCE)
    assert sent() == before + 1


def has_failed(runs: tuple[Stage, dict[str, str]], name: str) -> tuple[Stage, str]:
    """Return the stage and the id of a run, when the run has failed."""
    stage, ids = runs
    assert stage.airflow.wait_for_run(DAG_ID, ids[name], seconds=480) == "failed"
    return stage, ids[name]


def test_a_whole_video_can_be_exported_again(
    page: Page, runs: tuple[Stage, dict[str, str]], acts: Sandbox, picture: str
) -> None:
    stage, ids = runs
    before = len(paid(acts))
    page.goto(stage.tab_of(stage.wait_for_success(ids["acts, whole"], VIDEO_DAG_ID), dag_id=VIDEO_DAG_ID))
    page.get_by_role("button", name="Export again…: Town hall").click()
    page.get_by_label("Watermark picture").fill(picture)
    page.get_by_role("button", name="Export with this watermark").click()
    confirm(page, "$0.48")
    expect(section(page, "Town hall: another watermark").get_by_role("listitem")).to_have_count(1, timeout=PATIENCE)
    expect(section(page, "Town hall: another watermark")).to_contain_text("Delivered", timeout=PATIENCE)
    assert paid(acts, before) == ["export"]


def test_a_button_names_the_missing_permission(
    page: Page, stage: Stage, below_a_path: str, acts: Sandbox, finished: str, complaints: list[str]
) -> None:
    enter(page, below_a_path, EDITOR)
    page.goto(stage.tab_of(finished, root=below_a_path))
    before = len(paid(acts))
    short = section(page, re.compile("^Shorts$")).get_by_role("listitem").last
    short.get_by_role("button", name=re.compile("^Export again…")).click()
    export_again = short.get_by_role("button", name="Export again with the same settings")
    export_again.click()
    confirm(page, "$0.48")
    expect(short.get_by_role("alert")).to_contain_text("You need the permission to edit assets")
    expect(export_again).to_be_disabled()
    assert paid(acts, before) == []
    assert complaints
    assert all("403 (Forbidden)" in complaint for complaint in complaints)
    complaints.clear()

    page.goto("about:blank")  # a signed-out user is sent to the form
    page.context.clear_cookies()
    enter(page, below_a_path, ADMIN)
    page.goto(stage.tab_of(finished, root=below_a_path))
    section(page, "Not selected").get_by_role("checkbox").last.click()
    page.get_by_role("button", name="Export 1 more").click()
    expect(section(page, "Town hall: 1 more")).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(acts, before) == ["export"]


def test_airflows_lists_show_the_video_and_its_result(page: Page, stage: Stage, finished: str) -> None:
    page.goto(stage.page_of(finished))
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="SubmitShortsOperator")).to_contain_text("Town hall")
    expect(rows.filter(has_text="PublishShortsOperator")).to_contain_text(re.compile(r"2 delivered, \$\d\.\d\d"))


@pytest.mark.parametrize("width", [800, 1280])
def test_nothing_overflows_the_tab(page: Page, stage: Stage, finished: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(stage.tab_of(finished))
    cards = page.get_by_role("listitem").filter(has=page.get_by_role("meter"))
    section(page, "Shorts").get_by_role("button", name=re.compile("^Export again…")).first.click()
    for card in cards.all():
        box = card.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
        for button in card.get_by_role("button").all():
            inner = button.bounding_box()
            assert inner is not None
            assert inner["x"] + inner["width"] <= box["x"] + box["width"], button.inner_text()
    opened = section(page, "Shorts").get_by_role("listitem").first
    player = opened.get_by_label(opened.get_by_role("heading").inner_text(), exact=True).bounding_box()
    assert player is not None
    assert player["height"] / player["width"] == pytest.approx(16 / 9, abs=0.02), "however long the card is"


def test_every_action_works_by_keyboard(page: Page, stage: Stage, delivered: str) -> None:
    page.goto(stage.tab_of(delivered))  # all shorts of the other run are exported by now
    tick = section(page, "Not selected").get_by_role("checkbox").first
    expect(tick).to_be_visible()
    tick.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name=re.compile("^Export 1 more"))).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name=re.compile("^Export 1 more"))).to_have_count(0)
