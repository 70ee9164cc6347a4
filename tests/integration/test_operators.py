"""Submit, list and export: paid once, and invalid input fails before anything is paid."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSkipException
from airflow.sdk.execution_time import comms

from klap_provider.errors import (
    KlapAuthError,
    KlapChangedError,
    KlapConfigError,
    KlapConnectionError,
    KlapCreditsError,
    KlapError,
    KlapInputError,
    KlapLookUpError,
    KlapNoResponseError,
    KlapNoShortsError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapSubmitPendingError,
    KlapSubmitUncertainError,
)
from klap_provider.operators import ExportShortOperator, ListShortsOperator, SubmitShortsOperator, SubmitVideoOperator
from klap_provider.operators.base import KlapOperator
from klap_provider.operators.failures import reports_failure
from klap_provider.rules.in_doubt import LATE_ARRIVAL
from klap_provider.rules.ledger_keys import delivered_entry, export_log, submission_log
from klap_provider.sensors import TaskStatusSensor
from klap_provider.xcoms import LEDGER
from tests.support.airflow_context import API_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.operators.video import KlapVideoOperator
    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    Connect = Callable[..., None]
    MakeShorts = Callable[..., list[dict[str, Any]]]
    MakeVideo = Callable[[], dict[str, Any]]

TALK = "https://example.com/talk.mp4"
POST_TASK = "^/tasks/video-to-(shorts|video)$"
POST_EXPORT = "^/projects/.*/exports$"
LIST = "^/projects/[^/]+$"

LOST_RESPONSES = [
    pytest.param("accept_then_drop", {}, 1, id="accepted, then dropped"),
    pytest.param("delay", {"seconds": 2}, 1, id="accepted, answered too late"),
    pytest.param("drop", {}, 0, id="dropped"),
    pytest.param("status", {"code": 500}, 0, id="500"),
    pytest.param("status", {"code": 503}, 0, id="503 without Retry-After"),
    pytest.param("status", {"code": 503, "headers": {"Retry-After": "0"}}, 0, id="503 that is not the API's"),
    pytest.param("html", {}, 0, id="a web page"),
    pytest.param("status", {"code": 408}, 0, id="408"),
    pytest.param("html", {"code": 499}, 0, id="499"),
    pytest.param("empty", {}, 0, id="an empty body"),
    pytest.param("redirect", {"location": "https://login.example.com/"}, 0, id="a redirect"),
]

REFUSALS = [
    (401, KlapAuthError, "API key"),
    (402, KlapCreditsError, "out of credits"),
    (403, KlapAuthError, "API key"),
    (404, KlapNotFoundError, "does not have"),
    (422, KlapRejectedError, "Correct the parameters"),
]

# The in-doubt window is over at once. tests/unit/test_idempotent_submit.py tests what happens during it.
pytestmark = pytest.mark.usefixtures("in_doubt_window_over")


#: The ledger key of the first attempt to submit in these tests.
ENTRY = f"{submission_log('videos', 'monday', 'submit', -1)}.0"

#: Runs a test with each of the two operators that submit a video.
of_either = pytest.mark.parametrize("operator", [SubmitShortsOperator, SubmitVideoOperator])


def submit(operator: type[KlapVideoOperator] = SubmitShortsOperator, **fields: Any) -> Callable[[], KlapVideoOperator]:
    return lambda: operator(task_id="submit", **{"source_video_url": TALK, **fields})


@pytest.fixture(params=["of a folder", "without a folder"])
def short(request: pytest.FixtureRequest, make_shorts: MakeShorts, make_video: MakeVideo) -> dict[str, Any]:
    """A project of Klap: one of several shorts, or a whole video."""
    return make_shorts()[0] if request.param == "of a folder" else make_video()


def export(short: dict[str, Any], **fields: Any) -> Callable[[], ExportShortOperator]:
    ids = {"project_id": short["id"], "folder_id": short["folder_id"]}
    return lambda: ExportShortOperator(task_id="export", **{**ids, **fields})


def listing(folder_id: str = "folder01", **fields: Any) -> Callable[[], ListShortsOperator]:
    return lambda: ListShortsOperator(task_id="list", folder_id=folder_id, **fields)


def posts(klap: Sandbox, path: str) -> int:
    return len(klap.requests("POST", path))


# SubmitShortsOperator


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"source_video_url": ""}, "source_video_url"),
        ({"source_video_url": "talk.mp4"}, "source_video_url"),
        ({"source_video_url": "ftp://example.com/talk.mp4"}, "source_video_url"),
        ({"max_clip_count": 0}, "max_clip_count"),
        ({"target_clip_count": 0}, "target_clip_count"),
        ({"min_duration": 0}, "min_duration"),
        ({"min_duration": 121}, "min_duration"),
        ({"max_duration": 181}, "max_duration"),
        ({"target_duration": 121}, "target_duration"),
        ({"min_duration": 61, "max_duration": 60}, "min_duration.*max_duration"),
        ({"dimensions": {"width": 1}}, "dimensions.width"),
        ({"dimensions": {"depth": 3}}, "dimensions.depth"),
        ({"editing_options": {"captions": "perhaps"}}, "editing_options.captions"),
        ({"transcription_context": "x" * 1001}, "transcription_context"),
    ],
)
def test_a_submission_with_invalid_fields_is_refused_at_parse_time(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        submit(**wrong)()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"source_video_url": "talk.mp4"}, "source_video_url"),
        ({"aspect_ratio": "2:1"}, "aspect_ratio"),
        ({"dimensions": {"width": 1}}, "dimensions.width"),
        ({"transcription_context": "x" * 1001}, "transcription_context"),
    ],
)
def test_a_whole_video_with_invalid_fields_is_refused(
    klap: Sandbox, airflow: Airflow, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        submit(SubmitVideoOperator, **wrong)()
    templated = {name: f"{{{{ {value!r} }}}}" for name, value in wrong.items() if isinstance(value, str)}
    if templated:
        with pytest.raises(KlapInputError, match=named):
            airflow(submit(SubmitVideoOperator, **templated)).run()
    assert klap.requests() == []


def test_a_whole_video_has_no_counts_or_durations() -> None:
    with pytest.raises(TypeError, match="max_clip_count"):
        submit(SubmitVideoOperator, max_clip_count=3)()


@pytest.mark.parametrize(
    "templated",
    [
        {"source_video_url": "{{ params.url }}"},
        {"max_clip_count": "{{ params.clips }}"},
        {"dimensions": {"width": "{{ params.width }}"}},
        {"source_video_url": "{% if true %}ftp{% endif %}"},
    ],
)
def test_templates_are_not_validated_at_parse_time(templated: dict[str, Any]) -> None:
    operator = submit(**templated)()
    assert {name: getattr(operator, name) for name in templated} == templated


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"source_video_url": "{{ '' }}"}, "source_video_url"),
        ({"source_video_url": "{{ ' talk.mp4' }}"}, r"must be a complete address .*\(got ' talk\.mp4'\)"),
        ({"source_video_url": "{{ 'ftp://example.com/talk.mp4' }}"}, "source_video_url"),
        ({"max_clip_count": "{{ 0 }}"}, "max_clip_count"),
        ({"max_clip_count": "{{ 'many' }}"}, "max_clip_count"),
        ({"min_duration": "{{ 61 }}", "max_duration": 60}, "min_duration"),
    ],
)
def test_a_template_with_an_invalid_value_is_refused_before_the_post(
    klap: Sandbox, airflow: Airflow, wrong: dict[str, Any], named: str
) -> None:
    task = airflow(submit(**wrong))
    with pytest.raises(KlapInputError, match=named):
        task.run()
    assert klap.requests() == []
    assert task.store == {}


@of_either
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "192.168.0.7", "10.1.2.3", "[::1]", "nas", "nas.local", "minio.lan:9000"]
)
def test_a_private_video_url_is_refused_before_the_post(
    connect: Connect, airflow: Airflow, host: str, operator: type[KlapVideoOperator]
) -> None:
    connect("https://api.klap.app/v2")
    task = airflow(submit(operator, source_video_url=f"http://{host}/talk.mp4"))
    with pytest.raises(KlapInputError, match="source_video_url"):
        task.run()
    assert task.store == {}


def test_a_missing_connection_is_named_with_what_to_do(airflow: Airflow) -> None:
    with pytest.raises(KlapConfigError, match=r"no Airflow connection 'klap_studio'.*klap_conn_id"):
        airflow(submit(klap_conn_id="klap_studio")).run()


@pytest.mark.parametrize("password", [None, "", "  "])
def test_a_connection_without_a_key_is_refused_before_the_post(
    klap: Sandbox, connect: Connect, airflow: Airflow, password: str | None
) -> None:
    connect(klap.url, password=password)
    with pytest.raises(KlapConfigError, match=r"'klap_default'.*Password"):
        airflow(submit()).run()
    assert klap.requests() == []


OF_VIDEO: dict[str, Any] = {
    "language": "en",
    "translate_to": "es",
    "transcription_context": "Klap, Airflow",
    "name": "Talk",
    "dimensions": {"width": 720, "height": 1280},
    "style_preset_id": "preset",
    "editing_options": {"captions": False, "remove_silences": True},
}
OF_SHORTS = {"target_clip_count": 3, "max_clip_count": 5, "min_duration": 10, "max_duration": 60, "target_duration": 30}


@pytest.mark.parametrize(
    ("operator", "path", "fields"),
    [
        (SubmitShortsOperator, "/tasks/video-to-shorts", OF_VIDEO | OF_SHORTS),
        (SubmitVideoOperator, "/tasks/video-to-video", OF_VIDEO),
    ],
)
def test_only_fields_that_were_set_are_sent(
    supervisor: Supervisor,
    klap: Sandbox,
    airflow: Airflow,
    operator: type[KlapVideoOperator],
    path: str,
    fields: dict[str, Any],
) -> None:
    plain = submit(operator)()
    assert fields.keys() | {"source_video_url"} == plain.request_type.model_fields.keys()
    assert plain.request_type.model_fields.keys() <= set(plain.template_fields)
    airflow(submit(operator)).run()
    supervisor.ledger.clear()
    airflow(submit(operator, **fields)).run()
    assert [request["path"] for request in klap.requests("POST")] == [path, path]
    assert [entry["body"] for entry in klap.ledger("task")] == [
        {"source_video_url": TALK},
        {"source_video_url": TALK, **fields},
    ]


def test_numbers_and_booleans_may_come_from_templates(klap: Sandbox, airflow: Airflow) -> None:
    airflow(submit(max_clip_count="{{ 4 }}", editing_options={"captions": "{{ false }}"})).run()
    (entry,) = klap.ledger("task")
    assert entry["body"] == {"source_video_url": TALK, "max_clip_count": 4, "editing_options": {"captions": False}}


@of_either
def test_empty_fields_of_a_form_are_not_sent(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator]
) -> None:
    airflow(
        submit(operator, language="", name=None, editing_options={"captions": None}, dimensions={"width": 720})
    ).run()
    (entry,) = klap.ledger("task")
    assert set(entry["body"]) - {"editing_options"} == {"source_video_url", "dimensions"}
    assert entry["body"]["dimensions"] == {"width": 720}


def test_a_submission_is_sent_for_the_user_of_its_connection(klap: Sandbox, connect: Connect, airflow: Airflow) -> None:
    connect(klap.url, on_behalf_of=(user := klap.user()))
    airflow(submit()).run()
    assert [entry["on_behalf_of"] for entry in klap.ledger()] == [user]


def test_a_submission_returns_the_task_and_its_submission_time(klap: Sandbox, airflow: Airflow) -> None:
    result = airflow(submit()).run()
    (entry,) = klap.ledger("task")
    assert result == {
        "klap_task_id": entry["id"],
        "submitted_at": result["submitted_at"],
        "paid": 1,
        "destination": None,
        "video": TALK,
        "name": None,
        "dimensions": None,
        "reservation": None,
    }
    assert result["submitted_at"].endswith("+00:00")


@of_either
@pytest.mark.parametrize("is_given", [False, True])
def test_a_submission_returns_its_settings_without_secrets(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator], is_given: bool
) -> None:
    first = airflow(submit(operator)).run() if is_given else {}
    asked = {"name": "The talk", "aspect_ratio": "1:1", "klap_task_id": first.get("klap_task_id")}
    result = airflow(submit(operator, source_video_url=f"{TALK}?token=s3cr3t", **asked)).run()
    assert (result["name"], result["dimensions"]) == ("The talk", {"width": 1080, "height": 1080})
    assert result["video"].startswith(f"{TALK}?…")


def test_settings_that_are_not_sent_are_not_checked(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = airflow(submit()).run()["klap_task_id"]
    result = airflow(submit(klap_task_id=klap_task_id, aspect_ratio="{{ 'odd' }}")).run()
    assert (result["klap_task_id"], result["dimensions"]) == (klap_task_id, None)


@of_either
def test_retries_and_clears_return_the_submitted_task_and_pay_once(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator]
) -> None:
    task = airflow(submit(operator))
    results = [task.run() for _ in range(3)]
    assert len(klap.ledger()) == 1
    assert results[0] == results[1] == results[2]


def test_a_paid_submission_is_in_the_ledger(supervisor: Supervisor, klap: Sandbox, airflow: Airflow) -> None:
    airflow(submit(name="The talk", language="en", editing_options={"emojis": False})).run()
    (billed,) = klap.ledger()
    rows = {name: json.loads(row) for name, row in supervisor.ledger.items()}
    attempt = rows[ENTRY]
    assert (attempt["run"], attempt["inputs"]["language"]) == ("videos monday", "en")
    [payment] = [row for name, row in rows.items() if name.startswith("paid.")]
    assert payment == {
        "version": 1,
        "id": billed["id"],
        "run": "videos monday",
        "at": attempt["submitted_at"],
        "price": 0.44,
        "estimated": True,
        "what": "video-to-shorts of The talk",
        "video": TALK,
        "settings": "Language: English, Emojis: no",
        "entry": ENTRY,
    }
    assert API_KEY not in str(supervisor.ledger)


def test_the_ledger_is_an_inlet_of_the_dag_but_not_of_a_started_task() -> None:
    mine = Asset("mine")
    with DAG("videos", schedule=None):
        task = ExportShortOperator(task_id="export", project_id="p1", inlets=[mine])
    started = task.prepare_for_execution()
    assert (task.inlets, started.inlets) == ([mine, Asset(LEDGER)], [mine])


def test_the_query_of_an_address_is_not_in_the_ledger(supervisor: Supervisor, klap: Sandbox, airflow: Airflow) -> None:
    airflow(submit(source_video_url=f"{TALK}?token=secret")).run()
    assert "secret" not in str(supervisor.ledger)
    task = airflow(submit(source_video_url=f"{TALK}?token=other"))
    task.tries = 4
    task.clear()
    with pytest.raises(KlapChangedError, match=r"source_video_url was .*talk.mp4\?…"):
        task.run()


def test_a_clear_that_deletes_the_task_state_store_pays_nothing_again(klap: Sandbox, airflow: Airflow) -> None:
    first = airflow(submit()).run()
    assert airflow(submit()).run() == first  # a task instance with another id has another store
    assert len(klap.ledger()) == 1


def test_a_worker_that_dies_before_it_writes_its_xcom_has_paid_once(klap: Sandbox, airflow: Airflow) -> None:
    dead = airflow(submit())
    dead.run()
    dead.supervisor.forget_xcoms("submit", -1)
    assert dead.run()["klap_task_id"] == klap.ledger()[0]["id"]
    assert len(klap.ledger()) == 1


def test_a_refused_resend_with_changed_inputs_leaves_the_paid_task_known(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow
) -> None:
    task = airflow(submit())
    first = task.run()
    klap.fault("POST", POST_TASK, "status", code=402, times=2)
    task.make = submit(name="Another")
    supervisor.ledger[f"resend.{ENTRY}"] = "true"
    for _ in range(2):
        with pytest.raises(KlapCreditsError):
            task.run()
    del supervisor.ledger[f"resend.{ENTRY}"]
    task.make = submit()
    assert task.run() == first
    supervisor.ledger[f"resend.{ENTRY}"] = "true"
    task.make = submit(name="Another")
    assert task.run()["klap_task_id"] != first["klap_task_id"]
    assert len(klap.ledger()) == 2


CHANGES = [
    ({"name": "Another"}, 'name was not set and is "Another"'),
    ({"source_video_url": TALK.replace("talk", "other")}, "source_video_url was"),
    ({"max_clip_count": 2}, "max_clip_count was"),
]


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_a_retry_with_changed_inputs_returns_the_paid_task(
    klap: Sandbox, airflow: Airflow, change: dict[str, Any], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = airflow(submit())
    first = task.run()
    task.make = submit(**change)
    assert task.run() == first
    assert len(klap.ledger()) == 1


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_changed_inputs_after_a_clear_are_named_and_the_user_decides(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow, change: dict[str, Any], named: str
) -> None:
    task = airflow(submit())
    first = task.run()
    task.make = submit(**change)
    for _ in range(2):
        task.clear()
        with pytest.raises(KlapChangedError, match=named):
            task.run()
    supervisor.ledger[f"adopt.{ENTRY}"] = json.dumps(first["klap_task_id"])
    task.clear()
    assert task.run()["klap_task_id"] == first["klap_task_id"]
    del supervisor.ledger[f"adopt.{ENTRY}"]
    supervisor.ledger[f"resend.{ENTRY}"] = "true"
    task.clear()
    assert task.run()["klap_task_id"] == klap.ledger()[1]["id"]


def test_a_changed_on_behalf_of_user_is_named_as_a_difference(
    klap: Sandbox, connect: Connect, airflow: Airflow
) -> None:
    connect(klap.url, on_behalf_of=(one := klap.user()))
    task = airflow(submit())
    task.run()
    task.make = submit(on_behalf_of=(another := klap.user()))
    with pytest.raises(KlapChangedError, match=f'on_behalf_of was "{one}" and is "{another}"'):
        task.run()
    assert [entry["on_behalf_of"] for entry in klap.ledger()] == [one]


def test_a_new_run_with_the_id_of_a_deleted_run_reuses_its_task(klap: Sandbox, airflow: Airflow) -> None:
    first = airflow(submit()).run()
    assert airflow(submit()).run()["klap_task_id"] == first["klap_task_id"]
    other_video = submit(source_video_url="https://example.com/other.mp4")
    with pytest.raises(KlapChangedError, match=r"talk\.mp4.*other\.mp4"):
        airflow(other_video).run()
    assert len(klap.ledger()) == 1


def test_mapped_tasks_submit_each_video_once_although_the_list_changes(klap: Sandbox, airflow: Airflow) -> None:
    def mapped(*names: str) -> list[Any]:
        return [submit(source_video_url=f"https://example.com/{name}.mp4") for name in names]

    tasks = [airflow(make, map_index=index) for index, make in enumerate(mapped("a", "b", "b"))]
    first = [task.run()["klap_task_id"] for task in tasks]
    assert first[1] == first[2]
    for task, task.make in zip(tasks, mapped("new", "a", "b"), strict=True):
        task.clear()
    for moved in tasks[:2]:
        with pytest.raises(KlapChangedError):
            moved.run()
    assert tasks[2].run()["klap_task_id"] == first[1]
    assert airflow(mapped("a")[0], map_index=3).run()["klap_task_id"] == first[0]
    assert len(klap.ledger()) == 2


def test_a_mapped_task_of_another_run_submits_again_unless_reuse_is_on(
    klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow(submit(), map_index=0).run()
    monkeypatch.setattr("tests.support.airflow_context.RUN_ID", "tuesday")
    second = airflow(submit(), map_index=0).run()
    monkeypatch.setattr("tests.support.airflow_context.RUN_ID", "wednesday")
    assert airflow(submit(reuse=True), map_index=0).run()["klap_task_id"] == second["klap_task_id"]
    assert len(klap.ledger()) == 2


def test_another_run_submits_again_unless_reuse_is_on(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monday = airflow(submit()).run()
    monkeypatch.setattr("tests.support.airflow_context.RUN_ID", "tuesday")
    for switch in (False, None, "False", "no", 0):
        monkeypatch.setattr("tests.support.airflow_context.RUN_ID", f"run {switch!r}")
        airflow(submit(reuse=switch)).run()
    assert len(klap.ledger()) == 6
    monkeypatch.setattr("tests.support.airflow_context.RUN_ID", "saturday")
    saturday = airflow(submit(reuse=True)).run()
    assert saturday == {**saturday, "klap_task_id": klap.ledger()[-1]["id"], "paid": 0}
    assert saturday["klap_task_id"] != monday["klap_task_id"]
    for switch in ("yes", 1, "TRUE"):
        monkeypatch.setattr("tests.support.airflow_context.RUN_ID", f"saturday {switch!r}")
        assert airflow(submit(reuse=switch)).run()["paid"] == 0
    with pytest.raises(KlapInputError, match=r"reuse.*perhaps"):
        airflow(submit(reuse="{{ 'perhaps' }}")).run()
    monkeypatch.setattr("tests.support.airflow_context.RUN_ID", "sunday")
    assert airflow(submit(reuse="{{ True }}", max_clip_count=2)).run()["paid"] == 1
    assert len(klap.ledger()) == 7


def test_project_ids_require_a_klap_task_id(klap: Sandbox, airflow: Airflow) -> None:
    with pytest.raises(ValueError, match="needs klap_task_id"):
        submit(project_ids=["short0000001"])()
    with pytest.raises(KlapInputError, match="needs klap_task_id"):
        airflow(submit(project_ids=["short0000001"], name="{{ 'x' }}")).run()
    assert klap.requests() == []


@pytest.mark.parametrize("user", [None, "", " "])
def test_an_operator_without_a_user_acts_for_the_user_of_its_connection(
    klap: Sandbox, connect: Connect, airflow: Airflow, user: str | None
) -> None:
    connect(klap.url, on_behalf_of=(own := klap.user()))
    airflow(submit(on_behalf_of=user)).run()
    assert [request["on_behalf_of"] for request in klap.requests(path="^/tasks/")] == [own]


@pytest.mark.parametrize("user", ["user\r\nX-Evil: 1", "usér", "user\x00"])
@pytest.mark.parametrize(
    "make",
    [
        lambda user: submit(on_behalf_of=user),
        lambda user: listing(on_behalf_of=user),
        lambda user: export({"id": "short0000001", "folder_id": "folder01"}, on_behalf_of=user),
        lambda user: lambda: TaskStatusSensor(task_id="wait", klap_task_id="task000000000000", on_behalf_of=user),
    ],
    ids=["submit", "list", "export", "wait"],
)
def test_a_user_that_is_no_valid_header_is_refused_before_any_request(
    klap: Sandbox, airflow: Airflow, make: Callable[[str], Any], user: str
) -> None:
    with pytest.raises(KlapInputError, match=r"on_behalf_of is .*id of a managed user"):
        airflow(make(user)).run()
    assert klap.requests() == []


@of_either
def test_a_task_that_failed_at_klap_is_submitted_again(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator]
) -> None:
    klap.fault("POST", POST_TASK, "job_error", error_code="no_speech")
    task = airflow(submit(operator))
    failed, sound = task.run(), task.run()
    assert failed["klap_task_id"] != sound["klap_task_id"]
    assert task.run() == sound
    assert len(klap.ledger()) == 2


@pytest.mark.parametrize("code", [401, 404])
def test_a_task_whose_status_cannot_be_read_is_not_submitted_again(klap: Sandbox, airflow: Airflow, code: int) -> None:
    task = airflow(submit())
    first = task.run()
    klap.fault("GET", "^/tasks/", "status", code=code, body={"message": "no"})
    with pytest.raises(KlapError):
        task.run()
    assert task.run() == first
    assert len(klap.ledger()) == 1


@of_either
@pytest.mark.parametrize(("action", "more", "billed"), LOST_RESPONSES)
def test_a_submission_in_doubt_fails_and_is_never_sent_again(
    klap: Sandbox,
    connect: Connect,
    airflow: Airflow,
    action: str,
    more: dict[str, Any],
    billed: int,
    operator: type[KlapVideoOperator],
) -> None:
    connect(klap.url, read_timeout=1)
    klap.fault("POST", POST_TASK, action, **more)
    task = airflow(submit(operator))
    words = []
    for _ in range(3):
        with pytest.raises(KlapSubmitUncertainError, match=r"adopt\.submission\..*resend\.submission\.") as stop:
            task.run()
        words.append(str(stop.value))
    assert words[0] == words[1] == words[2]
    open_decision = task.xcom("klap_error")["open_decision"]
    assert open_decision["entry"] in words[0]
    assert open_decision["sent_at"] in words[0]
    assert (open_decision["jobs"], open_decision["price"], open_decision["estimated"]) == ([], 0.44, True)
    assert posts(klap, POST_TASK) == 1
    assert len(klap.ledger()) == billed


@of_either
def test_a_submission_in_doubt_continues_with_a_given_task_id_for_free(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator]
) -> None:
    klap.fault("POST", POST_TASK, "accept_then_drop")
    task = airflow(submit(operator))
    with pytest.raises(KlapSubmitUncertainError):
        task.run()
    (billed,) = klap.ledger()
    task.make = submit(operator, klap_task_id=billed["id"])
    result = task.run()
    created_at = klap.call("GET", f"/tasks/{billed['id']}").json()["created_at"]
    assert result["klap_task_id"] == billed["id"]
    assert datetime.fromisoformat(result["submitted_at"]) == datetime.fromisoformat(created_at.replace("Z", "+00:00"))
    assert task.run() == result, "a clear does not restart the time"
    assert posts(klap, POST_TASK) == 1


def test_a_resend_decision_in_the_ledger_pays_for_the_video_once_more(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow
) -> None:
    task = airflow(submit())
    first = task.run()
    supervisor.ledger[f"resend.{ENTRY}"] = "true"
    task.clear()
    second = task.run()
    assert task.run() == second
    assert [entry["id"] for entry in klap.ledger()] == [first["klap_task_id"], second["klap_task_id"]]


def test_a_given_task_that_klap_does_not_have_fails_at_once(klap: Sandbox, airflow: Airflow) -> None:
    with pytest.raises(KlapNotFoundError, match="nosuchtask"):
        airflow(submit(klap_task_id="nosuchtask")).run()
    assert klap.ledger() == []


@of_either
def test_a_submission_in_doubt_is_resolved_by_an_adopt_decision(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator]
) -> None:
    klap.fault("POST", POST_TASK, "accept_then_drop")
    task = airflow(submit(operator))
    with pytest.raises(KlapSubmitUncertainError):
        task.run()
    supervisor.ledger[f"adopt.{ENTRY}"] = json.dumps(klap.ledger()[0]["id"])
    task.clear()
    results = [task.run() for _ in range(2)]
    assert results[0] == results[1] == {**results[0], "klap_task_id": klap.ledger()[0]["id"], "paid": 1}
    assert len(klap.ledger()) == 1


def test_a_refused_resend_leaves_the_submission_in_doubt(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow
) -> None:
    klap.fault("POST", POST_TASK, "drop")
    task = airflow(submit())
    with pytest.raises(KlapSubmitUncertainError):
        task.run()
    klap.fault("POST", POST_TASK, "status", code=402)
    supervisor.ledger[f"resend.{ENTRY}"] = "true"
    with pytest.raises(KlapCreditsError):
        task.run()
    del supervisor.ledger[f"resend.{ENTRY}"]
    with pytest.raises(KlapSubmitUncertainError):
        task.run()
    assert klap.ledger() == []


@pytest.mark.parametrize(
    "answer",
    [{"id": "t1"}, {"id": 17}, {"id": "t1", "status": "processing", "output_id": 5}, {"task": {"id": "t1"}}],
    ids=str,
)
def test_a_response_to_a_paid_request_only_needs_the_id(
    klap: Sandbox, airflow: Airflow, answer: dict[str, Any]
) -> None:
    klap.fault("POST", POST_TASK, "status", code=200, body=answer)
    assert airflow(submit()).run()["klap_task_id"] in ("t1", "17")


def test_an_unreadable_response_to_a_paid_request_is_quoted_in_the_error(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("POST", POST_TASK, "status", code=200, body={"ticket": {"no": 5}, "at": "https://a.example/?key=secret"})
    with pytest.raises(KlapSubmitUncertainError) as uncertain:
        airflow(submit()).run()
    error = f"{uncertain.value} {uncertain.value.__cause__}"
    assert "ticket" in error
    assert "secret" not in error


@of_either
@pytest.mark.parametrize(("code", "kind", "advice"), REFUSALS)
def test_a_refused_submission_fails_at_once_with_klaps_message(
    klap: Sandbox, airflow: Airflow, code: int, kind: type[KlapError], advice: str, operator: type[KlapVideoOperator]
) -> None:
    body = {"message": "unprocessable-entity", "error_code": "video_too_long"}
    klap.fault("POST", POST_TASK, "status", code=code, body=body)
    task = airflow(submit(operator))
    with pytest.raises(kind, match=rf"HTTP {code} \(video_too_long: unprocessable-entity\).*{advice}"):
        task.run()
    assert posts(klap, POST_TASK) == 1
    assert task.store == {}


@pytest.mark.parametrize("code", [429, 503])
def test_a_short_retry_after_is_waited_for_in_the_task(klap: Sandbox, airflow: Airflow, code: int) -> None:
    klap.fault("POST", POST_TASK, "status", code=code, headers={"Retry-After": "1"}, body={"message": "busy"})
    result = airflow(submit()).run()
    refused, taken = klap.requests("POST", POST_TASK)
    assert taken["at"] - refused["at"] >= 1
    assert [entry["id"] for entry in klap.ledger()] == [result["klap_task_id"]]


def test_a_long_retry_after_is_left_to_airflows_retry(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("POST", POST_TASK, "status", code=429, headers={"Retry-After": "900"})
    task = airflow(submit())
    with pytest.raises(KlapRateLimitError) as asked:
        task.run()
    assert asked.value.retry_after == 900
    assert task.store == {}
    task.run()
    assert len(klap.ledger()) == 1


def test_an_unreachable_host_is_named_and_nothing_is_recorded(
    connect: Connect, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    connect("http://127.0.0.1:9/v2")
    task = airflow(submit())
    with pytest.raises(KlapConnectionError, match=r"127\.0\.0\.1:9.*api\.klap\.app"):
        task.run()
    assert task.store == {}
    assert len(waits) == 3


@pytest.mark.parametrize("broken", [comms.GetAssetStateStoreByName, comms.SetAssetStateStoreByName])
def test_nothing_is_submitted_without_the_state_store(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow, broken: type
) -> None:
    supervisor.broken = (broken,)
    with pytest.raises(AirflowRuntimeError):
        airflow(submit()).run()
    assert klap.requests("POST") == []


@pytest.mark.parametrize("failures", [1, 3])
def test_a_failed_ledger_write_after_the_post_does_not_lose_the_id(
    supervisor: Supervisor, klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    monkeypatch.setattr("klap_provider.operators.ledger.WRITE_RETRY_DELAYS", (0, 0))
    healthy, writes = supervisor.send, 0

    def fails_after_the_post(msg: Any) -> Any:
        nonlocal writes
        if isinstance(msg, comms.SetAssetStateStoreByName):
            writes += 1
            supervisor.broken = (comms.SetAssetStateStoreByName,) if 4 <= writes < 4 + failures else ()
        return healthy(msg)

    monkeypatch.setattr(supervisor, "send", fails_after_the_post)
    task = airflow(submit())
    if failures == 1:
        assert task.run()["klap_task_id"] == klap.ledger()[0]["id"]
    else:
        with pytest.raises(KlapError, match=f"adopt.{ENTRY}") as lost:
            task.run()
        assert klap.ledger()[0]["id"] in str(lost.value)
        with pytest.raises(KlapSubmitUncertainError):
            task.run()
    assert len(klap.ledger()) == 1


def test_a_failed_task_leaves_its_error_in_an_xcom(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("POST", POST_TASK, "status", code=402)
    task = airflow(submit())
    with pytest.raises(KlapCreditsError) as failure:
        task.run()
    assert task.xcom("klap_error") == {"error": str(failure.value), "type": "KlapCreditsError", "project_id": None}
    task.run()
    assert task.xcom("klap_error") is None


def test_an_api_key_in_klaps_response_is_not_in_the_error(
    klap: Sandbox, airflow: Airflow, capfd: pytest.CaptureFixture[str]
) -> None:
    klap.fault("POST", POST_TASK, "status", code=403, body={"message": f"key {API_KEY} may not"})
    task = airflow(submit())
    with pytest.raises(KlapAuthError, match=r"key \*\*\* may not"):
        task.run()
    assert API_KEY not in "".join(capfd.readouterr())


# ListShortsOperator


def project(project_id: str, score: Any = None, **fields: Any) -> dict[str, Any]:
    return {"id": project_id, "folder_id": "folder01", "name": f"Short {project_id}", "virality_score": score, **fields}


def scores(klap: Sandbox, airflow: Airflow, listed: list[dict[str, Any]], **fields: Any) -> list[tuple[str, Any]]:
    klap.fault("GET", LIST, "status", code=200, body=listed)
    return [(short["project_id"], short["virality_score"]) for short in airflow(listing(**fields)).run()]


def test_shorts_are_listed_best_first_in_a_stable_order(klap: Sandbox, airflow: Airflow) -> None:
    listed = [project("c", 40), project("a", 87), project("none"), project("b", 40), project("zero", 0)]
    best_first = [("a", 87), ("b", 40), ("c", 40), ("zero", 0), ("none", None)]
    assert scores(klap, airflow, listed) == best_first
    assert scores(klap, airflow, listed[::-1]) == best_first


@pytest.mark.parametrize(
    ("answered", "shown"),
    [([0.871, 0.4, None], [87, 40, None]), ([87.1, 1, 0.4], [87, 1, 0]), ([120, -3, "high"], [100, 0, None])],
)
def test_both_scales_of_scores_are_shown_as_whole_numbers_up_to_100(
    klap: Sandbox, airflow: Airflow, answered: list[Any], shown: list[int | None]
) -> None:
    listed = [project(f"p{index}", score) for index, score in enumerate(answered)]
    assert sorted(scores(klap, airflow, listed)) == [(f"p{index}", score) for index, score in enumerate(shown)]


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"min_virality_score": 50}, ["a", "b"]),
        ({"min_virality_score": 50.5}, ["a"]),
        ({"min_virality_score": 0}, ["a", "b", "c", "none"]),
        ({"min_virality_score": "{{ 50 }}", "limit": "{{ 1 }}"}, ["a"]),
        ({"limit": 2}, ["a", "b"]),
        ({"limit": 9}, ["a", "b", "c", "none"]),
        ({"min_virality_score": 100}, []),
    ],
)
def test_minimum_and_limit_leave_the_best(
    klap: Sandbox, airflow: Airflow, fields: dict[str, Any], chosen: list[str]
) -> None:
    listed = [project("c", 10), project("none"), project("a", 90), project("b", 50)]
    assert [name for name, _ in scores(klap, airflow, listed, **fields)] == chosen


def test_a_listed_short_has_the_fields_that_the_next_steps_need(
    klap: Sandbox, connect: Connect, airflow: Airflow
) -> None:
    connect(klap.url, player_url="https://play.example.com/")
    bare = {"id": "p2"}
    full = project("p1", 87, virality_score_explanation="It has a hook.", duration=31.5)
    klap.fault("GET", LIST, "status", code=200, body=[bare, full])
    assert airflow(listing()).run() == [
        {
            "project_id": "p1",
            "folder_id": "folder01",
            "short_name": "Short p1",
            "virality_score": 87,
            "explanation": "It has a hook.",
            "preview_url": "https://play.example.com/p1",
            "duration": 31.5,
        },
        {
            "project_id": "p2",
            "folder_id": "folder01",
            "short_name": "p2",
            "virality_score": None,
            "explanation": None,
            "preview_url": "https://play.example.com/p2",
            "duration": None,
        },
    ]


def test_the_xcom_of_all_shorts_has_the_reasons_of_the_selection(klap: Sandbox, airflow: Airflow) -> None:
    listed = [project("low", 10), project("best", 90), project("next", 80), project("none")]
    klap.fault("GET", LIST, "status", code=200, body=listed)
    task = airflow(listing(min_virality_score=20, limit=1))
    selected = task.run()
    shorts = task.xcom("klap_shorts")
    assert [(short["project_id"], short.pop("reason")) for short in shorts] == [
        ("best", None),
        ("next", "beyond_limit"),
        ("low", "below_minimum"),
        ("none", "no_score"),
    ]
    extra = {"embed_url": "https://klap.app/embed/best", "exported": False}
    assert shorts[:1] == [{**short, **extra} for short in selected]
    assert task.xcom("klap_offer") == {
        "price": 0.48,
        "estimated": True,
        "spent": 1.72,
        "covered": None,
        "deadline": None,
    }


@pytest.mark.parametrize("change", [{"grow": 1}, {"rescore": True}, {"grow": 2, "rescore": True}], ids=str)
def test_a_selection_and_its_order_stay_when_the_list_changes(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, change: dict[str, Any]
) -> None:
    folder_id = make_shorts(4)[0]["folder_id"]
    task = airflow(listing(folder_id, limit=2))
    selected = [short["project_id"] for short in task.run()]
    klap.fault("GET", LIST, "changed_list", **change)

    assert [short["project_id"] for short in task.run()] == selected


def test_a_selected_short_that_is_not_listed_is_kept_until_its_delivery(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, supervisor: Supervisor
) -> None:
    shorts = make_shorts(3)
    task = airflow(listing(shorts[0]["folder_id"], list_timeout=0.1, allow_empty=True))
    task.run()
    exported = airflow(export(shorts[0])).run()["project_id"]
    klap.fault("GET", LIST, "status", times=None, code=200, body=shorts[2:])
    assert {(short["project_id"], short["folder_id"]) for short in task.run()} == {
        (short["id"], short["folder_id"]) for short in (shorts[0], shorts[2])
    }
    supervisor.ledger[delivered_entry("videos", "monday", exported)] = "{}"
    assert [short["project_id"] for short in task.run()] == [shorts[2]["id"]]


def test_a_list_that_lacks_a_selected_short_is_polled_again(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorts = make_shorts(2)
    task = airflow(listing(shorts[0]["folder_id"], deferrable=False))
    first = task.run()
    monkeypatch.setattr("klap_provider.rules.list_complete.MAX_LIST_INTERVAL", 0.2)
    klap.fault("GET", LIST, "status", code=200, body=shorts[:1])

    assert task.run() == first


def test_a_run_selects_again_from_the_shorts_of_another_task(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    task = airflow(listing(make_shorts(2)[0]["folder_id"], limit=1))
    task.run()
    another = make_shorts(3)
    task.make = listing(another[0]["folder_id"], limit=2)

    assert len(task.run()) == 2
    assert {short["project_id"] for short in task.run()} < {short["id"] for short in another}


@pytest.mark.parametrize(("deferrable", "workers"), [(True, 2), (False, 1)])
def test_a_late_list_is_waited_for(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, deferrable: bool, workers: int
) -> None:
    short = make_shorts(1)[0]
    klap.fault("GET", f"^/projects/{short['folder_id']}$", "late_list", polls=1)
    task = airflow(listing(short["folder_id"], deferrable=deferrable))
    assert [found["project_id"] for found in task.run()] == [short["id"]]
    assert task.workers == workers
    assert [path.rpartition(".")[2] for path, _ in task.triggers] == ["ShortsListTrigger"] * (workers - 1)


def test_a_404_of_the_list_just_after_the_task_is_ready_is_retried(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    short = make_shorts(1)[0]
    klap.fault("GET", f"^/projects/{short['folder_id']}$", "status", code=404)
    assert [found["project_id"] for found in airflow(listing(short["folder_id"])).run()] == [short["id"]]


def the_video(project_id: str, **fields: Any) -> Callable[[], ListShortsOperator]:
    return lambda: ListShortsOperator(task_id="find", project_id=project_id, **fields)


def test_a_captioned_video_is_listed_without_folder_and_score(
    klap: Sandbox, airflow: Airflow, make_video: MakeVideo
) -> None:
    video = make_video()
    task = airflow(the_video(video["id"]))
    found = {
        "project_id": video["id"],
        "folder_id": None,
        "short_name": "Talk",
        "virality_score": None,
        "explanation": None,
        "preview_url": f"https://klap.app/player/{video['id']}",
        "duration": video["duration"],
    }
    assert task.run() == [found]
    assert task.xcom("klap_shorts") == [
        {**found, "reason": None, "embed_url": f"https://klap.app/embed/{video['id']}", "exported": False}
    ]


@pytest.mark.parametrize(("deferrable", "workers"), [(True, 2), (False, 1)])
def test_a_404_of_a_captioned_video_just_after_its_task_is_retried(
    klap: Sandbox, airflow: Airflow, make_video: MakeVideo, deferrable: bool, workers: int
) -> None:
    video = make_video()
    klap.fault("GET", LIST, "status", code=404)
    task = airflow(the_video(video["id"], deferrable=deferrable))
    assert [found["project_id"] for found in task.run()] == [video["id"]]
    assert task.workers == workers
    targets = [kwargs["target"] for _, kwargs in task.triggers]
    which = [(target["folder_id"], target["project_id"]) for target in targets]
    assert which == [(None, video["id"])] * (workers - 1)


@pytest.mark.parametrize("allow_empty", [True, False])
def test_a_captioned_video_that_klap_never_has_is_an_error(klap: Sandbox, airflow: Airflow, allow_empty: bool) -> None:
    with pytest.raises(KlapNotFoundError, match=r"GET /projects/nowhere00001: HTTP 404"):
        airflow(the_video("nowhere00001", list_timeout=0.3, allow_empty=allow_empty)).run()


@pytest.mark.parametrize("ids", [{}, {"folder_id": "folder01", "project_id": "short0000001"}])
def test_a_list_needs_either_a_folder_or_a_project(ids: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"one of folder_id \(video-to-shorts\) and project_id \(video-to-video\)"):
        ListShortsOperator(task_id="list", **ids)


@pytest.mark.parametrize("deferrable", [True, False])
def test_no_shorts_at_the_timeout_is_an_error(klap: Sandbox, airflow: Airflow, deferrable: bool) -> None:
    klap.fault("GET", LIST, "status", times=None, code=200, body=[])
    task = airflow(listing(list_timeout=0.3, deferrable=deferrable))
    with pytest.raises(KlapNoShortsError, match=r"folder01.*needs speech.*allow_empty"):
        task.run()
    assert task.xcom("klap_error")["type"] == "KlapNoShortsError"


@pytest.mark.parametrize("deferrable", [True, False])
def test_no_shorts_with_allow_empty_is_an_empty_list(klap: Sandbox, airflow: Airflow, deferrable: bool) -> None:
    klap.fault("GET", LIST, "status", times=None, code=200, body=[])
    assert airflow(listing(list_timeout=0.3, deferrable=deferrable, allow_empty=True)).run() == []


def test_an_unknown_folder_is_an_error_even_with_allow_empty(klap: Sandbox, airflow: Airflow) -> None:
    with pytest.raises(KlapNotFoundError):
        airflow(listing("nowhere1", list_timeout=0.3, allow_empty=True)).run()
    assert klap.requests("GET", "^/projects/nowhere1$")


def test_a_list_with_a_refused_key_fails_at_once(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("GET", LIST, "status", code=401, times=None)
    task = airflow(listing())
    with pytest.raises(KlapAuthError):
        task.run()
    assert task.triggers == []
    assert len(klap.requests("GET", LIST)) == 1


@pytest.mark.parametrize(("field", "value"), [("min_virality_score", 101), ("min_virality_score", -1), ("limit", 0)])
def test_filters_out_of_range_are_refused_before_any_request(
    klap: Sandbox, airflow: Airflow, field: str, value: int
) -> None:
    with pytest.raises(ValueError, match=field):
        listing(**{field: value})()
    with pytest.raises(KlapInputError, match=field):
        airflow(listing(**{field: f"{{{{ {value} }}}}"})).run()
    assert klap.requests() == []


@pytest.mark.parametrize("folder_id", ["", " ", ".", ".."])
def test_an_invalid_folder_id_is_refused_before_any_request(klap: Sandbox, airflow: Airflow, folder_id: str) -> None:
    with pytest.raises(KlapInputError, match="folder_id"):
        airflow(listing(folder_id)).run()
    assert klap.requests() == []


# ExportShortOperator


@pytest.mark.parametrize("watermark", [None, {}, {"src_url": ""}, {"src_url": None, "pos_x": 0.5}])
def test_an_export_without_a_watermark_sends_an_empty_object(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, watermark: Any
) -> None:
    airflow(export(make_shorts()[0], watermark=watermark)).run()
    assert [entry["body"] for entry in klap.ledger("export")] == [{}]


@pytest.mark.parametrize(
    "watermark",
    [
        {"src_url": "https://example.com/logo.png"},
        {"src_url": "https://example.com/logo.png", "pos_x": 0.1, "pos_y": 1.0, "scale": 0.25},
    ],
)
def test_a_watermark_is_sent_as_it_was_set(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, watermark: dict[str, Any]
) -> None:
    airflow(export(make_shorts()[0], watermark=watermark)).run()
    assert [entry["body"] for entry in klap.ledger("export")] == [{"watermark": watermark}]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"src_url": "logo.png"}, "watermark.src_url"),
        ({"src_url": "https://example.com/logo.png", "pos_x": 1.5}, "watermark.pos_x"),
        ({"src_url": "https://example.com/logo.png", "pos_y": -0.1}, "watermark.pos_y"),
        ({"src_url": "https://example.com/logo.png", "scale": 0}, "watermark.scale"),
        ({"src_url": "https://example.com/logo.png", "position": "left"}, "watermark.position"),
    ],
)
def test_an_invalid_watermark_is_refused_before_any_request(
    klap: Sandbox, airflow: Airflow, wrong: dict[str, Any], named: str
) -> None:
    short = {"id": "short0000001", "folder_id": "folder01"}
    with pytest.raises(ValueError, match=named):
        export(short, watermark=wrong)()
    templated = {name: f"{{{{ {value!r} }}}}" for name, value in wrong.items()}
    with pytest.raises(KlapInputError, match=named):
        airflow(export(short, watermark=templated)).run()
    assert klap.requests() == []


def test_a_private_watermark_url_is_refused_before_any_request(connect: Connect, airflow: Airflow) -> None:
    connect("https://api.klap.app/v2")
    short = {"id": "short0000001", "folder_id": "folder01"}
    with pytest.raises(KlapInputError, match=r"watermark\.src_url"):
        airflow(export(short, watermark={"src_url": "http://10.0.0.1/logo.png"})).run()


def test_an_export_returns_the_fields_that_the_next_steps_need(
    klap: Sandbox, airflow: Airflow, short: dict[str, Any]
) -> None:
    result = airflow(export(short)).run()
    (entry,) = klap.ledger("export")
    assert result == {
        "export_id": entry["id"],
        "project_id": short["id"],
        "folder_id": short["folder_id"],
        "submitted_at": result["submitted_at"],
        "paid": 1,
        "entry": f"{export_log(short['id'])}.0",
        "short_name": short["id"],
        "watermark": None,
    }
    address = "/".join(filter(None, ("/projects", short["folder_id"], short["id"], "exports")))
    assert klap.requests("POST")[-1]["path"] == address


def test_an_export_returns_the_name_and_the_watermark_without_secrets(airflow: Airflow, short: dict[str, Any]) -> None:
    mark = {"src_url": "https://example.com/acme.png?token=s3cr3t"}
    result = airflow(export(short, short_name="Intro", watermark=mark)).run()
    assert result["short_name"] == "Intro"
    assert result["watermark"].startswith("https://example.com/acme.png?…")


def test_an_xcom_that_several_templates_use_is_read_once(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor, short: dict[str, Any]
) -> None:
    supervisor.put_xcom("list", {"project_id": short["id"], "name": "Intro"})
    of_the_list = {
        "project_id": "{{ ti.xcom_pull('list').project_id }}",
        "short_name": "{{ ti.xcom_pull('list').name }}",
    }
    result = airflow(export(short, **of_the_list)).run()
    assert result["project_id"] == short["id"]
    assert sum('"task_id":"list"' in message for message in supervisor.messages) == 1


def test_an_export_is_paid_once_across_retries_and_clears(
    klap: Sandbox, airflow: Airflow, short: dict[str, Any]
) -> None:
    task = airflow(export(short))
    assert task.run() == task.run() == task.run()
    assert len(klap.ledger("export")) == 1


def test_another_watermark_is_another_export(klap: Sandbox, airflow: Airflow, short: dict[str, Any]) -> None:
    task = airflow(export(short))
    plain = task.run()
    task.make = export(short, watermark={"src_url": "https://example.com/logo.png"})
    assert task.run()["export_id"] != plain["export_id"]
    assert len(klap.ledger("export")) == 2


@pytest.mark.parametrize(("action", "more", "billed"), LOST_RESPONSES)
def test_an_export_whose_response_is_lost_is_adopted_and_paid_once(
    klap: Sandbox,
    connect: Connect,
    airflow: Airflow,
    short: dict[str, Any],
    action: str,
    more: dict[str, Any],
    billed: int,
) -> None:
    connect(klap.url, read_timeout=1)
    klap.fault("POST", POST_EXPORT, action, **more)
    task = airflow(export(short))
    with pytest.raises(KlapError) as lost:
        task.run()
    assert lost.value.transient
    assert len(klap.ledger("export")) == billed
    if not billed:  # which the list does not prove
        with pytest.raises(KlapSubmitUncertainError, match="has no export of yours"):
            task.run()
        return
    adopted = task.run()
    assert task.run() == adopted
    assert [entry["id"] for entry in klap.ledger("export")] == [adopted["export_id"]]


@pytest.mark.parametrize("other", ["of the same folder", "of another folder"])
def test_a_lost_export_is_sent_again_if_the_list_shows_other_exports(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, other: str
) -> None:
    short, sibling = make_shorts(2)
    shown = sibling if other == "of the same folder" else make_shorts(1)[0]
    airflow(export(shown), map_index=1).run()
    task = airflow(export(short))
    klap.fault("POST", POST_EXPORT, "drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    assert task.run()["project_id"] == short["id"]
    assert len(klap.ledger("export")) == 2


def test_a_lost_export_is_sent_again_if_the_list_shows_another_lost_one(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    tasks = [airflow(export(short), map_index=index) for index, short in enumerate(make_shorts(2))]
    for task, fault in zip(tasks, ("drop", "accept_then_drop"), strict=True):
        klap.fault("POST", POST_EXPORT, fault)
        with pytest.raises(KlapNoResponseError):
            task.run()
    assert len({task.run()["export_id"] for task in tasks}) == 2
    assert len(klap.ledger("export")) == 2


def test_a_lost_export_is_not_sent_again_during_the_in_doubt_window(
    klap: Sandbox, airflow: Airflow, short: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klap_provider.rules.in_doubt.LATE_ARRIVAL", LATE_ARRIVAL)  # as shipped
    klap.fault("POST", POST_EXPORT, "drop")
    task = airflow(export(short))
    with pytest.raises(KlapNoResponseError):
        task.run()

    with pytest.raises(KlapSubmitPendingError) as pending:
        task.run()

    # 30 s to send it, the connection's 10 s and 60 s, and 180 s in which it may appear, minus the time that has passed
    assert 270 < (pending.value.retry_after or 0) <= 280
    assert posts(klap, POST_EXPORT) == 1


def test_a_known_export_is_not_adopted_as_the_lost_one(klap: Sandbox, airflow: Airflow, short: dict[str, Any]) -> None:
    task = airflow(export(short))
    known = task.run()
    klap.fault("POST", POST_EXPORT, "drop")
    task.make = export(short, watermark={"src_url": "https://example.com/logo.png"})
    with pytest.raises(KlapNoResponseError):
        task.run()
    assert task.run()["export_id"] != known["export_id"]
    assert len(klap.ledger("export")) == 2


def test_a_lost_export_that_failed_at_klap_is_sent_again(
    klap: Sandbox, airflow: Airflow, short: dict[str, Any]
) -> None:
    task = airflow(export(short))
    klap.fault("POST", POST_EXPORT, "accept_then_drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    (lost,) = klap.ledger("export")
    klap.fault("GET", "^/exports$", "status", code=200, body=[{"id": lost["id"], "status": "error", **_ids(lost)}])
    assert task.run()["export_id"] == klap.ledger("export")[1]["id"]


def _ids(entry: dict[str, Any]) -> dict[str, Any]:
    return {"project_id": entry["project_id"], "created_at": "2999-01-01T00:00:00Z"}


def test_a_lost_export_is_not_sent_again_if_the_list_cannot_be_read(
    klap: Sandbox, airflow: Airflow, short: dict[str, Any]
) -> None:
    task = airflow(export(short))
    klap.fault("POST", POST_EXPORT, "accept_then_drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    klap.fault("GET", "^/exports$", "status", code=401)
    with pytest.raises(KlapAuthError):
        task.run()
    assert task.run()["export_id"] == klap.ledger("export")[0]["id"]
    assert posts(klap, POST_EXPORT) == 1


def test_a_lost_export_for_a_user_is_found_in_the_users_list(klap: Sandbox, airflow: Airflow) -> None:
    klap.reset(user_header="required")
    headers = {"X-On-Behalf-Of": (user := klap.user())}
    sent = klap.call("POST", "/tasks/video-to-video", json={"source_video_url": TALK}, headers=headers).json()
    time.sleep(0.02)
    project_id = klap.outcome(f"/tasks/{sent['id']}", headers=headers)["output_id"]
    klap.fault("POST", POST_EXPORT, "accept_then_drop")
    task = airflow(export({"id": project_id, "folder_id": None}, on_behalf_of=user))
    with pytest.raises(KlapNoResponseError):
        task.run()
    assert task.run()["export_id"] == klap.ledger("export")[0]["id"]
    assert posts(klap, POST_EXPORT) == 1


def test_a_lost_export_of_another_short_is_not_adopted(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    one, other = make_shorts(2)
    lost = airflow(export(one))
    airflow(export(other)).run()
    klap.fault("POST", POST_EXPORT, "drop")
    with pytest.raises(KlapNoResponseError):
        lost.run()
    result = lost.run()
    assert {entry["id"]: entry["project_id"] for entry in klap.ledger("export")}[result["export_id"]] == one["id"]


def test_a_list_of_all_exports_does_not_adopt_those_of_another_short(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    one, other = make_shorts(2)
    task = airflow(export(one))
    klap.fault("POST", POST_EXPORT, "drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    airflow(export(other)).run()
    everything = klap.call("GET", "/exports").json()
    klap.fault("GET", "^/exports$", "status", code=200, body=everything)
    assert task.run()["export_id"] not in [listed["id"] for listed in everything]
    assert len(klap.ledger("export")) == 2


def test_an_export_without_a_project_id_is_not_adopted_by_another_short(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    one, other = make_shorts(2)
    task = airflow(export(one))
    klap.fault("POST", POST_EXPORT, "drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    of_other = airflow(export(other)).run()["export_id"]
    of_folder = [{"id": of_other, "status": "processing"}]
    klap.fault("GET", "^/exports$", "status", code=200, body=[])
    klap.fault("GET", "^/exports$", "status", code=200, body=of_folder)
    assert task.run()["export_id"] != of_other


def test_a_lost_export_with_other_settings_is_not_adopted(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    short, watermark = make_shorts()[0], {"src_url": "https://example.com/logo.png"}
    task = airflow(export(short))
    klap.fault("POST", POST_EXPORT, "accept_then_drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    task.make = export(short, watermark=watermark)
    klap.fault("POST", POST_EXPORT, "drop")
    with pytest.raises(KlapNoResponseError):
        task.run()
    export_id = task.run()["export_id"]
    bodies = {entry["id"]: entry["body"] for entry in klap.ledger("export")}
    assert bodies[export_id] == {"watermark": watermark}


def test_an_export_lists_the_exports_of_its_short_before_it_is_sent(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts, supervisor: Supervisor
) -> None:
    short, other = make_shorts(2)
    there = klap.call("POST", f"/projects/{short['folder_id']}/{short['id']}/exports").json()["id"]
    for each in (short, other):
        airflow(export(each)).run()
    assert [poll["query"] for poll in klap.requests("GET", "^/exports$")] == [
        f"project_id={each['id']}" for each in (short, other)
    ]
    attempts = [json.loads(supervisor.ledger[f"{export_log(each['id'])}.0"]) for each in (short, other)]
    assert [attempt.get("known") for attempt in attempts] == [[there], None]


def test_a_lost_export_is_adopted_only_by_a_request_with_its_settings(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    short, watermark = make_shorts()[0], {"src_url": "https://example.com/logo.png"}
    plain, marked = airflow(export(short)), airflow(export(short, watermark=watermark))
    klap.fault("POST", POST_EXPORT, "accept_then_drop")
    with pytest.raises(KlapNoResponseError):
        plain.run()
    made = marked.run()["export_id"]
    bodies = {entry["id"]: entry["body"] for entry in klap.ledger("export")}
    assert bodies[made] == {"watermark": watermark}
    assert bodies[plain.run()["export_id"]] in ({}, None)
    assert len(bodies) == 2


def test_a_slow_response_ends_at_the_timeouts_of_the_connection(
    klap: Sandbox, connect: Connect, airflow: Airflow
) -> None:
    connect(klap.url, connect_timeout=1, read_timeout=2)
    klap.fault("POST", POST_TASK, "drip", seconds=1)
    task = airflow(submit())
    with pytest.raises(KlapSubmitUncertainError) as uncertain:
        task.run()
    assert "within 3 s" in str(uncertain.value.__cause__)


def test_a_selection_does_not_need_the_list_of_exports(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    shorts = make_shorts(2)
    klap.fault("GET", "^/exports$", "status", code=403)
    assert len(airflow(listing(shorts[0]["folder_id"])).run()) == 2
    airflow(export(shorts[0])).run()
    assert len(klap.requests("GET", "^/exports$")) == 2


@pytest.mark.parametrize("destination", ["out/x", "nope://bucket/x"])
def test_an_invalid_destination_is_refused_before_anything_is_paid(
    klap: Sandbox, airflow: Airflow, destination: str
) -> None:
    task = airflow(
        lambda: SubmitShortsOperator(task_id="submit", source_video_url=klap.sample, destination=destination)
    )
    with pytest.raises(KlapInputError, match=f"destination is '{destination}'"):
        task.run()
    assert klap.requests() == []


def test_shorts_that_swap_map_indexes_keep_their_own_exports(
    klap: Sandbox, airflow: Airflow, make_shorts: MakeShorts
) -> None:
    one, other = make_shorts(2)
    left, right = airflow(export(one), map_index=0), airflow(export(other), map_index=1)
    left.run()
    right.run()
    left.make, right.make = export(other), export(one)
    swapped = [left.run(), right.run()]
    projects = {entry["id"]: entry["project_id"] for entry in klap.ledger("export")}
    assert [projects[result["export_id"]] for result in swapped] == [other["id"], one["id"]]
    assert [result["project_id"] for result in swapped] == [other["id"], one["id"]]


def test_an_export_that_failed_at_klap_is_sent_again(klap: Sandbox, airflow: Airflow, short: dict[str, Any]) -> None:
    klap.fault("POST", POST_EXPORT, "job_error", error_code="render_failed")
    task = airflow(export(short))
    failed, sound = task.run(), task.run()
    assert [entry["id"] for entry in klap.ledger("export")] == [failed["export_id"], sound["export_id"]]
    assert task.run() == sound


@pytest.mark.parametrize(("code", "kind", "advice"), REFUSALS)
def test_a_refused_export_fails_at_once_and_records_only_its_error(
    klap: Sandbox, airflow: Airflow, short: dict[str, Any], code: int, kind: type[KlapError], advice: str
) -> None:
    klap.fault("POST", POST_EXPORT, "status", code=code, body={"error": "no"})
    task = airflow(export(short))
    with pytest.raises(kind, match=rf"HTTP {code} \(no\).*{advice}"):
        task.run()
    assert task.xcom("klap_error")["project_id"] == short["id"]
    assert task.store == {}
    assert posts(klap, POST_EXPORT) == 1


def test_an_export_is_shown_under_the_name_of_its_short() -> None:
    operator = export({"id": "p1", "folder_id": "f1"}, short_name="Why we sleep")()
    assert operator.map_index_template == "{{ task.shown_name }}"
    assert operator.shown_name == "Why we sleep"


@pytest.mark.parametrize(("name", "shown"), [("x" * 1000, "x" * 200), ("a\0b", "a\ufffdb"), (None, "p1"), ("", "p1")])
def test_the_name_of_a_short_fits_into_airflows_database(name: str | None, shown: str) -> None:
    assert export({"id": "p1", "folder_id": "f1"}, short_name=name)().shown_name == shown


def test_a_task_with_a_creation_time_in_the_future_counts_from_now(klap: Sandbox, airflow: Airflow) -> None:
    body = {"id": "task000000000000", "status": "processing", "created_at": "2199-01-01T00:00:00Z"}
    klap.fault("GET", "^/tasks/", "status", times=None, code=200, body=body)
    result = airflow(submit(klap_task_id="task000000000000")).run()
    assert datetime.fromisoformat(result["submitted_at"]).timestamp() <= time.time()


@pytest.mark.parametrize("klap_task_id", ["None", "{{ none }}"])
def test_an_id_that_a_template_rendered_as_none_is_refused(klap: Sandbox, airflow: Airflow, klap_task_id: str) -> None:
    with pytest.raises(KlapInputError, match="klap_task_id is 'None', which is not an id"):
        airflow(submit(klap_task_id=klap_task_id)).run()
    assert klap.requests() == []


def test_an_error_that_cannot_be_recorded_does_not_hide_the_failure(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor
) -> None:
    klap.fault("POST", POST_TASK, "status", code=402)
    supervisor.broken = (comms.SetXCom,)
    with pytest.raises(KlapCreditsError):
        airflow(submit()).run()


def test_an_error_of_airflow_is_recorded_like_any_other(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor
) -> None:
    supervisor.broken = (comms.GetAssetStateStoreByName,)
    task = airflow(submit())
    with pytest.raises(AirflowRuntimeError):
        task.run()
    failure = task.xcom("klap_error")
    assert (failure["type"], failure["project_id"]) == ("AirflowRuntimeError", None)
    assert failure["error"].startswith("AirflowRuntimeError: API_SERVER_ERROR")
    assert klap.requests("POST") == []


def test_a_skipped_task_records_no_error(airflow: Airflow) -> None:
    class Skipping(KlapOperator):
        @reports_failure
        def execute(self, context: Any) -> None:
            raise AirflowSkipException("nothing to do")

    task = airflow(lambda: Skipping(task_id="skip"))
    with pytest.raises(AirflowSkipException):
        task.run()
    assert task.xcom("klap_error") is None


@pytest.mark.parametrize("words", ["https://storage.example.com/a.mp4?X-Amz-Signature=s3cret", "x" * 10_000])
def test_an_unexpected_error_is_recorded_short_and_without_signatures(airflow: Airflow, words: str) -> None:
    class Failing(KlapOperator):
        @reports_failure
        def execute(self, context: Any) -> None:
            raise RuntimeError(words)

    task = airflow(lambda: Failing(task_id="fail"))
    with pytest.raises(RuntimeError):
        task.run()
    error = task.xcom("klap_error")["error"]
    assert error.startswith("RuntimeError: ")
    assert "s3cret" not in error
    assert len(error) <= 500


def test_a_failing_secrets_backend_is_not_a_missing_connection(
    airflow: Airflow, supervisor: Supervisor, klap: Sandbox, connect: Callable[..., None], monkeypatch: Any
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
    supervisor.broken = (comms.GetConnection,)
    task = airflow(submit())
    with pytest.raises(KlapLookUpError, match=r"'klap_default'.*ExecutionAPISecretsBackend did not answer") as failure:
        task.run()
    assert (failure.value.transient, failure.value.refused) == (True, True)
    supervisor.broken = ()
    with pytest.raises(KlapConfigError, match="no Airflow connection 'klap_default'"):
        task.run()
    connect(klap.url)
    task.run()
    assert len(klap.ledger()) == 1


FORM = {"source_video_url": TALK, "limit": 3, "max_clip_count": 10}


@of_either
@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ({"limt": 1}, r"has 'limt' \(did you mean 'limit'\?\), but"),
        ({"limit": 1, "Max-Clips": 2}, r"'Max-Clips' \(did you mean 'max_clip_count'\?\)"),
        ({"qqq": 1, "limt": 1}, r"has 'limt' .*, 'qqq', but .*: limit, max_clip_count, source_video_url\."),
        ({"team": "a", "Team": "b"}, "did you mean 'team'"),
    ],
)
def test_a_conf_with_an_unknown_name_is_refused_before_anything_is_paid(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator], conf: dict[str, Any], expected: str
) -> None:
    params = {**FORM, "team": "x"} if "team" in conf else FORM
    task = airflow(submit(operator, strict_conf=True), params=params, conf=conf)
    with pytest.raises(KlapInputError, match=expected) as failure:
        task.run()
    assert not failure.value.transient
    assert task.xcom("klap_error")["type"] == "KlapInputError"
    assert klap.requests() == []


@pytest.mark.parametrize(
    ("conf", "strict"),
    [
        (None, True),
        ({}, True),
        ({"limit": 1, "openlineage": {"parentRunId": "…"}, "team": "a"}, True),
        ({"whatever": "a custom setting"}, False),
    ],
)
def test_names_of_the_dag_and_of_a_dag_without_strict_conf_are_accepted(
    klap: Sandbox, airflow: Airflow, conf: dict[str, Any] | None, strict: bool
) -> None:
    airflow(submit(strict_conf=strict), params={**FORM, "team": "x"}, conf=conf).run()
    assert len(klap.ledger()) == 1
