"""What a person does on the Shorts tab, and what is paid for it."""

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
from tests.browser.stage import ADMIN, DAG_ID, EDITOR, VIDEO_DAG_ID, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Open
    from tests.browser.stage import Stage
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.browser

PATIENCE = 120_000


def section(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("region", name=name)


def paid(sandbox: Sandbox, since: int = 0) -> list[str]:
    """What Klap would bill, oldest first, without the first ones."""
    return [entry["kind"] for entry in sandbox.ledger()][since:]


def runs_of(stage: Stage, dag_id: str = DAG_ID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.airflow.api("GET", f"/dags/{dag_id}/dagRuns", params={"limit": 100})["dag_runs"]
    return found


def axe(page: Page, name: str) -> list[Any]:
    """What axe finds serious in a part of the tab."""
    found = Axe().run(page, context={"include": [[f"[aria-label='{name}']"]]})
    return [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]


@pytest.fixture(scope="module")
def finished(stage: Stage) -> str:
    """A run that has delivered two of five shorts, for these tests alone."""
    return stage.wait_for_success(stage.trigger(limit=2, name="Town hall"))


@pytest.fixture(scope="module")
def picture() -> Iterator[str]:
    """The address of a picture."""
    handler = partial(SimpleHTTPRequestHandler, directory=ROOT / "docs" / "images")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/links.png"
        server.shutdown()


def test_two_more_are_exported_with_three_clicks_on_the_same_tab_and_nothing_else_is_paid(
    page: Page, stage: Stage, finished: str
) -> None:
    before, runs = len(paid(stage.sandbox)), len(runs_of(stage))
    page.goto(stage.tab_of(finished))
    ticks = section(page, "Not selected").get_by_role("checkbox")
    expect(ticks).to_have_count(3)
    names = section(page, "Not selected").get_by_role("heading", level=3).all_inner_texts()[:2]
    ticks.nth(0).click()
    ticks.nth(1).click()
    expect(page.get_by_text("2 × $0.48, a second-hand price")).to_be_visible()
    page.get_by_role("button", name="Export 2 more · $0.96").dblclick()

    more = section(page, "Town hall: 2 more")
    expect(more).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)
    assert more.get_by_role("heading", level=3).all_inner_texts() == names
    expect(section(page, "Not selected").get_by_role("listitem")).to_have_count(1)
    assert paid(stage.sandbox, before) == ["export", "export"]
    [newest, *_] = [run for run in runs_of(stage) if run["dag_run_id"].startswith("more__")]
    assert len(runs_of(stage)) == runs + 1, "a double click is one run"
    assert newest["note"] == "Town hall: 2 more"

    page.reload()
    expect(more).to_contain_text("2 of 2 shorts delivered")
    assert axe(page, "Town hall: 2 more") == []
    more.get_by_role("link", name="The run of").click()
    expect(page.get_by_text("Town hall: 2 more")).to_be_visible()
    expect(page).to_have_url(re.compile("/runs/more__"))


def test_the_same_short_is_exported_with_another_watermark(
    page: Page, stage: Stage, finished: str, picture: str
) -> None:
    before = len(paid(stage.sandbox))
    page.goto(stage.tab_of(finished))
    short = section(page, "Shorts").get_by_role("listitem").first
    short.get_by_role("button", name=re.compile("^Export again with")).click()
    short.get_by_label("Address of a picture").fill(picture)
    short.get_by_label("From the top").fill("0.1")
    assert axe(page, "Shorts") == []
    short.get_by_role("button", name="Export with this watermark · $0.48 (second-hand price)").click()
    again = section(page, "Town hall: another watermark")
    expect(again.get_by_role("listitem")).to_have_count(1, timeout=PATIENCE)
    expect(again).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(stage.sandbox, before) == ["export"]
    mark = stage.sandbox.ledger("export")[-1]["body"]["watermark"]
    assert mark == {"src_url": picture, "pos_x": 0.5, "pos_y": 0.1, "scale": 1}


def test_an_export_is_made_anew_on_purpose_once(page: Page, stage: Stage, finished: str) -> None:
    before = len(paid(stage.sandbox))
    page.goto(stage.tab_of(finished))
    short = section(page, "Shorts").get_by_role("listitem").first
    file = short.get_by_text(re.compile(r"\.mp4$"))
    old = file.inner_text()
    short.get_by_role("button", name=re.compile("^Export again with")).click()
    short.get_by_role("button", name="Export anew as it was · $0.48").click()
    expect(file).not_to_have_text(old, timeout=PATIENCE)
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)
    assert paid(stage.sandbox, before) == ["export"]


def test_a_short_whose_export_failed_is_tried_again_and_the_tab_follows_at_once(page: Page, stage: Stage) -> None:
    stage.sandbox.fault("POST", "/exports$", "job_error")
    run_id = stage.trigger(limit=2, name="Bad day")
    assert stage.airflow.wait_for_run(DAG_ID, run_id, seconds=240) == "failed"
    before = len(paid(stage.sandbox))
    page.goto(stage.tab_of(run_id))
    again = page.get_by_role("button", name="Try this one again")
    expect(again).to_have_count(1)
    expect(again).to_contain_text("$0.48")
    again.dblclick()
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered", timeout=PATIENCE)
    assert paid(stage.sandbox, before) == ["export"], "the other one is left alone"


def test_after_a_clear_elsewhere_the_tab_of_a_finished_run_follows(page: Page, stage: Stage, finished: str) -> None:
    page.goto(stage.tab_of(finished))
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered")
    body = {"dry_run": False, "dag_run_id": finished, "only_failed": False, "task_ids": ["publish"]}
    # Of a run that has ended the tab asks for nothing but whether it still has.
    with page.expect_request(re.compile("/taskInstances"), timeout=PATIENCE):
        stage.airflow.api("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=body)
    expect(section(page, "Summary")).to_contain_text("2 of 2 shorts delivered")


def test_a_video_whose_fate_is_unknown_is_sent_again_from_the_tab(page: Page, stage: Stage, lossy: Sandbox) -> None:
    run_id = lose(stage, lossy)
    before = len(paid(lossy))
    page.goto(stage.tab_of(run_id))
    question = section(page, "How to go on")
    expect(question).to_contain_text(re.compile("Sent on .* Look in Klap for an upload of that time"))
    expect(question.get_by_role("button", name="It is this task")).to_be_disabled()
    assert axe(page, "How to go on") == []
    question.get_by_role("button", name="It is not there: send again · $0.44 at second-hand prices").click()
    expect(section(page, "Summary")).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(lossy, before) == ["task", "export"]


def test_a_video_that_klap_has_taken_all_the_same_is_gone_on_with_and_not_paid_again(
    page: Page, stage: Stage, lossy: Sandbox
) -> None:
    run_id = lose(stage, lossy)
    before = len(paid(lossy))
    page.goto(stage.tab_of(run_id))
    question = section(page, "How to go on")
    question.get_by_label("Klap's task id").fill("nothing0fthekind")
    question.get_by_role("button", name="It is this task").click()
    expect(question).to_have_count(0)
    expect(question).to_contain_text(re.compile("HTTP 404"), timeout=PATIENCE)
    question.get_by_label("Klap's task id").fill(lossy.ledger("task")[-1]["id"])
    question.get_by_role("button", name="It is this task").click()
    expect(section(page, "Summary")).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(lossy, before) == ["export"]


def lose(stage: Stage, lossy: Sandbox) -> str:
    """A run that has failed because the answer to its submission got lost."""
    lossy.fault("POST", "^/tasks/video-to-shorts$", "accept_then_drop")
    run_id = stage.trigger(limit=1, klap_conn_id="klap_lossy", name="Lost")
    assert stage.airflow.wait_for_run(DAG_ID, run_id, seconds=240) == "failed"
    return run_id


def test_a_whole_video_is_exported_again_too(page: Page, stage: Stage, captioned: str, picture: str) -> None:
    before = len(paid(stage.sandbox))
    page.goto(stage.tab_of(captioned, dag_id=VIDEO_DAG_ID))
    page.get_by_role("button", name="Export again with…: Town hall").click()
    page.get_by_label("Address of a picture").fill(picture)
    page.get_by_role("button", name="Export with this watermark").click()
    expect(section(page, "Town hall: another watermark").get_by_role("listitem")).to_have_count(1, timeout=PATIENCE)
    expect(section(page, "Town hall: another watermark")).to_contain_text("Delivered", timeout=PATIENCE)
    assert paid(stage.sandbox, before) == ["export"]


def test_who_may_not_is_told_which_permission_it_takes_and_below_a_path_who_may_can(
    page: Page, stage: Stage, below_a_path: str, finished: str, complaints: list[str]
) -> None:
    sign_in(page, below_a_path, EDITOR)
    page.goto(stage.tab_of(finished, root=below_a_path))
    before = len(paid(stage.sandbox))
    short = section(page, "Shorts").get_by_role("listitem").last
    short.get_by_role("button", name=re.compile("^Export again with")).click()
    anew = short.get_by_role("button", name="Export anew as it was")
    anew.click()
    expect(short.get_by_role("alert")).to_contain_text("You may not edit Airflow's assets, and so not the ledger")
    expect(anew).to_be_disabled()
    assert paid(stage.sandbox, before) == []
    assert complaints
    assert all("403 (Forbidden)" in said for said in complaints)
    complaints.clear()

    page.context.clear_cookies()
    sign_in(page, below_a_path, ADMIN)
    page.goto(stage.tab_of(finished, root=below_a_path))
    section(page, "Not selected").get_by_role("checkbox").last.click()
    page.get_by_role("button", name="Export 1 more").click()
    expect(section(page, "Town hall: 1 more")).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert paid(stage.sandbox, before) == ["export"]


def test_airflows_lists_name_the_video_and_say_what_it_came_to(page: Page, stage: Stage, finished: str) -> None:
    page.goto(stage.page_of(finished))
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="SubmitShortsOperator")).to_contain_text("Town hall")
    expect(rows.filter(has_text="PublishShortsOperator")).to_contain_text(re.compile(r"2 delivered, \$\d\.\d\d"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_at_800_pixels_nothing_sticks_out(new_page: Open, stage: Stage, finished: str, theme: Any) -> None:
    page = new_page(viewport={"width": 800, "height": 1000}, color_scheme=theme)
    page.goto(stage.tab_of(finished))
    cards = page.get_by_role("listitem").filter(has=page.get_by_role("meter"))
    section(page, "Shorts").get_by_role("button", name=re.compile("^Export again with")).first.click()
    for card in cards.all():
        box = card.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 800


def test_everything_is_done_by_keyboard(page: Page, stage: Stage, delivered: str) -> None:
    page.goto(stage.tab_of(delivered))  # the other one's shorts are all exported by now
    tick = section(page, "Not selected").get_by_role("checkbox").first
    expect(tick).to_be_visible()
    tick.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name=re.compile("^Export 1 more"))).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name=re.compile("^Export 1 more"))).to_have_count(0)
