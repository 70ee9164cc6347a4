"""A complete Airflow, sandboxes and a browser, for the browser tests and the pictures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from playwright.sync_api import expect, sync_playwright

from demo.airflow import ROOT, LocalAirflow, free_ports, kill_group
from tests.support.rig import RARE_PARSING
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

expect.set_options(timeout=60_000)

DAG_ID = "klap_generate_shorts"
VIDEO_DAG_ID = "klap_caption_video"
BATCH_DAG_ID = "klap_generate_shorts_batch"
WINDOW: ViewportSize = {"width": 1400, "height": 1000}

#: Names of users, which are also their passwords. The editor may not edit assets, the viewer may not read XComs.
ADMIN, EDITOR, VIEWER = "ada", "uma", "vic"


@dataclass
class Stage:
    """
    A whole Airflow.

    :ivar sandbox: the Klap of ``klap_default``; its clips are real.
    :ivar shorts: where the shorts are delivered.
    """

    airflow: LocalAirflow
    sandbox: Sandbox
    shorts: Path

    def trigger(self, dag_id: str = DAG_ID, **conf: Any) -> str:
        """Start a run with the sample video and small clips, and return its id."""
        small = {"width": 270, "height": 480, "destination": str(self.shorts)}
        video = {} if dag_id == BATCH_DAG_ID else {"source_video_url": self.sandbox.sample}
        return self.airflow.trigger(dag_id, {**video, **small, **conf})

    def page_of(self, run_id: str, *rest: str | int, root: str | None = None, dag_id: str = DAG_ID) -> str:
        """Return the address of a page below that of a run."""
        return "/".join(map(str, (root or self.airflow.url, "dags", dag_id, "runs", run_id, *rest)))

    def tab_of(self, run_id: str, *, root: str | None = None, dag_id: str = DAG_ID) -> str:
        """Return the address of a run's Shorts tab."""
        return self.page_of(run_id, "plugin", "shorts", root=root, dag_id=dag_id)

    def wait_for_success(self, run_id: str, dag_id: str = DAG_ID) -> str:
        """Wait until the run has succeeded, and return its id."""
        assert self.airflow.wait_for_run(dag_id, run_id, seconds=480) == "success"
        return run_id

    def wait_for_question(self, run_id: str) -> str:
        """Wait until the run's review is open, and return the run's id."""
        self.airflow.wait_for(lambda: self.is_asking(run_id), seconds=480, what="the question of the review")
        return run_id

    def has_been_answered(self, run_id: str) -> bool:
        """Return whether the run's review is answered, even if the task has not resumed yet."""
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/hitlDetails"
        asked = self.airflow.api("GET", path)["hitl_details"]
        return any(each["response_received"] for each in asked)

    def is_asking(self, run_id: str) -> bool:
        """
        Return whether the review is open and Airflow does not lose the answer.

        Airflow loses it until its scheduler knows that the process which opened the review has ended. That takes up to
        five seconds. An answer before that fails the task, and its retry opens the review again.
        """
        task = self.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/select_shorts")
        if task["state"] != "awaiting_input":
            return False
        heard = (self.airflow.home / "scheduler.log").read_text(errors="replace").splitlines()
        return any("TaskInstance Finished" in line and f"ti_id={task['id']}," in line for line in heard)


@contextmanager
def whole_stage(
    home: Path, shorts: Path, *, port: int = 0, extra: dict[str, Any] | None = None, **connections: dict[str, Any]
) -> Iterator[Stage]:
    """
    Start an Airflow and a sandbox that makes real clips and replaces Klap's pages.

    :param port: the port of the sandbox; 0 = a free one. With a fixed port, a video always has the same
        shorts, as its address decides them.
    :param extra: further fields of the connection ``klap_default``.
    :param connections: further Airflow connections.
    """
    with Sandbox(render=True, task_seconds=6, export_seconds=4, port=port) as sandbox:
        connections["klap_default"] = connection_to(sandbox)
        connections["klap_default"]["extra"] |= extra or {}
        with LocalAirflow(home, connections=connections, env=RARE_PARSING) as airflow:
            yield Stage(airflow, sandbox, shorts)


def connection_to(sandbox: Sandbox) -> dict[str, Any]:
    """Return an Airflow connection to a sandbox."""
    player = f"{sandbox.root}/player"
    extra = {"player_url": player, "embed_url": player, "app_url": f"{sandbox.root}/spaces", "poke_interval": 2}
    return {"conn_type": "klap", "host": sandbox.url, "password": "kak_sandbox", "extra": extra}


@contextmanager
def server_below_a_path(airflow: LocalAirflow) -> Iterator[str]:
    """Serve the same Airflow at an address that ends in a path, and with a login; give that address."""
    passwords = airflow.home / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in (ADMIN, EDITOR, VIEWER)}))
    env = {
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.auth.DiscreetAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{EDITOR}:user,{VIEWER}:viewer",
    }
    with another_server(airflow, "below-a-path", env, path="/airflow") as address:
        yield address


@contextmanager
def server_with_fab(airflow: LocalAirflow) -> Iterator[str]:
    """Serve the same Airflow with FabAuthManager, and the users of :mod:`tests.support.fab`; give its address."""
    env = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__FAB__AUTH_RATE_LIMITED": "False",  # the tests sign in more often than people do
    }
    whole = {**airflow.env, **env, "PYTHONPATH": str(ROOT)}
    for command in (["airflow", "fab-db", "migrate"], ["tests.support.fab"]):
        subprocess.run(
            [sys.executable, "-m", *command], env=whole, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=True
        )
    with another_server(airflow, "with-fab", env) as address:
        yield address


@contextmanager
def another_server(airflow: LocalAirflow, name: str, env: dict[str, str], *, path: str = "") -> Iterator[str]:
    """Start one more API server of an Airflow, with other settings, and give its address."""
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}{path}"
    env = {
        **airflow.env,
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__PORT": str(port),
        "PYTHONPATH": str(ROOT),
        **env,
    }
    with (airflow.home / f"api-server-{name}.log").open("ab") as log:
        command = [sys.executable, "-m", "airflow", "api-server"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        airflow.wait_for(lambda: _answers(f"{address}/api/v2/version"), seconds=180, what=f"{address} to answer")
        yield address
    finally:
        process.terminate()
        process.wait(20)
        kill_group(process)


def sign_in(page: Page, address: str, name: str) -> None:
    """Sign in to an Airflow with a login."""
    page.goto(f"{address}/auth/login/")  # where Airflow redirects after a 401
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(name)
    page.get_by_role("button", name=re.compile("^Sign in$", re.IGNORECASE)).click()
    expect(page.get_by_role("link", name="Dags", exact=True)).to_be_visible()


def enter(page: Page, address: str, name: str) -> None:
    """Sign in without the form. The form and the page after it take as long to load as the page under test."""
    answer = requests.post(f"{address}/auth/token", json={"username": name, "password": name}, timeout=30)
    answer.raise_for_status()
    page.context.add_cookies([{"name": "_token", "value": answer.json()["access_token"], "url": address}])


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=10).ok
    except requests.RequestException:
        return False


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's own Chromium: Playwright's cannot play MP4."""
    with lasting_profile() as context:
        assert context.browser
        yield context.browser


@contextmanager
def lasting_profile() -> Iterator[BrowserContext]:
    """Start Chromium with windows that share a profile, so that Airflow's code is fetched and compiled once."""
    # The first is Chromium without windows, which needs a fifth less CPU.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise RuntimeError(f"There is no browser on the PATH: none of {', '.join(names)}.")
    # --no-sandbox: Chromium needs it where the tests run as root, such as in a container.
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    # All windows of a profile share one process, which saves a third of the CPU time for the next page.
    arguments.append("--renderer-process-limit=1")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, args=arguments, viewport=WINDOW
        )
        yield context
        context.close()
