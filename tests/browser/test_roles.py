"""What the roles of FabAuthManager can see and do in the Shorts tab and on the Klap page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import DAG_ID, VIDEO_DAG_ID, enter, sign_in
from tests.support.fab import ONE_DAG

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.stage import Stage
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.browser

PATIENCE = 120_000


@dataclass
class Roles:
    """
    An Airflow with roles.

    :param address: of its server.
    :param short: id of a short that the run :attr:`permitted` has delivered.
    """

    stage: Stage
    address: str
    permitted: str
    captioned: str
    short: str

    def tab(self, run_id: str, dag_id: str = DAG_ID) -> str:
        """Return the address of a run's tab."""
        return self.stage.tab_of(run_id, root=self.address, dag_id=dag_id)

    def page(self, view: str = "videos") -> str:
        """Return the address of a part of the page Klap."""
        return f"{self.address}/plugin/klap?view={view}"

    def video(self, dag_id: str, run_id: str, short: str) -> str:
        """Return the address of a delivered video."""
        return f"{self.address}/klap/api/dags/{dag_id}/runs/{run_id}/shorts/{short}/video"


@pytest.fixture(scope="module")
def roles(runs: tuple[Stage, dict[str, str]], with_fab: str, captioned: str) -> Roles:
    stage, run_id = runs[0], runs[0].wait_for_success(runs[1]["permitted"])
    [short] = stage.airflow.xcom(DAG_ID, run_id, "select_shorts")
    return Roles(stage, with_fab, run_id, captioned, short["project_id"])


def refused(complaints: list[str]) -> None:
    """Fail if the console has other errors than refusals."""
    assert complaints
    assert all("403 (Forbidden)" in complaint for complaint in complaints), complaints
    complaints.clear()


def rows(page: Page) -> Locator:
    """Return the rows of the page's videos."""
    return page.get_by_role("table", name="Videos").locator("tbody").get_by_role("row")


def test_a_viewer_can_see_and_play_everything_but_change_nothing(
    page: Page, roles: Roles, permitted: Sandbox, complaints: list[str]
) -> None:
    before = len(permitted.ledger())
    sign_in(page, roles.address, "vic")
    # An error of the provider: its login page requests a missing library.
    complaints[:] = [complaint for complaint in complaints if "'tz'" not in complaint]
    page.get_by_role("link", name="Klap", exact=True).click()
    expect(rows(page).filter(has_text="Permitted")).to_have_count(1)
    page.goto(roles.tab(roles.permitted))
    expect(page.get_by_text("1 of 1 short delivered")).to_be_visible()
    assert page.request.get(roles.video(DAG_ID, roles.permitted, roles.short)).ok
    page.get_by_role("region", name="Not selected").get_by_role("checkbox").first.click()
    page.get_by_role("button", name="Export 1 more").click()
    expect(page.get_by_role("alert")).to_contain_text("You need the permission to create Dag runs")
    expect(page.get_by_role("button", name="Export 1 more")).to_be_disabled()
    assert len(permitted.ledger()) == before
    refused(complaints)


def test_a_user_exports_one_more_short_and_pays_only_for_it(page: Page, roles: Roles, permitted: Sandbox) -> None:
    before = len(permitted.ledger())
    enter(page, roles.address, "uma")
    page.goto(roles.tab(roles.permitted))
    page.get_by_role("region", name="Not selected").get_by_role("checkbox").first.click()
    page.get_by_role("button", name="Export 1 more").click()
    more = page.get_by_role("region", name="Permitted: 1 more")
    expect(more).to_contain_text("1 of 1 short delivered", timeout=PATIENCE)
    assert [entry["kind"] for entry in permitted.ledger()[before:]] == ["export"]


def test_an_admin_sees_both_dags(page: Page, roles: Roles) -> None:
    enter(page, roles.address, "ada")
    page.goto(roles.page("cost"))
    for dag_id in (DAG_ID, VIDEO_DAG_ID):
        expect(page.get_by_role("table", name="By Dag").get_by_text(dag_id, exact=True)).to_be_visible()


def test_a_role_without_access_to_a_dag_sees_nothing_of_it(page: Page, roles: Roles) -> None:
    enter(page, roles.address, "tom")
    for view, seen in (("videos", "Permitted"), ("shorts", "prices are estimated"), ("cost", ONE_DAG)):
        page.goto(roles.page(view))
        expect(page.get_by_role("tabpanel").get_by_text(seen).first).to_be_visible()
        expect(page.get_by_text(VIDEO_DAG_ID)).to_have_count(0)
    assert page.request.get(roles.video(DAG_ID, roles.permitted, roles.short)).ok
    assert page.request.get(roles.video(VIDEO_DAG_ID, roles.captioned, "any")).status == 403


def test_a_role_that_cannot_read_xcoms_sees_no_runs_shorts_costs_or_videos(page: Page, roles: Roles) -> None:
    enter(page, roles.address, "wim")
    page.goto(roles.page())
    expect(page.get_by_text("You need the permission to read XComs of a Klap Dag")).to_be_visible()
    page.goto(roles.page("cost"))
    expect(page.get_by_text("No payments in this period")).to_be_visible()
    page.goto(roles.tab(roles.permitted))
    expect(page.get_by_text("You need the permission to read XComs")).to_be_visible()
    expect(page.locator("video")).to_have_count(0)
    expect(page.get_by_role("region", name="Not selected")).to_have_count(0)
    assert page.request.get(roles.video(DAG_ID, roles.permitted, roles.short)).status == 403


def test_a_role_without_the_permission_for_plugins_sees_none(page: Page, roles: Roles, complaints: list[str]) -> None:
    enter(page, roles.address, "new")
    page.goto(roles.stage.page_of(roles.permitted, root=roles.address))
    expect(page.get_by_role("link", name="Publish").first).to_be_visible()
    expect(page.get_by_role("link", name="Shorts", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Klap", exact=True)).to_have_count(0)
    refused(complaints)
