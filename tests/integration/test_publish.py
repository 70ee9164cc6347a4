"""Publish: the manifest, the asset event and the cost of a run."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk.execution_time import comms
from airflow.sdk.io import attach

from klap_provider.errors import KlapIncompleteError
from klap_provider.files.storage import asset_uri
from klap_provider.operators import PublishShortsOperator, asset_event
from klap_provider.rules.ledger_keys import event_entry
from tests.support import airflow_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor

TALK = "https://example.com/talk.mp4"
STEPS = ["short.export", "short.wait_for_export", "short.deliver"]
BEFORE = ["submit", "wait_for_shorts", "select_shorts"]


def short(index: int) -> dict[str, Any]:
    """Return a selected short."""
    return {
        "project_id": f"project{index}",
        "folder_id": "folder01",
        "short_name": f"Señal {index}",
        "virality_score": 90 - index,
        "explanation": None,
        "preview_url": f"https://klap.app/player/project{index}",
    }


def file(index: int) -> dict[str, Any]:
    """Return the result of a delivery."""
    return {
        "project_id": f"project{index}",
        "export_id": f"export{index}",
        "path": f"file:///data/{index}.mp4",
        "size": 1000 + index,
        "sha256": f"{index:064x}",
        "sidecar": f"file:///data/{index}.json",
        "publication_captions": {"tiktok": f"Señal {index} #fyp"},
        "transcript": "So here is the thing.",
    }


def video(index: int) -> dict[str, Any]:
    """Return the result of a wait for an export, as far as publish uses it."""
    return {"project_id": f"project{index}", "src_url": f"https://videos.example.com/{index}.mp4"}


def delivered(index: int) -> dict[str, Any]:
    """Return a delivered short of the manifest, which does not repeat the long texts of the sidecar."""
    facts = {**short(index), **video(index), **file(index)}
    return {name: facts[name] for name in facts if name not in ("publication_captions", "transcript")}


@pytest.fixture
def publish(airflow: Callable[..., Played], tmp_path: Path) -> Callable[..., Played]:
    """Make the publish task of a run with this number of shorts, or with these shorts."""

    def task(shorts: int | list[dict[str, Any]] | None, **fields: Any) -> Played:
        given = {
            "steps": STEPS,
            "shorts": [short(index) for index in range(shorts)] if isinstance(shorts, int) else shorts,
            "source_video_url": TALK,
            "klap_task_id": "task000000000000",
            "folder_id": "folder01",
            "destination": str(tmp_path),
            "subfolder": "task000000000000",
            **fields,
        }

        def make() -> PublishShortsOperator:
            operator = PublishShortsOperator(task_id="publish", **given)
            for task_id in (*BEFORE, *STEPS):
                EmptyOperator(task_id=task_id) >> operator
            return operator

        return airflow(make)

    return task


@pytest.fixture
def run(supervisor: Supervisor) -> Callable[[int], None]:
    """Set all earlier tasks to success, with this number of shorts."""

    def succeed(shorts: int) -> None:
        supervisor.states |= dict.fromkeys(BEFORE, "success")
        for index in range(shorts):
            supervisor.states |= {f"{step}_{index}": "success" for step in STEPS}
            supervisor.put_xcom(STEPS[-2], video(index), map_index=index)
            supervisor.put_xcom(STEPS[-1], file(index), map_index=index)

    return succeed


def fail(supervisor: Supervisor, index: int, step: int, error: str | None) -> None:
    """Set a short to failed at a step, with or without an error."""
    supervisor.states[f"{STEPS[step]}_{index}"] = "failed"
    supervisor.forget_xcoms(STEPS[step], index)
    for later in STEPS[step + 1 :]:
        supervisor.states[f"{later}_{index}"] = "upstream_failed"
        supervisor.forget_xcoms(later, index)
    if error:
        failure = {"error": error, "type": "KlapError", "project_id": f"project{index}"}
        supervisor.put_xcom(STEPS[step], failure, "klap_error", map_index=index)


def fail_before(supervisor: Supervisor, step: int, error: str | None) -> None:
    """Set a run to failed before there were shorts."""
    supervisor.states[BEFORE[step]] = "failed"
    for later in (*BEFORE[step + 1 :], *STEPS):
        supervisor.states[later] = "upstream_failed"
    if error:
        failure = {"error": error, "type": "KlapError", "project_id": None}
        supervisor.put_xcom(BEFORE[step], failure, "klap_error")


def manifest(tmp_path: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((tmp_path / "task000000000000" / "manifest.json").read_text())
    return written


def test_a_complete_run_returns_its_counts_and_writes_its_manifest(
    publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(2)
    before = datetime.now(timezone.utc).replace(microsecond=0)  # the manifest has whole seconds
    result = publish(2).run()
    (own,) = (tmp_path / "task000000000000" / "runs").iterdir()
    assert own.read_text() == (tmp_path / "task000000000000" / "manifest.json").read_text()
    assert result == {
        "manifest": f"file://{own}",
        "delivered": 2,
        "paths": ["file:///data/0.mp4", "file:///data/1.mp4"],
        "cost": None,
    }
    written = manifest(tmp_path)
    assert before <= datetime.fromisoformat(written.pop("written_at")) <= datetime.now(timezone.utc)
    assert written == {
        "source_video_url": TALK,
        "klap_task_id": "task000000000000",
        "folder_id": "folder01",
        "dag_id": "videos",
        "run_id": "monday",
        "delivered": [delivered(0), delivered(1)],
        "missing": [],
        "left_out": {},
        "problem": None,
        "cost": None,
        "review": None,
    }


def test_errors_of_steps_are_not_read_if_all_shorts_are_delivered(
    supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None]
) -> None:
    run(2)
    publish(2, submissions=1).run()
    assert not [message for message in supervisor.messages if "klap_error" in message]


def test_each_run_has_a_manifest_of_its_own_in_a_shared_folder(
    publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(2)
    folder = tmp_path / "task000000000000"

    def bill_of(path: str) -> tuple[str, float, int]:
        bill = json.loads((folder / "runs" / path.rpartition("/")[2]).read_text())
        return bill["run_id"], bill["cost"]["input_videos"], len(bill["delivered"])

    first = publish(1, submissions=1).run()["manifest"]
    monkeypatch.setattr(airflow_context, "RUN_ID", "tuesday 2026-11-24T10:00:00+00:00")
    run(2)
    second = publish(2, submissions=0).run()["manifest"]
    assert [bill_of(path) for path in (first, second)] == [("monday", 1, 1), (airflow_context.RUN_ID, 0, 2)]
    assert manifest(tmp_path)["run_id"] == airflow_context.RUN_ID, "the latest"

    monkeypatch.setattr(airflow_context, "RUN_ID", "monday")
    assert publish(2, submissions=1).run()["manifest"] == first
    assert bill_of(first) == ("monday", 1, 2)
    assert (manifest(tmp_path)["run_id"], len(list((folder / "runs").iterdir()))) == ("monday", 2)


def test_a_short_without_a_folder_is_published(
    publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(1)
    video = {**short(0), "folder_id": None, "virality_score": None}
    assert publish([video], folder_id="").run()["delivered"] == 1
    written = json.loads((tmp_path / "task000000000000" / "manifest.json").read_text())
    assert (written["folder_id"], written["problem"], written["missing"]) == (None, None, [])
    assert [(each["folder_id"], each["virality_score"]) for each in written["delivered"]] == [(None, None)]


def test_a_complete_run_records_one_event_of_its_destinations_asset(
    publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(2)
    task = publish(2)
    result = task.run()
    uri = f"file://{tmp_path}"
    assert task.asset_events() == [
        {
            "source_alias_name": "klap_shorts",
            "dest_asset_key": {"name": uri, "uri": uri},
            "dest_asset_extra": {},
            "extra": {
                "source_video_url": TALK,
                "klap_task_id": "task000000000000",
                "manifest": result["manifest"],
                "shorts": [
                    {
                        "name": f"Señal {index}",
                        "virality_score": 90 - index,
                        "explanation": None,
                        "duration": None,
                        **{name: fact for name, fact in file(index).items() if name != "export_id"},
                    }
                    for index in (0, 1)
                ],
            },
        }
    ]


def test_concurrent_first_events_of_a_destination_wait_for_each_other(
    supervisor: Supervisor,
    publish: Callable[..., Played],
    run: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(1)
    uri, waits = f"file://{tmp_path}", []
    supervisor.ledger[f"door.{event_entry('klap_shorts', uri)}"] = json.dumps({"closed_by": "another run"})

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            supervisor.assets.append(uri)

    monkeypatch.setattr(asset_event, "FIRST_EVENT_TIMEOUT", 30)
    monkeypatch.setattr(asset_event, "time", SimpleNamespace(sleep=sleep))
    task = publish(1)
    task.run()
    assert len(waits) == 2
    assert len(task.asset_events()) == 1

    later = publish(1)
    later.run()
    assert len(later.asset_events()) == 1
    assert len(waits) == 2, "the asset is known, so no run waits"


def test_assets_are_listed_only_for_the_second_run_of_a_destination(
    supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(1)
    lists = []
    for _ in range(4):
        supervisor.messages.clear()
        task = publish(1)
        task.run()
        assert len(task.asset_events()) == 1
        lists.append(sum("GetAssetsByAlias" in message for message in supervisor.messages))
        supervisor.assets = [f"file://{tmp_path}"]
    assert lists == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("destination", "uri"),
    [
        ("memory://conn_id@bucket/shorts/", "memory://{}bucket/shorts"),
        (
            "memory://bucket/all clips, 100% of 東京",
            "memory://{}bucket/all%20clips%2C%20100%25%20of%20%E6%9D%B1%E4%BA%AC",
        ),
    ],
)
def test_an_asset_uri_has_no_connection_and_only_ascii_characters(
    supervisor: Supervisor, destination: str, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CONN_ID", '{"conn_type": "generic"}')
    memory = fsspec.filesystem("memory")
    for conn_id in (None, "conn_id"):
        attach("memory", conn_id, fs=memory)
    assert asset_uri(destination) == uri.format("/")


@pytest.mark.parametrize("asset_alias", [None, "our_shorts"])
def test_the_asset_alias_can_be_renamed_or_switched_off(
    publish: Callable[..., Played], run: Callable[[int], None], asset_alias: str | None
) -> None:
    run(1)
    task = publish(1, asset_alias=asset_alias)
    task.run()
    assert [event["source_alias_name"] for event in task.asset_events()] == ([asset_alias] if asset_alias else [])
    operator = PublishShortsOperator(
        task_id="publish", steps=STEPS, shorts=None, source_video_url=TALK, asset_alias=asset_alias
    )
    assert [outlet.name for outlet in operator.outlets] == ([asset_alias] if asset_alias else [])


def test_a_run_without_shorts_records_no_event(publish: Callable[..., Played], run: Callable[[int], None]) -> None:
    run(0)
    task = publish(0)
    task.run()
    assert task.asset_events() == []


def test_a_failed_run_records_its_event_when_it_is_complete(
    supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None]
) -> None:
    run(2)
    fail(supervisor, 1, 1, "too slow")
    task = publish(2)
    with pytest.raises(KlapIncompleteError):
        task.run()
    assert task.asset_events() == []
    run(2)
    task.run()
    (event,) = task.asset_events()
    assert [short["project_id"] for short in event["extra"]["shorts"]] == ["project0", "project1"]


def test_shorts_without_scores_are_reported_in_manifest_log_and_summary(
    supervisor: Supervisor, publish: Callable[..., Played], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.states |= dict.fromkeys(BEFORE, "success")
    listed = [{**short(index), "virality_score": None, "reason": "no_score"} for index in range(4)]
    supervisor.put_xcom("select_shorts", [*listed, {**short(5), "reason": "below_minimum"}], "klap_shorts")
    task = publish(0, submissions=1, list_task_id="select_shorts")
    assert task.run()["delivered"] == 0
    assert manifest(tmp_path)["left_out"] == {"no_score": 4, "below_minimum": 1}
    assert "Klap gave 4 of 5 shorts no virality score" in capsys.readouterr().out
    assert task._last is not None
    assert task._last[0].summary == "0 delivered, 4 without a score, $2.04"


def test_the_manifest_is_readable_text_that_ends_in_a_newline(
    publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(1)
    publish(1).run()
    text = (tmp_path / "task000000000000" / "manifest.json").read_text(encoding="utf-8")
    assert "Señal 0" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize(("step", "named"), enumerate(["export", "wait_for_export", "deliver"]))
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_missing_short_is_named_with_its_step_and_its_error(
    supervisor: Supervisor,
    publish: Callable[..., Played],
    run: Callable[[int], None],
    tmp_path: Path,
    step: int,
    named: str,
    index: int,
) -> None:
    run(3)
    fail(supervisor, index, step, "Klap refused.")
    task = publish(3)
    with pytest.raises(
        KlapIncompleteError,
        match=rf"^{named} of 'Señal {index}': Klap refused\. 2 of 3 .*runs/videos_monday_\w+\.json\.",
    ):
        task.run()
    others = [other for other in range(3) if other != index]
    written = manifest(tmp_path)
    assert written["delivered"] == [delivered(other) for other in others]
    src_url = video(index)["src_url"] if named == "deliver" else None
    assert written["missing"] == [{**short(index), "src_url": src_url, "step": named, "error": "Klap refused."}]
    outcome = task.xcom("klap_outcome")
    assert [(short["path"], short["error"]) for short in outcome] == [
        (None, "Klap refused.") if at == index else (f"file:///data/{at}.mp4", None) for at in range(3)
    ]
    assert outcome[index] == {
        "project_id": f"project{index}",
        "path": None,
        "size": None,
        "src_url": src_url,
        "step": named,
        "error": "Klap refused.",
    }
    assert written["problem"] is None
    assert task.xcom("klap_error")["type"] == "KlapIncompleteError"


@pytest.mark.parametrize(("step", "named"), enumerate(["export", "wait_for_export", "deliver"]))
def test_a_short_whose_task_was_killed_without_an_error_is_named(
    supervisor: Supervisor,
    publish: Callable[..., Played],
    run: Callable[[int], None],
    tmp_path: Path,
    step: int,
    named: str,
) -> None:
    run(2)
    fail(supervisor, 0, step, None)
    with pytest.raises(KlapIncompleteError, match=f"{named} of 'Señal 0'.*ended in the state failed"):
        publish(2).run()
    (missing,) = manifest(tmp_path)["missing"]
    assert (missing["step"], missing["project_id"]) == (named, "project0")
    assert "see its log" in missing["error"]


def test_each_missing_short_is_named_with_its_own_error(
    supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(4)
    fail(supervisor, 0, 2, "disk full")
    fail(supervisor, 2, 0, "no credits")
    fail(supervisor, 3, 1, None)
    with pytest.raises(KlapIncompleteError, match="1 of 4"):
        publish(4).run()
    missing = {m["project_id"]: (m["step"], m["error"]) for m in manifest(tmp_path)["missing"]}
    assert missing.pop("project3")[0] == "wait_for_export"
    assert missing == {"project0": ("deliver", "disk full"), "project2": ("export", "no credits")}


def test_a_skipped_wait_leaves_its_short_missing(
    supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(1)
    supervisor.states |= {f"{STEPS[1]}_0": "skipped", f"{STEPS[2]}_0": "skipped"}
    supervisor.forget_xcoms(STEPS[-1], 0)
    with pytest.raises(KlapIncompleteError):
        publish(1).run()
    (missing,) = manifest(tmp_path)["missing"]
    assert missing["step"] == "wait_for_export"
    assert "skipped" in missing["error"]


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("error", ["Klap refused.", None])
def test_a_run_that_failed_before_its_shorts_names_the_first_failure(
    supervisor: Supervisor,
    publish: Callable[..., Played],
    run: Callable[[int], None],
    tmp_path: Path,
    step: int,
    error: str | None,
) -> None:
    run(0)
    fail_before(supervisor, step, error)
    problem = f"{BEFORE[step]}: {error or 'the task ended in the state failed without an error; see its log'}"
    with pytest.raises(KlapIncompleteError, match=rf"^{problem.rstrip('.')}\. Nothing was delivered, see .*"):
        publish(None, folder_id="").run()
    written = manifest(tmp_path)
    assert (written["problem"], written["delivered"], written["missing"]) == (problem, [], [])


@pytest.mark.parametrize(("kind", "is_told_to_clear"), [("KlapJobFailedError", False), ("KlapAuthError", True)])
def test_a_task_that_failed_at_klap_needs_a_new_run_and_no_clear(
    supervisor: Supervisor,
    publish: Callable[..., Played],
    run: Callable[[int], None],
    kind: str,
    is_told_to_clear: bool,
) -> None:
    run(0)
    fail_before(supervisor, 1, "Start a new run.")
    supervisor.put_xcom(BEFORE[1], {"error": "Start a new run.", "type": kind, "project_id": None}, "klap_error")
    with pytest.raises(KlapIncompleteError, match=r"Start a new run\. Nothing was delivered") as failure:
        publish(None, folder_id="").run()
    assert ("clear the whole run" in str(failure.value)) == is_told_to_clear


def test_a_video_that_was_never_submitted_has_no_manifest(
    supervisor: Supervisor, publish: Callable[..., Played], tmp_path: Path
) -> None:
    fail_before(supervisor, 0, "The Klap account is out of credits.")
    task = publish(None, klap_task_id="", folder_id="", subfolder="")
    with pytest.raises(KlapIncompleteError, match=rf"^submit: .*out of credits.* There are no shorts of {TALK}"):
        task.run()
    assert list(tmp_path.iterdir()) == []
    assert task.xcom("klap_outcome") == [], "the Shorts tab shows no shorts"


@pytest.mark.parametrize("skipped", [[], STEPS])
def test_a_run_without_selected_shorts_is_a_success(
    supervisor: Supervisor,
    publish: Callable[..., Played],
    run: Callable[[int], None],
    tmp_path: Path,
    skipped: list[str],
) -> None:
    run(0)
    supervisor.states |= dict.fromkeys(skipped, "skipped")
    assert publish(0).run()["delivered"] == 0
    written = manifest(tmp_path)
    assert (written["delivered"], written["missing"], written["problem"]) == ([], [], None)


def test_a_cleared_run_that_delivers_all_rewrites_its_manifest(
    supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None], tmp_path: Path
) -> None:
    run(2)
    fail(supervisor, 1, 1, "too slow")
    task = publish(2)
    with pytest.raises(KlapIncompleteError):
        task.run()
    supervisor.forget_xcoms(STEPS[1], 1)
    run(2)
    assert task.run()["delivered"] == 2
    assert manifest(tmp_path)["missing"] == []
    assert {path.name for path in (tmp_path / "task000000000000").iterdir()} == {"manifest.json", "runs"}
    assert len([*(tmp_path / "task000000000000" / "runs").iterdir()]) == 1


# Cost


@pytest.fixture
def costly(supervisor: Supervisor, publish: Callable[..., Played], run: Callable[[int], None]) -> Callable[..., Played]:
    """Make the publish task of a run with five generated shorts and two paid exports per selected short."""

    def task(shorts: int = 2, **fields: Any) -> Played:
        run(shorts)
        supervisor.put_xcom("select_shorts", [short(index) for index in range(5)], "klap_shorts")
        for index in range(shorts):
            supervisor.put_xcom(STEPS[0], {"project_id": f"project{index}", "paid": 2}, map_index=index)
        return publish(shorts, **{"submissions": "{{ 1 }}", "list_task_id": "select_shorts", **fields})

    return task


LIST_PRICES = {"input_video": 0.44, "generated_short": 0.32, "export": 0.48}


def test_a_run_returns_and_logs_its_cost(
    costly: Callable[..., Played], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cost = {
        "input_videos": 1,
        "generated_shorts": 5,
        "exports": 4,
        "total": 3.96,
        "currency": "USD",
        "prices": LIST_PRICES,
        "estimated": True,
    }
    task = costly()
    assert task.run()["cost"] == task.xcom("klap_cost") == cost
    assert manifest(tmp_path)["cost"] == cost
    assert "5 generated shorts × $0.32 + 4 exports × $0.48 = $3.96" in capfd.readouterr().out


def test_a_missing_short_counts_in_the_cost(
    supervisor: Supervisor, costly: Callable[..., Played], tmp_path: Path
) -> None:
    task = costly()
    fail(supervisor, 0, 1, "render_failed")
    fail(supervisor, 1, 0, None)
    failure = {"error": "402", "type": "KlapCreditsError", "project_id": "project1", "paid": 1}
    supervisor.put_xcom(STEPS[0], failure, "klap_error", map_index=1)
    with pytest.raises(KlapIncompleteError):
        task.run()
    assert manifest(tmp_path)["cost"]["exports"] == task.xcom("klap_cost")["exports"] == 3


def test_prices_come_from_the_connection(
    connect: Callable[..., None], costly: Callable[..., Played], tmp_path: Path
) -> None:
    connect(None, price_input_video=1, price_generated_short="0.5", price_export=0.25)
    costly().run()
    cost = manifest(tmp_path)["cost"]
    assert (cost["total"], cost["estimated"]) == (4.5, False)
    assert cost["prices"] == {"input_video": 1, "generated_short": 0.5, "export": 0.25}


def test_the_number_of_generated_shorts_is_unknown_without_a_list(
    costly: Callable[..., Played], tmp_path: Path
) -> None:
    costly(0, list_task_id="wait_for_shorts").run()
    cost = manifest(tmp_path)["cost"]
    assert (cost["input_videos"], cost["generated_shorts"], cost["total"]) == (1, None, 0.44)


@pytest.mark.parametrize(("fields", "videos"), [({"submissions": "0"}, 0), ({"list_task_id": None}, 1)])
def test_generated_shorts_cost_nothing_for_reused_tasks_and_whole_videos(
    costly: Callable[..., Played], tmp_path: Path, fields: dict[str, Any], videos: int
) -> None:
    costly(**fields).run()
    cost = manifest(tmp_path)["cost"]
    assert (cost["input_videos"], cost["generated_shorts"], cost["exports"]) == (videos, 0, 4)


def test_a_video_that_was_never_submitted_costs_nothing(
    supervisor: Supervisor, publish: Callable[..., Played], capfd: pytest.CaptureFixture[str]
) -> None:
    fail_before(supervisor, 0, "The Klap account is out of credits.")
    with pytest.raises(KlapIncompleteError):
        publish(None, klap_task_id="", submissions="0", list_task_id="select_shorts").run()
    assert "Cost of the run: 0 input videos × $0.44 + 0 generated" in capfd.readouterr().out


def test_a_ledger_that_cannot_be_written_does_not_fail_publish(
    publish: Callable[..., Played], run: Callable[[int], None], supervisor: Supervisor
) -> None:
    run(1)
    supervisor.broken = (comms.SetAssetStateStoreByName,)
    assert publish(1).run()["delivered"] == 1


def test_an_asset_event_that_cannot_be_recorded_does_not_fail_publish(
    publish: Callable[..., Played],
    run: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(1)
    monkeypatch.setattr("klap_provider.files.storage.asset_uri", lambda _: "airflow://what Airflow refuses")
    task = publish(1)
    assert task.run()["delivered"] == 1
    assert task.asset_events() == []
    assert "Recording the asset event failed" in caplog.text
