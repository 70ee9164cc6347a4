"""Record what this version stores for a run, for the upgrade test of the next version.

``python -m pytest -n0 tests/support/upgrade.py`` records what the current version stores, into
``tests/data/upgrade/<version>/``. ``tests/integration/test_upgrade.py`` resumes from the files of each version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from klap_generate_shorts import klap_generate_shorts
from klap_provider import __version__, operators, sensors
from klap_provider.api.requests import ShortsRequest, VideoRequest, build_request
from klap_provider.errors import KlapError
from klap_provider.rules import ledger_keys
from klap_provider.rules.request_fingerprint import fingerprint
from tests.support.airflow_context import OtherRun, Played, json_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator
    from airflow.sdk.exceptions import TaskDeferred
    from airflow.triggers.base import TriggerEvent

    from tests.support.airflow_context import Supervisor
    from tests.support.sandbox import Sandbox

DATA = Path(__file__).resolve().parents[1] / "data" / "upgrade"
FILES = ("jobs", "triggers", "xcoms", "ledger")

#: Placeholders for the sandbox and for the destination in the files.
HOST, FOLDER = "http://klap.invalid", "/klap-destination"

REQUESTS = {"video-to-shorts": ShortsRequest, "video-to-video": VideoRequest}
TALK = "https://talks.invalid/talk.mp4"
FOREVER = timedelta(days=36500)
STEPS = [f"short.{step}" for step in ("export", "wait_for_export", "deliver")]

#: The tasks that pay, and those that read what they left, in the order of a run.
MAIN_PATH = [
    ("submit", -1),
    ("wait_for_shorts", -1),
    ("select_shorts", -1),
    *((step, index) for index in (0, 1) for step in STEPS),
    ("publish", -1),
]
#: Other tasks that pay and wait.
OTHERS = ["reuse", "caption", "export_video", "generate", "list"]
BATCH = [("read_list", -1), ("video", 0), ("summary", -1)]


@dataclass
class StoredRun:
    """
    The tasks of a run. They read what others left with the templates of ``klap_generate_shorts``.

    :param folder: the destination.
    """

    supervisor: Supervisor
    folder: str

    def operator_of(self, task_id: str) -> str:
        """Return the name of a task's operator."""
        return str(self._task(task_id, -1)[0].__name__)

    def make(self, task_id: str, map_index: int = -1) -> Callable[[], BaseOperator]:
        """Return a function that makes the operator of a task."""
        kind, fields = self._task(task_id, map_index)
        task = klap_generate_shorts().task_dict.get(task_id)
        if task is not None:
            templates = {name: getattr(task, name) for name in task.template_fields}
            left = {name: text for name, text in templates.items() if isinstance(text, str) and "xcom_pull" in text}
            fields = {**left, **fields}
        return lambda: kind(task_id=task_id, **fields)

    def _task(self, task_id: str, map_index: int) -> tuple[Any, dict[str, Any]]:
        pull = self.supervisor.xcom
        video = {"source_video_url": TALK, "target_clip_count": 3}
        waits = {"timeout": FOREVER, "deferrable": True}
        short = dict((pull("select_shorts") or [{}] * 2)[max(map_index, 0)])
        ids = {name: short.get(name) for name in ("project_id", "folder_id", "short_name")}
        match task_id:
            case "submit":
                return operators.SubmitShortsOperator, {**video, "destination": self.folder}
            case "wait_for_shorts":
                return sensors.TaskStatusSensor, {**waits, "end_from_trigger": True}
            case "select_shorts":
                return operators.ReviewShortsOperator, {"limit": 2, "review": True, "deferrable": True}
            case "short.export":
                return operators.ExportShortOperator, {**ids, "source_video_url": TALK}
            case "short.wait_for_export":
                return sensors.ExportStatusSensor, {**waits, **ids, "end_from_trigger": True}
            case "short.deliver":
                left = {"wait_task_id": STEPS[1], "list_task_id": "select_shorts", "submit_task_id": "submit"}
                return operators.DeliverShortOperator, {**ids, **left, "source_video_url": TALK}
            case "publish":
                left = {"list_task_id": "select_shorts", "review_task_id": "select_shorts", "submit_task_id": "submit"}
                more = {"steps": STEPS, "shorts": pull("select_shorts"), "source_video_url": TALK}
                return operators.PublishShortsOperator, {**left, **more}
            case "in_doubt":
                third = (pull("select_shorts", "klap_shorts") or [{}] * 3)[2]
                places = {name: third.get(name) for name in ("project_id", "folder_id")}
                return operators.ExportShortOperator, places
            case "reuse":
                return operators.SubmitShortsOperator, {**video, "name": "Again", "reuse": True}
            case "caption":
                whole = {"source_video_url": TALK, "name": "Talk"}
                return operators.SubmitVideoOperator, {**whole, **waits, "wait_for_completion": True}
            case "export_video":
                project_id = (pull("caption") or {}).get("output_id")
                return operators.ExportShortOperator, {"project_id": project_id, **waits, "wait_for_completion": True}
            case "generate":
                more = {"destination": self.folder, "export_timeout": FOREVER, "name": "Whole way"}
                return operators.GenerateShortsOperator, {**video, **waits, **more, "target_clip_count": 2}
            case "list":
                folder_id = (pull("wait_for_shorts") or {}).get("output_id")
                return operators.ListShortsOperator, {"folder_id": folder_id, "deferrable": True}
            case "read_list":
                form = {name: klap_generate_shorts().params.get_param(name) for name in klap_generate_shorts().params}
                given = {"source_video_urls": [TALK], "settings": {"limit": 2}}
                return operators.ReadVideoListOperator, {"form": form, "trigger_dag_id": "videos", **given}
            case "video":
                listed = (pull("read_list") or [{"trigger_run_id": "run"}])[0]
                given = {"source_video_url": TALK, "trigger_run_id": listed["trigger_run_id"], "poke_interval": 0.05}
                timeout = FOREVER.total_seconds()
                return operators.VideoRunOperator, {"trigger_dag_id": "videos", **given, "timeout": timeout}
            case "summary":
                left = {"list_task_id": "read_list", "video_task_id": "video"}
                return operators.SummarizeVideosOperator, {**left, "trigger_dag_id": "videos"}
            case _:
                raise ValueError(task_id)


def jobs_of(klap: Sandbox) -> dict[str, list[dict[str, Any]]]:
    """Return the jobs that Klap has been paid for: what was requested, and the ids."""
    tasks = [{**_task_of(klap, entry["id"]), "body": entry["body"]} for entry in klap.ledger("task")]
    facts = ("id", "folder_id", "project_id", "body")
    return {"tasks": tasks, "exports": [{name: entry[name] for name in facts} for entry in klap.ledger("export")]}


def make_jobs(klap: Sandbox, recorded: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Let Klap make recorded jobs, and return the new id by the recorded one."""
    ids: dict[str, str] = {}
    for task in recorded["tasks"]:
        made = klap.call("POST", f"/tasks/{task['type']}", json=task["body"]).json()
        ids.update(zip(task["ids"], _task_of(klap, made["id"])["ids"], strict=True))
    for export in recorded["exports"]:
        project = "/".join(ids[export[name]] for name in ("folder_id", "project_id") if export[name])
        ids[export["id"]] = klap.call("POST", f"/projects/{project}/exports", json=export["body"]).json()["id"]
        klap.outcome(f"/projects/{project}/exports/{ids[export['id']]}")
    return ids


def words_of(recorded: dict[str, list[dict[str, Any]]], ids: dict[str, str], old: str, new: str) -> dict[str, str]:
    """
    Return what replaces the words of a record: ids, the host, and the parts of ledger keys that are made of them.

    This version calculates these parts. If it calculated others than the version before, it would not find its rows.

    :param ids: the new ids by the recorded ones.
    :param old: address of the sandbox in the record.
    :param new: the address that replaces it.
    """
    words = {**ids, **{ledger_keys.export_log(each)[7:]: ledger_keys.export_log(ids[each])[7:] for each in ids}}
    for task in recorded["tasks"]:
        settings = build_request(REQUESTS[task["type"]], task["body"]).settings()
        before, now = (fingerprint(f"/tasks/{task['type']}", settings, f"{host}/v2", None) for host in (old, new))
        words[before] = now
    return {**words, old: new}


def replaced(text: str, words: dict[str, str]) -> str:
    """Return a text with these replacements."""
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def _task_of(klap: Sandbox, task_id: str) -> dict[str, Any]:
    task = klap.outcome(f"/tasks/{task_id}")
    shorts = klap.call("GET", f"/projects/{task['output_id']}").json() if task["output_type"] == "folder" else []
    return {"type": task["type"], "ids": [task_id, task["output_id"], *(short["id"] for short in shorts)]}


@dataclass
class Recorder(Played):
    """A task whose waits are recorded."""

    waits: list[dict[str, Any]] | None = None

    def _in_the_triggerer(self, deferral: TaskDeferred) -> TriggerEvent:
        for run in self.supervisor.runs.values():
            run.state = "success"
        assert self.waits is not None
        path, kwargs = deferral.trigger.serialize()
        wait = {"task_id": self.task_id, "map_index": self.map_index, "trigger": path, "trigger_kwargs": kwargs}
        next_step = {"next_method": deferral.method_name, "next_kwargs": deferral.kwargs or {}}
        self.waits.append(json_copy({**wait, **next_step}))
        return super()._in_the_triggerer(deferral)


@pytest.mark.usefixtures("in_doubt_window_over")
def test_record(
    klap: Sandbox, connect: Callable[..., None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("klap_provider.rules.attempt_log.PATIENCE", ())
    monkeypatch.setattr("klap_provider.operators.asset_event.FIRST_EVENT_TIMEOUT", 1)
    connect(klap.url, poke_interval=0.1, first_poll=2)
    run, waits = StoredRun(supervisor, str(tmp_path)), []

    def play(task_id: str, map_index: int = -1) -> Recorder:
        task = Recorder(supervisor, run.make(task_id, map_index), map_index=map_index, waits=waits)
        task.run()
        return task

    klap.fault("POST", "/exports$", "status", code=401)  # the first export is refused, and its first attempt is void
    for task_id, index in MAIN_PATH:
        if (task_id, index) == ("short.export", 0):
            with pytest.raises(KlapError):
                play(task_id, index)
        play(task_id, index)
    klap.fault("POST", "/exports$", "accept_then_drop")
    with pytest.raises(KlapError):
        play("in_doubt")
    klap.fault("POST", "^/tasks/", "drop")
    with pytest.raises(KlapError):
        play("reuse")
    (attempt,) = [key for key in supervisor.ledger if key.startswith("request.")]
    supervisor.ledger[f"resend.{attempt}"] = "true"
    for task_id in OTHERS:
        play(task_id)
    published = ("return_value", "klap_outcome", "klap_cost")
    supervisor.started_run = OtherRun("running", {key: supervisor.xcom("publish", key) for key in published})
    for task_id, index in BATCH:
        play(task_id, index)

    rows = {key: json.loads(row) for key, row in sorted(supervisor.ledger.items())}
    xcoms = [
        {"task_id": task_id, "key": key, "map_index": index, "value": json.loads(value)}
        for (task_id, key), values in sorted(supervisor._xcoms.items())
        for index, value in sorted(values.items())
    ]
    jobs = jobs_of(klap)
    words = {**words_of(jobs, {}, klap.root, HOST), str(tmp_path): FOLDER}
    folder = DATA / __version__
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(FILES, (jobs, waits, xcoms, rows), strict=True):
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{replaced(text, words)}\n", encoding="utf-8")
