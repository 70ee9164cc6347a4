"""Take the pictures of ``docs/images`` from runs on a real Airflow: ``make screenshots``."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from playwright.sync_api import expect

from demo.airflow import ROOT
from tests.browser.seeded import payments, runs_of_a_month, sources
from tests.browser.stage import DAG_ID, VIDEO_DAG_ID, chromium, connection_to, enter, whole_stage
from tests.support.api_server import ADMIN, ApiServer
from tests.support.mail import mail_server, text_of
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from email.message import Message as Mail

    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.stage import Stage

IMAGES = ROOT / "docs" / "images"
#: The address and name of a video decide its shorts. With these, the pictures have the same shorts each time, with
#: names that every machine has fonts for.
SANDBOX_PORT = 8899
VIDEO_NAME = "Podcast 12"

#: The notifier of docs/how-to/get-notified.md.
MAIL = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "from_email": "airflow@example.com",
    "to": "media-team@example.com",
    "subject": "{{ klap.title }}",
    "html_content": "<p>{{ klap.title }}</p><pre>{{ klap.body }}</pre><a href='{{ klap.url }}'>Open</a>",
}
#: A mail as a program for mails shows it.
READER = """<body style="margin: 0; font: 16px/1.5 sans-serif; color: #222"><header style="padding: 16px 24px;
background: #eef1f6"><b style="font-size: 20px">{subject}</b><br>From {sender} to {to}</header>
<style>pre {{ font: inherit; white-space: pre-wrap }}</style><main style="padding: 0 24px 16px">{text}</main></body>"""


class Camera:
    """Opens pages in a window of the right size, and saves pictures of them."""

    def __init__(self, browser: Browser, stage: Stage) -> None:
        self.browser = browser
        self.stage = stage

    def open(self, address: str, *, height: int, width: int = 1440, theme: Any = "light") -> Page:
        """Return a window with a page."""
        window: Any = {"width": width, "height": height}
        page = self.browser.new_context(viewport=window, color_scheme=theme).new_page()
        page.goto(address)
        return page

    def take(self, page: Page, name: str) -> None:
        """Save a screenshot when the page is complete and still, and close the window."""
        page.wait_for_load_state("networkidle")
        page.mouse.move(0, 0)
        seen, before = page.screenshot(), b""
        deadline = time.monotonic() + 20  # the duration of a running run keeps changing
        while seen != before and time.monotonic() < deadline:
            page.wait_for_timeout(1000)
            seen, before = page.screenshot(), seen
        page.context.close()
        path = IMAGES / f"{name}.png"
        # 256 colours, chosen well, are enough for a user interface, at a third of the bytes.
        picture = Image.open(io.BytesIO(seen)).convert("RGB")
        picture.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB", flush=True)


def end_below(page: Page, last: Locator) -> None:
    """Let the window end below an element."""
    box, size = last.bounding_box(), page.viewport_size
    assert box
    assert size
    page.set_viewport_size({"width": size["width"], "height": int(box["y"] + box["height"]) + 24})


def form(camera: Camera) -> None:
    """The trigger form, as it opens and with the section Export open."""
    for name, height, section in (("form", 1010, "Run Parameters"), ("form-export", 1450, "Export")):
        page = camera.open(f"{camera.stage.airflow.url}/dags/{DAG_ID}", height=height, width=1100)
        page.get_by_role("button", name="Trigger Dag").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox").first.fill("https://example.com/podcast-12.mp4")
        heading = dialog.get_by_role("button", name=section, exact=True)
        if heading.get_attribute("aria-expanded") == "false":
            heading.click()
        heading.focus()
        expect(heading).to_have_attribute("aria-expanded", "true")
        camera.take(page, name)


def klap_page(camera: Camera) -> None:
    """The page Klap, each of its parts."""
    views = {
        "videos": (690, "Podcast 12"),
        "shorts": (690, "Captions and transcript"),
        "cost": (1250, "Generate shorts"),
    }
    themes = [(view, "light") for view in views] + [("shorts", "dark")]
    for view, theme in themes:
        height, seen = views[view]
        page = camera.open(f"{camera.stage.airflow.url}/plugin/klap?view={view}", height=height, theme=theme)
        expect(page.get_by_role("tabpanel").get_by_text(seen).first).to_be_visible()
        camera.take(page, f"klap-{view}{'-dark' if theme == 'dark' else ''}")


def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    shorts = Path(tempfile.gettempdir()) / "shorts"  # it is in the pictures
    with tempfile.TemporaryDirectory(prefix="klap-screenshots-") as home:
        try:
            with (
                Sandbox() as lossy,
                mail_server() as (smtp, mails),
                whole_stage(
                    Path(home),
                    shorts,
                    port=SANDBOX_PORT,
                    extra={"notifiers": [MAIL]},
                    klap_lossy=connection_to(lossy),
                    smtp_default=smtp,
                ) as stage,
                chromium() as browser,
            ):
                lossy.fault("POST", "^/tasks/", "accept_then_drop")
                camera = Camera(browser, stage)
                take_all(camera)
                notice(camera, mails)
            (seeds := Path(home) / "seeded").mkdir()
            with ApiServer(seeds) as server, chromium() as browser:
                server.seed(runs=runs_of_a_month(), rows=[*sources(), *payments()])
                unattended(Camera(browser, stage), server)
        finally:
            shutil.rmtree(shorts, ignore_errors=True)


def take_all(camera: Camera) -> None:
    """Start runs, wait until each has something to show, and take the pictures."""
    stage = camera.stage
    full = {"width": None, "height": None, "name": VIDEO_NAME}
    done = stage.wait_for_success(stage.trigger(limit=3, **full))
    asked = stage.wait_for_question(stage.trigger(limit=2, review=True, **full))
    lost = stage.trigger(limit=3, klap_conn_id="klap_lossy", **full)
    video = stage.trigger(VIDEO_DAG_ID, **full, aspect_ratio="16:9", language="en", translate_to="es")

    form(camera)

    klap_page(camera)

    page = camera.open(stage.page_of(done, "tasks", "short.deliver", "mapped"), height=640)
    page.get_by_role("button", name="Expand all task groups").click()
    expect(page.get_by_role("link", name="Wait for export").first).to_be_visible()
    camera.take(page, "grid")

    page = camera.open(stage.page_of(done), height=570)
    page.get_by_role("button", name="Show Graph").click()
    page.get_by_role("button", name="Expand all task groups").click()
    expect(page.get_by_text("Wait for export").first).to_be_visible()
    page.get_by_role("button", name="fit view").click()
    camera.take(page, "graph")

    for theme in ("light", "dark"):
        page = camera.open(stage.tab_of(done), height=1210, theme=theme)
        expect(page.locator("video")).to_have_count(3)
        camera.take(page, f"shorts-{theme}")

    page = camera.open(stage.tab_of(stage.wait_for_success(video, VIDEO_DAG_ID), dag_id=VIDEO_DAG_ID), height=920)
    expect(page.locator("video")).to_have_count(1)
    camera.take(page, "video")

    page = camera.open(stage.tab_of(asked), height=1195)
    expect(page.get_by_role("button", name="Export 2 shorts")).to_be_visible()
    camera.take(page, "shorts-asked")

    page = camera.open(stage.tab_of(done), height=2000)
    for index in range(2):
        page.get_by_role("region", name="Not selected").get_by_role("checkbox").nth(index).click()
    page.get_by_role("button", name="Export 2 more").click()
    expect(page.get_by_text("2 of 2 shorts delivered")).to_be_visible(timeout=300_000)
    end_below(page, page.get_by_role("region", name=f"{VIDEO_NAME}: 2 more"))
    camera.take(page, "shorts-more")

    assert stage.airflow.wait_for_run(DAG_ID, lost, seconds=300) == "failed"
    page = camera.open(stage.tab_of(lost), height=660)
    expect(page.get_by_role("button", name="It is not in Klap: send again")).to_be_visible()
    camera.take(page, "shorts-uncertain")

    page = camera.open(stage.page_of(asked, "tasks", "select_shorts", "required_actions"), height=860)
    expect(page.get_by_role("link", name="preview")).to_have_count(5)
    camera.take(page, "review")

    page = camera.open(stage.page_of(done, "tasks", "short.deliver", "mapped", 0, "details"), height=760)
    expect(page.get_by_role("link", name="Exported video")).to_be_visible()
    camera.take(page, "links")


def notice(camera: Camera, mails: list[Mail]) -> None:
    """The mail about the first run that delivered."""
    [mail] = [each for each in mails if "delivered" in each["Subject"] and VIDEO_NAME not in text_of(each)][:1]
    page = camera.open("about:blank", height=600, width=800)
    page.set_content(READER.format(subject=mail["Subject"], sender=mail["From"], to=mail["To"], text=text_of(mail)))
    end_below(page, page.get_by_role("main"))
    camera.take(page, "notice")


def unattended(camera: Camera, server: ApiServer) -> None:
    """The sources, and the monthly limits."""
    for view, name in (("sources", "klap-sources"), ("cost", "klap-limits")):
        page = camera.open("about:blank", height=1400, width=1280)
        enter(page, server.url, ADMIN)
        page.goto(f"{server.url}/plugin/klap?view={view}")
        last = (
            page.get_by_role("region", name="Source uploads") if view == "sources" else page.get_by_text("Days are UTC")
        )
        expect(last).to_be_visible()
        end_below(page, last)
        camera.take(page, name)


if __name__ == "__main__":
    main()
