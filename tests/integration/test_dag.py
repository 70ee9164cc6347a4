"""The Dags: they parse, their forms match the models, and a run delivers what it can and names the rest.

Run as a script, this file is a fresh Airflow process: it parses the Dag folder without a database or network, then runs
the Dags with a sandbox, and prints JSON on its last line.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import DAG
    from pydantic import BaseModel

    from tests.support.sandbox import Sandbox

REPOSITORY = Path(__file__).resolve().parents[2]
TALK = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"  # whose existence is not checked
ZERO_WIDTH = "\u200b"
USER = "user-0001"


@dataclass(frozen=True)
class Shape:
    """
    The differences between the Dags.

    :ivar request: name of the request model of its form.
    :ivar steps: ids of its tasks, in order, before ``publish``.
    """

    dag_id: str
    request: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        return self.dag_id


SHAPES = [
    Shape(
        "klap_generate_shorts",
        "ShortsRequest",
        ("submit", "wait_for_shorts", "select_shorts", "short.export", "short.wait_for_export", "short.deliver"),
    ),
    Shape(
        "klap_caption_video",
        "VideoRequest",
        ("submit", "wait_for_video", "find_video", "video.export", "video.wait_for_export", "video.deliver"),
    ),
]


@pytest.fixture(scope="module")
def process(running_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The output and the files of a fresh process, and what it paid for."""
    from tests.support.airflow_context import ACCESS_TOKEN, API_KEY

    home, folder = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("shorts")
    running_sandbox.reset(task_seconds=1, user_header="required")
    user = running_sandbox.user()
    extra = {"external_access_token": ACCESS_TOKEN, "destination": f"{folder}/user", "poke_interval": 0.5}
    extra["monthly_limit"] = 100
    conn = {"conn_type": "klap", "host": running_sandbox.url, "password": API_KEY, "extra": extra}
    done = subprocess.run(
        [sys.executable, __file__, running_sandbox.url, str(folder), user],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_KLAP_DEFAULT": json.dumps(conn),
            "PYTHONPATH": os.pathsep.join(str(REPOSITORY / name) for name in (".", "plugins", "dags")),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))  # logs may come after it
    kept = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return {
        **json.loads(found),
        "folder": folder,
        "managed_user": user,
        "ledger": running_sandbox.ledger(),
        "requests": running_sandbox.requests(),
        "kept": {**kept, "output": (done.stdout + done.stderr).encode()},
        "secrets": [API_KEY, ACCESS_TOKEN],
    }


@pytest.fixture(scope="module")
def parsed(process: dict[str, Any]) -> dict[str, Any]:
    """Its output from parsing, without a database or network."""
    return dict(process["parsed"])


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def shape(request: pytest.FixtureRequest) -> Shape:
    """Each of the Dags, in turn."""
    found: Shape = request.param
    return found


@pytest.fixture(scope="module")
def make_dag(shape: Shape) -> Callable[..., DAG]:
    make: Callable[..., DAG] = getattr(import_module(shape.dag_id), shape.dag_id)
    return make


@pytest.fixture(scope="module")
def dag(make_dag: Callable[..., DAG]) -> DAG:
    return make_dag()


# Parsing


def test_airflow_finds_each_dag_under_its_files_name_without_an_error(parsed: dict[str, Any]) -> None:
    files = {path.stem for path in (REPOSITORY / "dags").glob("*.py")}
    assert sorted(parsed["dags"]) == sorted(files - {"klap_watch"}), "the Dag without a source until a team adds one"


def test_parsing_reads_no_connection_and_no_database_and_opens_no_socket(parsed: dict[str, Any]) -> None:
    assert parsed["reached_for"] == []


def test_parsing_loads_no_http_client_of_the_hook(parsed: dict[str, Any]) -> None:
    assert parsed["loaded"] == []


def test_a_task_imports_no_async_client_and_no_unused_storage_client() -> None:
    modules = (
        "klap_provider.operators.deliver, klap_provider.operators.export, klap_provider.operators.review, "
        "klap_provider.operators.submit, klap_provider.hooks.client, klap_provider.files.download, "
        "klap_provider.files.storage"
    )
    command = (
        f"import sys, {modules}; klap_provider.files.storage.folder_at('/shorts'); "
        "print([name for name in ('requests', 'aiohttp', 'boto3') if name in sys.modules])"
    )
    path = {"PYTHONPATH": str(REPOSITORY / "plugins")}
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "['requests']"


def test_the_serialized_dag_equals_the_parsed_one(parsed: dict[str, Any], dag: DAG) -> None:
    of_dag = parsed["dags"][dag.dag_id]
    assert of_dag["tasks"] == {
        task.task_id: [task.task_type, sorted(task.downstream_task_ids), list(task.template_fields), task.retries]
        for task in dag.tasks
    }
    params = {name: dag.params.get_param(name) for name in dag.params}
    assert of_dag["params"] == {name: [param.description, param.schema] for name, param in params.items()}


# Tasks


def test_the_steps_are_in_order_and_publish_always_runs(dag: DAG, shape: Shape) -> None:
    for step, following in zip(shape.steps, [*shape.steps[1:], "publish"], strict=True):
        assert following in dag.get_task(step).downstream_task_ids
    publish = dag.get_task("publish")
    assert publish.trigger_rule == "all_done"
    assert publish.upstream_task_ids >= {"submit", shape.steps[1], shape.steps[-1]}
    assert publish.steps == [*shape.steps[3:]]


def test_every_templated_field_is_a_field(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.template_fields
        assert [name for name in task.template_fields if not hasattr(task, name)] == []


def test_every_task_has_the_retry_policy(dag: DAG, shape: Shape) -> None:
    from klap_provider.operators.retry_policy import KlapRetryPolicy

    assert {task.task_id: type(task.retry_policy) for task in dag.tasks} == dict.fromkeys(
        (*shape.steps, "publish"), KlapRetryPolicy
    )
    assert all(task.retries == 3 and task.retry_delay == timedelta(seconds=30) for task in dag.tasks)


def test_waits_are_deferrable(dag: DAG, shape: Shape) -> None:
    _, wait_for_task, look_up, _, wait_for_export, _ = shape.steps
    for task_id in (wait_for_task, wait_for_export):
        assert (dag.get_task(task_id).deferrable, dag.get_task(task_id).ends_in_triggerer) == (True, True)
    assert dag.get_task(look_up).deferrable


def test_every_task_that_calls_klap_uses_the_forms_connection(dag: DAG, shape: Shape) -> None:
    for step in shape.steps:
        task = dag.get_task(step)
        account = {name: getattr(task, name)._name for name in ("klap_conn_id", "on_behalf_of")}
        assert account == {name: name for name in account}, step
        assert account.keys() <= {*task.template_fields}, step


def test_every_field_of_the_requests_is_on_the_form_and_reaches_its_task(dag: DAG, shape: Shape) -> None:
    from klap_provider.api import requests

    submit, export = dag.get_task("submit"), dag.get_task(shape.steps[3])
    for name in getattr(requests, shape.request).model_fields:
        value = getattr(submit, name)
        params = value if isinstance(value, dict) else {name: value}
        assert {key: param._name for key, param in params.items()} == {key: key for key in params}
        assert params.keys() <= dag.params.keys()
    assert {key: param._name for key, param in export.watermark.items()} == {
        key: f"watermark_{key}" for key in requests.Watermark.model_fields
    }


def test_every_field_of_the_form_has_a_title_a_help_text_and_a_section(dag: DAG) -> None:
    for name in dag.params:
        schema = dag.params.get_param(name).schema
        assert schema["title"], name
        assert dag.params.get_param(name).description, name
    sections = [dag.params.get_param(name).schema.get("section") for name in dag.params]
    together = [section for index, section in enumerate(sections) if index == 0 or sections[index - 1] != section]
    assert len(together) == len(set(together))


# The form


def test_no_task_has_a_copy_of_the_form(dag: DAG) -> None:
    assert [task.task_id for task in dag.tasks if task.params] == []


def test_the_schemas_of_the_fields_are_valid_in_the_latest_json_schema(dag: DAG) -> None:
    from jsonschema import Draft202012Validator

    for name in dag.params:
        schema = dag.params.get_param(name).schema
        assert "draft-07" in schema["$schema"], name
        Draft202012Validator.check_schema({rule: schema[rule] for rule in schema if rule != "$schema"})


def accepts(dag: DAG, name: str, value: Any) -> bool:
    from airflow.sdk.exceptions import ParamValidationError

    try:
        dag.params.get_param(name).resolve(value)
    except ParamValidationError:
        return False
    return True


def test_only_the_video_is_required(dag: DAG) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    needed = []
    for name in dag.params:
        try:
            dag.params.get_param(name).resolve()
        except ParamValidationError:
            needed.append(name)
    assert needed == ["source_video_url"]


def numbers(dag: DAG) -> Iterator[tuple[str, type[BaseModel], str]]:
    from klap_provider.api.requests import Dimensions, ShortsRequest, Watermark
    from klap_provider.rules.limits import Selection

    for model, prefix in ((ShortsRequest, ""), (Dimensions, ""), (Selection, ""), (Watermark, "watermark_")):
        for name, schema in model.model_json_schema()["properties"].items():
            types = {variant.get("type") for variant in (schema, *schema.get("anyOf", []))}
            if {"integer", "number"} & types and f"{prefix}{name}" in dag.params:
                yield f"{prefix}{name}", model, name


def test_the_form_accepts_the_numbers_that_the_request_accepts(dag: DAG) -> None:
    from klap_provider.api.requests import build_request
    from klap_provider.errors import KlapInputError

    needed = {"source_video_url": TALK, "src_url": TALK}
    compared = 0
    for param, model, name in numbers(dag):
        for value in (-1, 0, 0.001, 0.5, 1, 1.5, 2, 100, 100.5, 101, 120, 121, 180, 181, 7680, 7681):
            others = {field: needed[field] for field in needed if field in model.model_fields}
            # One field at a time, so that only its own range is checked.
            free = {"max_duration": 180} if name == "min_duration" else {}
            free |= {"min_duration": 1} if name == "max_duration" else {}
            try:
                build_request(model, {**others, **free, name: value})
                fits = True
            except KlapInputError:
                fits = False
            assert accepts(dag, param, value) is fits, f"{param}={value}"
            compared += 1
    assert compared >= 5 * 16


@pytest.mark.parametrize("url", ["", None])
def test_the_form_requires_an_address(dag: DAG, url: str | None) -> None:
    assert not accepts(dag, "source_video_url", url)


@pytest.mark.parametrize(
    "url",
    [TALK, f"Https://example.com/a {ZERO_WIDTH}", " youtu.be/dQw4w9WgXcQ", "youtube.com/watch?v=dQw4w9WgXcQ&amp;t=1"],
)
def test_the_form_accepts_what_the_request_accepts(dag: DAG, url: str) -> None:
    from klap_provider.api.requests import ShortsRequest, build_request

    assert accepts(dag, "source_video_url", url)
    assert build_request(ShortsRequest, {"source_video_url": url})


# More Dags


def test_a_second_dag_can_run_on_a_schedule(make_dag: Callable[..., DAG]) -> None:
    form = {"source_video_url": TALK, "captions": False, "on_behalf_of": USER}
    daily = make_dag("klap_daily", schedule="@daily", form=form)
    daily.validate()
    assert (daily.dag_id, daily.catchup) == ("klap_daily", False)
    assert daily.timetable.can_be_scheduled
    assert daily.params["source_video_url"] == TALK
    assert (daily.params["captions"], daily.params["on_behalf_of"]) == (False, USER)
    assert daily.params["emojis"] == make_dag("klap_other").params["emojis"]


def test_a_schedule_without_a_video_is_refused(make_dag: Callable[..., DAG]) -> None:
    with pytest.raises(ValueError, match="required params"):
        make_dag("klap_daily", schedule="@daily").validate()


def test_a_default_that_is_not_an_address_is_refused(make_dag: Callable[..., DAG]) -> None:
    with pytest.raises(ValueError, match=r"source_video_url is ' talk\.mp4'; it must be a complete address"):
        make_dag("klap_daily", schedule="@daily", form={"source_video_url": " talk.mp4"})


@pytest.mark.parametrize("wrong", [{"width": 15}, {"watermark_scale": 0}, {"on_behalf_of": "a b"}])
def test_a_default_out_of_range_is_refused(make_dag: Callable[..., DAG], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="default values are not valid"):
        make_dag("klap_daily", schedule="@daily", form={"source_video_url": TALK, **wrong}).validate()


def test_a_default_for_an_unknown_field_is_refused(make_dag: Callable[..., DAG]) -> None:
    with pytest.raises(
        ValueError, match=r"'lanuage' .did you mean 'language'.*, 'sorce_url' .did you mean 'source_video_url'"
    ):
        make_dag("klap_daily", form={"sorce_url": TALK, "lanuage": "en"})


# Runs


@pytest.fixture(scope="module")
def runs(process: dict[str, Any]) -> dict[str, Any]:
    """
    Five runs in one Airflow: one in which all goes well, one in which the second export fails, one that captions a
    video for a managed user, and two that are refused before anything is sent: for a destination, and a misspelt name.
    """
    return process


def manifest(runs: dict[str, Any], run: str) -> dict[str, Any]:
    (path,) = (runs["folder"] / run).rglob("manifest.json")
    written: dict[str, Any] = json.loads(path.read_text())
    return written


def test_a_run_delivers_the_best_shorts_and_a_manifest(runs: dict[str, Any]) -> None:
    run = runs["good"]
    assert run["state"] == "success"
    assert set(run["states"].values()) == {"success"}
    assert len([task for task in run["states"] if task.startswith("short.deliver")]) == 3

    written = manifest(runs, "good")
    assert (written["missing"], written["problem"]) == ([], None)
    assert written["source_video_url"] == TALK
    files = {path.name: path for path in (runs["folder"] / "good" / written["klap_task_id"]).iterdir()}
    delivered = {Path(short["path"]).name: short for short in written["delivered"]}
    beside = {Path(short["sidecar"]).name: short for short in written["delivered"]}
    assert files.keys() == {*delivered, *beside, "manifest.json", "runs"}
    for name, short in beside.items():
        sidecar = json.loads(files[name].read_text())
        assert (sidecar["project_id"], sidecar["virality_score"]) == (short["project_id"], short["virality_score"])
        assert (sidecar["source_video_url"], sidecar["klap_task_id"]) == (TALK, written["klap_task_id"])
    for name, short in delivered.items():
        assert files[name].stat().st_size == short["size"]
        assert files[name].read_bytes()[4:8] == b"ftyp"
    scores = [short["virality_score"] for short in written["delivered"]]
    assert scores == sorted(scores, reverse=True)


def test_a_run_pays_for_one_video_and_each_delivered_short_once(runs: dict[str, Any]) -> None:
    exports = {short["export_id"] for short in manifest(runs, "good")["delivered"]}
    assert [entry["kind"] for entry in runs["ledger"][:8]] == ["task", "export", "export", "export"] * 2
    assert {entry["id"] for entry in runs["ledger"][1:4]} == exports
    assert runs["ledger"][0]["body"]["source_video_url"] == TALK
    assert runs["ledger"][0]["body"]["max_clip_count"] == 6


@pytest.mark.parametrize("run", ["good", "bad"])
def test_the_manifest_has_the_cost_of_the_run(runs: dict[str, Any], run: str) -> None:
    cost = manifest(runs, run)["cost"]
    counts = [cost[name] for name in ("input_videos", "generated_shorts", "exports")]
    assert counts == [1, 6, 3], "also for the export that failed"
    assert (cost["total"], cost["estimated"]) == (3.8, True)


def test_the_monthly_limit_has_what_the_runs_paid(runs: dict[str, Any], tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    database.write_bytes(runs["kept"]["airflow.db"])
    with closing(sqlite3.connect(database)) as connection:
        [(row,)] = connection.execute("SELECT value FROM asset_state_store WHERE key LIKE 'limit.%'")
    paid = 2 * 3.8 + 0.92  # two runs with shorts, and one that captions a video
    assert float(json.loads(row)["total"]) == pytest.approx(paid)


def test_a_failed_export_does_not_stop_the_others_and_is_named(runs: dict[str, Any]) -> None:
    run = runs["bad"]
    assert run["state"] == "failed"
    ended = {task: state for task, state in run["states"].items() if state != "success"}
    # Airflow starts the exports in an order of its own.
    (failed,) = (int(task.rpartition("_")[2]) for task in ended if task.startswith("short.wait_for_export_"))
    assert ended == {
        f"short.wait_for_export_{failed}": "failed",
        f"short.deliver_{failed}": "upstream_failed",
        "publish": "failed",
    }

    written = manifest(runs, "bad")
    assert len(written["delivered"]) == 2
    (missing,) = written["missing"]
    assert missing["step"] == "wait_for_export"
    assert "render_failed" in missing["error"]
    assert "Out of luck." in missing["error"]
    assert missing["project_id"] == runs["ledger"][6]["project_id"]
    folder = runs["folder"] / "bad" / written["klap_task_id"]
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "runs",
        *(Path(short[file]).name for short in written["delivered"] for file in ("path", "sidecar")),
    }


def test_a_captioned_video_is_paid_once_and_delivered(runs: dict[str, Any]) -> None:
    steps = {f"{step}_0" if step.startswith("video.") else step for step in (*SHAPES[1].steps, "publish")}
    assert runs["user"] == {"state": "success", "states": dict.fromkeys(steps, "success")}
    task, export = runs["ledger"][8:]
    assert (task["kind"], export["kind"], export["folder_id"]) == ("task", "export", None)
    assert task["body"]["dimensions"] == {"width": 1920, "height": 1080}
    written = manifest(runs, "user")
    assert (written["klap_task_id"], written["folder_id"]) == (task["id"], None)
    assert (written["missing"], written["problem"], written["review"]) == ([], None, None)
    (video,) = written["delivered"]
    assert (video["project_id"], video["export_id"]) == (export["project_id"], export["id"])
    assert (video["folder_id"], video["virality_score"], video["short_name"]) == (None, None, "Town hall")
    folder = runs["folder"] / "user" / task["id"]
    name = f"town-hall_{export['id']}"
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "runs", f"{name}.mp4", f"{name}.json"}


def test_publish_reports_why_a_run_was_refused(runs: dict[str, Any]) -> None:
    assert runs["refused"]["state"] == "failed"
    states = runs["refused"]["states"]
    assert (states["submit"], states["find_video"], states["publish"]) == ("failed", "upstream_failed", "failed")
    pattern = rf"submit: destination is 'nope://bucket/x'.* There are no shorts of {re.escape(TALK)}\."
    assert re.search(pattern.encode(), runs["kept"]["output"]), "the cause, first"


def test_a_run_with_a_misspelt_name_is_refused_before_anything_is_sent(runs: dict[str, Any]) -> None:
    states = runs["mistyped"]["states"]
    assert (states["submit"], states["select_shorts"], states["publish"]) == ("failed", "upstream_failed", "failed")
    assert b"The conf of this run has 'limt' (did you mean 'limit'?)" in runs["kept"]["output"]
    assert len(runs["ledger"]) == 10, "that of the other runs"


def test_a_run_for_a_managed_user_sends_every_request_for_that_user(runs: dict[str, Any]) -> None:
    (submitted,) = (r["at"] for r in runs["requests"] if (r["method"], r["path"]) == ("POST", "/tasks/video-to-video"))
    asked = [r for r in runs["requests"] if r["at"] >= submitted and not r["path"].startswith("/renders/")]
    user = runs["managed_user"]
    assert {request["on_behalf_of"] for request in asked} == {user}
    assert {request["on_behalf_of"] for request in runs["requests"] if request["at"] < submitted} == {None}
    assert [entry["on_behalf_of"] for entry in runs["ledger"]] == [None] * 8 + [user] * 2


def test_runs_leave_no_api_key_and_no_token_anywhere(runs: dict[str, Any]) -> None:
    """These files contain XComs, rendered fields, triggers, the task state store and logs."""
    kept = runs["kept"]
    for known in (runs["ledger"][0]["id"], runs["ledger"][-1]["id"], runs["managed_user"]):
        assert any(known.encode() in content for name, content in kept.items() if name.startswith("airflow.db"))
    assert runs["ledger"][-1]["id"].encode() in kept["output"]
    found = [
        (name, secret) for name, content in kept.items() for secret in runs["secrets"] if secret.encode() in content
    ]
    assert found == []


# The script


def parse() -> dict[str, Any]:
    """Parse the Dag folder without a database, and record every access to the outside."""
    import socket

    import sqlalchemy
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.connection import Connection as ServerConnection
    from airflow.sdk import Connection
    from airflow.serialization.serialized_objects import DagSerialization

    reached_for: list[str] = []

    def forbidden(what: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            reached_for.append(what)
            raise RuntimeError(f"a DAG file must not reach for {what}")

        return refuse

    database = sqlalchemy.Engine, "before_cursor_execute", forbidden("the database")
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", forbidden("the network"))
        patch.setattr(socket, "getaddrinfo", forbidden("the name service"))
        patch.setattr(Connection, "get", forbidden("a connection"))
        patch.setattr(ServerConnection, "get_connection_from_secrets", forbidden("a connection"))
        sqlalchemy.event.listen(*database)
        bag = DagBag(REPOSITORY / "dags")
        sqlalchemy.event.remove(*database)
    if bag.import_errors:
        sys.exit(f"import errors: {bag.import_errors}; reached for: {reached_for}")
    clients = (
        "klap_provider.hooks.client",
        "klap_provider.hooks.klap",
        "requests",
        "aiohttp",
        "airflow.providers.http.hooks.http",
    )
    loaded = [name for name in clients if name in set(sys.modules) - before]
    dags = {}
    for dag_id, dag in bag.dags.items():
        stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        params = {name: stored.params.get_param(name) for name in stored.params}
        tasks = {
            task.task_id: [task.task_type, sorted(task.downstream_task_ids), list(task.template_fields), task.retries]
            for task in stored.tasks
        }
        dags[dag_id] = {
            "tasks": tasks,
            "params": {name: [param.description, param.schema] for name, param in params.items()},
        }
    return {"reached_for": reached_for, "loaded": loaded, "dags": dags}


def run_all(url: str, folder: str, managed_user: str) -> dict[str, Any]:
    """Run the main Dag with success and with failures, and the other Dag for a user, in a new database."""
    import requests
    from airflow.utils.db import initdb

    initdb()

    def one(shape: Shape, where: str, **fields: Any) -> dict[str, Any]:
        dag: DAG = getattr(import_module(shape.dag_id), shape.dag_id)(allowed_destinations=[folder])
        for task in dag.tasks:
            task.retries = 0
        conf = {"source_video_url": TALK, "destination": f"{folder}/{where}", **fields}
        dag_run = dag.test(run_conf=conf)
        states = {
            ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}": str(ti.state)
            for ti in dag_run.get_task_instances()
        }
        return {"state": str(dag_run.state), "states": states}

    shorts, video = SHAPES
    six = {"max_clip_count": 6, "limit": 3}  # Klap makes six shorts of the video, the best three are exported
    good = one(shorts, "good", **six)
    failing = {"method": "POST", "path": "^/projects/.*/exports$", "action": "job_error", "skip": 1}
    fault = {**failing, "error_code": "render_failed", "message": "Out of luck."}
    requests.post(f"{url.removesuffix('/v2')}/_sandbox/faults", json=[fault], timeout=10).raise_for_status()
    bad = one(shorts, "bad", **six)
    user = one(video, "user", destination=None, name="Town hall", aspect_ratio="16:9", on_behalf_of=managed_user)
    refused = one(video, "refused", destination="nope://bucket/x")
    mistyped = one(shorts, "mistyped", limt=1)
    return {"good": good, "bad": bad, "user": user, "refused": refused, "mistyped": mistyped}


if __name__ == "__main__":
    result = {"parsed": parse(), **run_all(*sys.argv[1:])}
    print(f"\n{json.dumps(result)}")
