"""Fixtures of the browser tests: one Airflow, one browser, and runs that tests share."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.stage import (
    BATCH_DAG_ID,
    DAG_ID,
    VIDEO_DAG_ID,
    WINDOW,
    connection_to,
    lasting_profile,
    server_below_a_path,
    server_with_fab,
    whole_stage,
)
from tests.support.mail import mail_server as run_mail_server
from tests.support.mail import text_of
from tests.support.object_storage import ObjectStorage
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message as Mail

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, WebError

    from tests.browser.stage import Stage

    Open = Callable[..., Page]

MISCHIEF = "<img src=x onerror=\"document.title='taken over'\">"
TWIN = "Same name, other moment"

#: A list of Klap with markup in names, a repeated name, and unusual scores.
AWKWARD = [
    {"id": "awkward00001", "name": MISCHIEF, "virality_score": 91, "virality_score_explanation": MISCHIEF},
    {"id": "awkward00002", "name": TWIN, "virality_score": 80},
    {"id": "awkward00003", "name": TWIN, "virality_score": 80},
    {"id": "awkward00004", "name": "[Click](https://evil.example) **now** `{{ 7 * 7 }}`", "virality_score": None},
]

#: A notifier of ``klap_mail``.
MAIL = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "to": "reviewer@example.com",
    "from_email": "airflow@example.com",
    "subject": "{{ klap.title }}",
    "html_content": "<a href='{{ klap.url }}'>{{ klap.title }}</a><pre>{{ klap.body }}</pre>",
}

WHOLE_VIDEO = {"dag_id": VIDEO_DAG_ID, "width": 480, "height": 270, "name": "Town hall"}
BUCKET = "s3://media@media/shorts"

#: The conf of runs that start before the first test and continue during the tests, in the order in which they are
#: needed. A test that pays or breaks something uses a run and a Klap that no other test uses.
RUNS: dict[str, dict[str, Any]] = {
    "delivered": {"limit": 2},
    "failed": {"min_duration": 100, "max_duration": 50},
    "acts": {"limit": 2, "name": "Town hall", "klap_conn_id": "klap_acts"},
    "bad day": {"limit": 2, "name": "Bad day", "klap_conn_id": "klap_failing"},
    "lost": {"limit": 1, "name": "Lost", "klap_conn_id": "klap_lossy"},
    "found": {"limit": 1, "name": "Lost and found", "klap_conn_id": "klap_lossy"},
    "acts, whole": {**WHOLE_VIDEO, "klap_conn_id": "klap_acts"},
    **{name: {"limit": 3, "review": True} for name in ("asked", "asked too", "asked as well")},
    "asked by mail": {"limit": 3, "review": True, "klap_conn_id": "klap_mail"},
    "batch": {"dag_id": BATCH_DAG_ID, "limit": 1},
    "permitted": {"limit": 1, "name": "Permitted", "klap_conn_id": "klap_permitted"},
    "awkward": {"limit": 1, "review": True, "klap_conn_id": "klap_awkward"},
    "captioned": WHOLE_VIDEO,
    "many": {
        "max_clip_count": 100,
        "target_clip_count": 100,
        "max_duration": 5,
        "limit": None,
        "review": True,
        "klap_conn_id": "klap_many",
    },
    "kept, folder": {"limit": 2, "klap_conn_id": "klap_closing"},
    "kept, S3": {"limit": 1, "klap_conn_id": "klap_closing", "destination": BUCKET},
    "kept, whole": {**WHOLE_VIDEO, "klap_conn_id": "klap_closing", "destination": BUCKET},
}


@pytest.fixture(scope="session")
def profile() -> Iterator[BrowserContext]:
    """Windows that share a profile. No test leaves cookies or settings of the page to the next test."""
    with lasting_profile() as windows:
        windows.set_default_timeout(60_000)
        [blank] = windows.pages
        # An open page of this site keeps the process alive that has Airflow's compiled code.
        blank.route("**", lambda route: route.fulfill(body=""))
        blank.goto("http://127.0.0.1/")
        yield windows


@pytest.fixture(scope="session")
def browser(profile: BrowserContext) -> Browser:
    """The browser of the profile."""
    assert profile.browser
    return profile.browser


@pytest.fixture(scope="session")
def lossy() -> Iterator[Sandbox]:
    """The Klap of ``klap_lossy``: its responses to the first two videos are lost."""
    with Sandbox() as sandbox:
        sandbox.fault("POST", "^/tasks/video-to-shorts$", "accept_then_drop", times=2)
        yield sandbox


@pytest.fixture(scope="session")
def failing() -> Iterator[Sandbox]:
    """The Klap of ``klap_failing``: its first export fails."""
    with Sandbox() as sandbox:
        sandbox.fault("POST", "/exports$", "job_error")
        yield sandbox


class _NoVideo(BaseHTTPRequestHandler):
    """Answers with the headers of a video, but with a body that is not a video."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", "8")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"no video")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="session")
def no_video() -> Iterator[str]:
    """An address with the headers of a video, which Klap cannot read as a video."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _NoVideo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/broken.mp4"
        server.shutdown()


@pytest.fixture(scope="session")
def acts() -> Iterator[Sandbox]:
    """The Klap of ``klap_acts``."""
    with Sandbox(render=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def permitted() -> Iterator[Sandbox]:
    """The Klap of ``klap_permitted``."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def closing() -> Iterator[Sandbox]:
    """The Klap of ``klap_closing``, which a test shuts down."""
    with Sandbox(render=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def mail_server() -> Iterator[tuple[dict[str, Any], list[Mail]]]:
    """A mail server on loopback: Airflow's connection to it, and the mails that it received."""
    with run_mail_server() as server:
        yield server


@pytest.fixture(scope="session")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    lossy: Sandbox,
    failing: Sandbox,
    acts: Sandbox,
    permitted: Sandbox,
    closing: Sandbox,
    no_video: str,
    mail_server: tuple[dict[str, Any], list[Mail]],
) -> Iterator[tuple[Stage, dict[str, str]]]:
    """The stage, and the ids of :data:`RUNS`."""
    home, shorts = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("shorts")
    with (
        Sandbox() as awkward,
        Sandbox() as many,
        Sandbox(render=True) as mailed,
        ObjectStorage(home) as storage,
    ):
        storage.reset()
        awkward.fault("GET", "^/projects/[^/]+$", "status", times=None, code=200, body=AWKWARD)
        named = {"awkward": awkward, "many": many, "lossy": lossy, "failing": failing}
        named |= {"acts": acts, "permitted": permitted, "closing": closing, "mail": mailed}
        others = {f"klap_{name}": connection_to(klap) for name, klap in named.items()}
        others["klap_mail"]["extra"]["notifiers"] = [MAIL]
        others |= {"media": storage.connection, "smtp_default": mail_server[0]}
        with whole_stage(home, shorts, **others) as stage:
            root = stage.sandbox.root
            videos = [f"{stage.sandbox.sample}?batch=1", no_video, f"{root}/gone.mp4"]
            RUNS["batch"]["source_video_urls"] = videos
            yield stage, {name: stage.trigger(**conf) for name, conf in RUNS.items()}


@pytest.fixture(scope="session")
def stage(runs: tuple[Stage, dict[str, str]]) -> Stage:
    """The complete Airflow of the tests."""
    return runs[0]


@pytest.fixture(scope="session")
def finished(runs: tuple[Stage, dict[str, str]], acts: Sandbox) -> str:
    """A run that has delivered two of five shorts. No other run uses its Klap any more."""
    stage, ids = runs
    stage.wait_for_success(ids["acts, whole"], VIDEO_DAG_ID)
    return stage.wait_for_success(ids["acts"])


@pytest.fixture
def mailed(runs: tuple[Stage, dict[str, str]], mail_server: tuple[dict[str, Any], list[Mail]]) -> tuple[str, str]:
    """A run with five shorts to review, and the mail about the review."""
    run_id = unanswered(runs, "asked by mail")
    [text] = [text for text in map(text_of, mail_server[1]) if run_id in text]
    return run_id, text


@pytest.fixture(scope="session")
def delivered(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run that has delivered two of five shorts."""
    stage, ids = runs
    return stage.wait_for_success(ids["delivered"])


@pytest.fixture(scope="session")
def captioned(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run that has delivered a whole video, in landscape."""
    stage, ids = runs
    return stage.wait_for_success(ids["captioned"], VIDEO_DAG_ID)


@pytest.fixture(scope="session")
def batch(runs: tuple[Stage, dict[str, str]]) -> str:
    """The run of a batch: one video that works, one that fails, and one that does not exist."""
    stage, ids = runs
    assert stage.airflow.wait_for_run(BATCH_DAG_ID, ids["batch"], seconds=480) == "failed"
    return ids["batch"]


@pytest.fixture(scope="session")
def failed(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run whose input was refused."""
    stage, ids = runs
    assert stage.airflow.wait_for_run(DAG_ID, ids["failed"], seconds=480) == "failed"
    return ids["failed"]


@pytest.fixture
def asked(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run that waits for the review of its five shorts."""
    return unanswered(runs, "asked", "asked too", "asked as well")


@pytest.fixture
def awkward(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run that waits for a review, whose shorts have awkward names."""
    return unanswered(runs, "awkward")


def unanswered(runs: tuple[Stage, dict[str, str]], *names: str) -> str:
    """Return a run that waits for a review; start another one if tests have answered all of these."""
    stage, ids = runs
    for name in names:
        if not stage.has_been_answered(ids[name]):
            return stage.wait_for_question(ids[name])
    ids[name] = stage.trigger(**RUNS[name])
    return stage.wait_for_question(ids[name])


@pytest.fixture(scope="session")
def a_hundred(runs: tuple[Stage, dict[str, str]]) -> str:
    """A finished run with 100 shorts. The list is Klap's; the exports are made up, as real ones take half an hour."""
    stage, _ = runs
    run_id = unanswered(runs, "many")
    run, airflow = f"/dags/{DAG_ID}/dagRuns/{run_id}", stage.airflow
    shorts = airflow.xcom(DAG_ID, run_id, "select_shorts", key="klap_shorts")
    answer = f"{run}/taskInstances/select_shorts/-1/hitlDetails"
    everything = airflow.api("GET", answer)["options"][:-1]
    airflow.api("PATCH", answer, json={"chosen_options": everything, "params_input": {}})

    def mapped() -> bool:
        found = airflow.api("GET", f"{run}/taskInstances", params={"limit": 1, "map_index": [0, 99]})
        return bool(found["total_entries"] == 2 * 3)

    airflow.wait_for(mapped, seconds=180, what="the steps of 100 shorts")
    airflow.api("PATCH", run, json={"state": "success"})
    outcome = [
        {
            "project_id": short["project_id"],
            "path": None,  # there is no file to play
            "size": 2_000_000,
            "src_url": f"{stage.sandbox.sample}?{index}",
            "step": None,
            "error": None,
        }
        for index, short in enumerate(shorts)
    ]
    made_up = {"key": "klap_outcome", "value": outcome, "map_index": -1}
    airflow.api("POST", f"{run}/taskInstances/publish/xcomEntries", json=made_up)
    return run_id


@pytest.fixture(scope="session")
def below_a_path(stage: Stage) -> Iterator[str]:
    """The address of the same Airflow below ``/airflow``, with a login."""
    with server_below_a_path(stage.airflow) as address:
        yield address


@pytest.fixture(scope="session")
def with_fab(stage: Stage) -> Iterator[str]:
    """The address of the same Airflow with FabAuthManager, and the users of :mod:`tests.support.fab`."""
    with server_with_fab(stage.airflow) as address:
        yield address


@pytest.fixture
def complaints() -> list[str]:
    """The errors in the browsers' consoles; a test that expects errors removes them."""
    return []


@pytest.fixture
def hear(complaints: list[str]) -> Iterator[Callable[[BrowserContext], None]]:
    """Record the console errors of a context's windows; at the end, none may be left."""
    heard: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"{message.text} {message.location['url']}")

    def throw(thrown: WebError) -> None:
        complaints.append(str(thrown.error))

    def listen(context: BrowserContext) -> None:
        context.on("console", note)
        context.on("weberror", throw)
        heard.append(context)

    yield listen
    for context in heard:
        context.remove_listener("console", note)
        context.remove_listener("weberror", throw)
    # Nothing is filtered: the pages of Airflow 3.3.2 that these tests see cause no error of their own.
    assert complaints == []


@pytest.fixture
def new_page(browser: Browser, hear: Callable[[BrowserContext], None]) -> Iterator[Open]:
    """Open a window with a profile of its own, in whose console there may be no error at the end, either."""
    contexts: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": WINDOW, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        hear(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(profile: BrowserContext, hear: Callable[[BrowserContext], None]) -> Iterator[Page]:
    """A window, in whose console there may be no error at the end."""
    hear(profile)
    blank, *_ = profile.pages  # it keeps the browser open
    yield profile.new_page()
    for each in profile.pages[1:]:
        each.close()
    profile.clear_permissions()
    forget = {"origin": "*", "storageTypes": "cookies,local_storage"}
    chromium = profile.new_cdp_session(blank)
    chromium.send("Storage.clearDataForOrigin", forget)
    chromium.detach()
