"""One Airflow, one browser, and some runs, for all the tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.stage import (
    DAG_ID,
    VIDEO_DAG_ID,
    WINDOW,
    chromium,
    connection_to,
    server_below_a_path,
    whole_stage,
)
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

    from tests.browser.stage import Stage

    Open = Callable[..., Page]

expect.set_options(timeout=60_000)

MISCHIEF = "<img src=x onerror=\"document.title='taken over'\">"
TWIN = "Same name, other moment"

#: What Klap may list: names that are markup, one name twice, odd scores.
AWKWARD = [
    {"id": "awkward00001", "name": MISCHIEF, "virality_score": 91, "virality_score_explanation": MISCHIEF},
    {"id": "awkward00002", "name": TWIN, "virality_score": 80},
    {"id": "awkward00003", "name": TWIN, "virality_score": 80},
    {"id": "awkward00004", "name": "[Click](https://evil.example) **now** `{{ 7 * 7 }}`", "virality_score": None},
]

#: The runs that more than one test looks at, and what they are asked for.
RUNS: dict[str, dict[str, Any]] = {
    "delivered": {"limit": 2},
    "failed": {"min_duration": 100, "max_duration": 50},
    "captioned": {"dag_id": VIDEO_DAG_ID, "width": 480, "height": 270, "name": "Town hall"},
    "asked": {"limit": 3, "review": True},
    "awkward": {"limit": 1, "review": True, "klap_conn_id": "klap_awkward"},
    "many": {
        "max_clip_count": 100,
        "target_clip_count": 100,
        "max_duration": 5,
        "limit": None,
        "review": True,
        "klap_conn_id": "klap_many",
    },
}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def lossy() -> Iterator[Sandbox]:
    """What ``klap_lossy`` leads to: another Klap, for answers that get lost."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, lossy: Sandbox) -> Iterator[tuple[Stage, dict[str, str]]]:
    """The stage, and the ids of :data:`RUNS`, which go on while the first tests are at work."""
    with Sandbox() as awkward, Sandbox() as many:
        awkward.fault("GET", "^/projects/[^/]+$", "status", times=None, code=200, body=AWKWARD)
        home, shorts = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("shorts")
        others = {"klap_awkward": awkward, "klap_many": many, "klap_lossy": lossy}
        with whole_stage(home, shorts, **{name: connection_to(klap) for name, klap in others.items()}) as stage:
            yield stage, {name: stage.trigger(**conf) for name, conf in RUNS.items()}


@pytest.fixture(scope="session")
def stage(runs: tuple[Stage, dict[str, str]]) -> Stage:
    """The Airflow."""
    return runs[0]


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
def failed(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run whose input was refused."""
    stage, ids = runs
    assert stage.airflow.wait_for_run(DAG_ID, ids["failed"], seconds=480) == "failed"
    return ids["failed"]


@pytest.fixture
def asked(runs: tuple[Stage, dict[str, str]]) -> str:
    """A run of which a person is to review five shorts."""
    return unanswered(runs, "asked")


@pytest.fixture
def awkward(runs: tuple[Stage, dict[str, str]]) -> str:
    """The same with awkward names."""
    return unanswered(runs, "awkward")


def unanswered(runs: tuple[Stage, dict[str, str]], name: str) -> str:
    """A run that asks a person: another one, if a test has answered it before."""
    stage, ids = runs
    if stage.has_been_answered(ids[name]):
        ids[name] = stage.trigger(**RUNS[name])
    return stage.wait_for_question(ids[name])


@pytest.fixture(scope="session")
def a_hundred(runs: tuple[Stage, dict[str, str]]) -> str:
    """A finished run with 100 shorts: the list is Klap's, the exports, which would take half an hour, are made up."""
    stage, ids = runs
    run_id = stage.wait_for_question(ids["many"])
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
            "src_url": f"{stage.sandbox.sample}?{place}",
            "step": None,
            "error": None,
        }
        for place, short in enumerate(shorts)
    ]
    made_up = {"key": "klap_outcome", "value": outcome, "map_index": -1}
    airflow.api("POST", f"{run}/taskInstances/publish/xcomEntries", json=made_up)
    return run_id


@pytest.fixture(scope="session")
def below_a_path(stage: Stage) -> Iterator[str]:
    """The address of the same Airflow below ``/airflow``, with a login."""
    with server_below_a_path(stage.airflow) as address:
        yield address


@pytest.fixture
def complaints() -> list[str]:
    """What browsers complained of in their console; a test that expects some takes them out."""
    return []


@pytest.fixture
def new_page(browser: Browser, complaints: list[str]) -> Iterator[Open]:
    """Open a window; what is said of ``page`` goes for it, too."""
    contexts: list[BrowserContext] = []

    def hear(said: ConsoleMessage) -> None:
        if said.type == "error":
            complaints.append(f"{said.text} {said.location['url']}")

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": WINDOW, **options})
        contexts.append(context)
        context.on("console", hear)
        context.on("weberror", lambda thrown: complaints.append(str(thrown.error)))
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    # Nothing is filtered: the pages of Airflow 3.3.2 that these tests see cause no error of their own.
    assert complaints == []


@pytest.fixture
def page(new_page: Open) -> Page:
    """A window, in whose console there may be no error at the end."""
    return new_page()
