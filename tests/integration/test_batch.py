"""A batch: the check of the list, one run per video, and the summary."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time import comms
from airflow.sdk.module_loading import import_string

from klap_provider.errors import KlapConfigError, KlapIncompleteError, KlapInputError
from klap_provider.operators import ReadVideoListOperator, SummarizeVideosOperator, VideoRunOperator
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.rules.video_list import label
from klap_provider.triggers import VideoRunTrigger
from tests.support.airflow_context import OtherRun
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    import fsspec
    from airflow.sdk import DAG

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

ROOT = Path(__file__).resolve().parents[2]
MAIN = "klap_generate_shorts"
RUN_ID = "klap__talk__0123456789ab"
TALK = "https://talks.invalid/talk.mp4"  # a host that does not resolve


@pytest.fixture(scope="module")
def dag() -> DAG:
    from klap_generate_shorts_batch import klap_generate_shorts_batch

    return klap_generate_shorts_batch(at_a_time=7, form={"language": "en"})


@pytest.fixture
def read(airflow: Airflow, klap: Sandbox) -> Callable[..., Played]:
    """Make the task that reads a list, with the defaults of the form."""
    from klap_generate_shorts import klap_generate_shorts

    def task(**given: Any) -> Played:
        main = klap_generate_shorts().params
        form = {name: main.get_param(name) for name in main}
        settings = {name: param.value for name, param in form.items() if name != "source_video_url"}
        given = {**given, "settings": {**settings, **given.get("settings", {})}}
        return airflow(lambda: ReadVideoListOperator(task_id="read_list", form=form, trigger_dag_id=MAIN, **given))

    return task


@pytest.fixture
def video(airflow: Airflow) -> Callable[..., Played]:
    """Make the task that starts the run of one video and waits for it."""

    def task(map_index: int = 0, **given: Any) -> Played:
        given = {"source_video_url": TALK, "trigger_run_id": RUN_ID, "poke_interval": 0.05, **given}
        return airflow(
            lambda: VideoRunOperator(task_id="video", trigger_dag_id=MAIN, retries=3, **given), map_index=map_index
        )

    return task


@pytest.mark.usefixtures("klap")
def test_a_batch_with_a_misspelt_param_is_refused(
    read: Callable[..., Played],
) -> None:
    task = read(source_video_urls=[TALK], strict_conf=True)
    task.params, task.conf = {"source_video_urls": None, "limit": None}, {"source_video_urls": [TALK], "limt": 3}
    with pytest.raises(KlapInputError, match=r"'limt' \(did you mean 'limit'"):
        task.run()
    task.conf = {"source_video_urls": [TALK], "limit": 3}
    assert len(task.run()) == 1


@pytest.fixture
def sum_up(airflow: Airflow) -> Callable[..., Played]:
    """Make the task that summarizes the batch."""
    return lambda **more: airflow(
        lambda: SummarizeVideosOperator(
            task_id="summary", list_task_id="read_list", video_task_id="video", trigger_dag_id=MAIN, **more
        )
    )


def outcome(*paths: str | None) -> list[dict[str, Any]]:
    return [{"project_id": str(index), "path": path} for index, path in enumerate(paths)]


DELIVERED = OtherRun("success", {"klap_outcome": outcome("/a.mp4", "/b.mp4")})
FAILED = OtherRun("failed", {"klap_outcome": outcome("/a.mp4", None), "klap_error": {"error": "Out of colours."}})


# The Dag


def test_the_form_has_the_fields_of_the_main_dag(dag: DAG) -> None:
    from klap_generate_shorts import klap_generate_shorts

    main = klap_generate_shorts().params
    of_one = {"source_video_url", "name", "klap_task_id", "project_ids"}
    assert dag.params.keys() == {*main.keys(), "source_video_urls", "list_path"} - of_one
    for name in dag.params.keys() & main.keys() - {"language", "reuse"}:
        assert dag.params.get_param(name).schema["title"] == main.get_param(name).schema["title"]
        assert dag.params[name] is None, "the default of the main Dag applies"
    assert (dag.params["language"], dag.params["reuse"]) == ("en", True)
    for name in dag.params:
        assert dag.params.get_param(name).schema["title"]
        assert dag.params.get_param(name).description


def test_the_number_of_concurrent_videos_and_batches_is_limited(dag: DAG) -> None:
    assert dag.get_task("video").map_index_template == "{{ task.video_name }}"
    assert dag.get_task("video").max_active_tis_per_dagrun == 7
    assert dag.max_active_runs == 1
    assert dag.get_task("summary").trigger_rule == "all_done"
    assert all(isinstance(dag.get_task(task_id).retry_policy, KlapRetryPolicy) for task_id in ("read_list", "summary"))


# The list


def test_each_video_is_one_run_with_its_own_settings(read: Callable[..., Played], tmp_path: Path) -> None:
    table = tmp_path / "videos.CSV"
    table.write_bytes(f"\ufeffurl,limit,name\n{TALK},,\n{TALK}#t=9,,Again\n{TALK},9,\n".encode())

    task = read(list_path=str(table))
    first, second = task.run()

    assert (first["source_video_url"], first["settings"]) == (TALK, {})
    assert (second["source_video_url"], second["settings"]) == (TALK, {"limit": 9})
    assert first["trigger_run_id"] != second["trigger_run_id"]
    assert (first["line"], second["line"]) == (2, 4)
    read_by = {"trigger_dag_id": MAIN}
    assert task.xcom("klap_list") == {"left_out": [], "duplicates": 1, **read_by}


def test_the_same_video_has_the_same_run_id_in_every_list(read: Callable[..., Played], tmp_path: Path) -> None:
    (tmp_path / "videos.txt").write_text(f"# Monday\n{TALK}\n")
    pasted = read(source_video_urls=["", f" {TALK} "]).run()
    assert pasted == read(list_path=str(tmp_path / "videos.txt")).run()
    assert pasted == read(list_path=f"file://{tmp_path}/videos.txt", settings={"destination": "/data"}).run()
    assert pasted != read(source_video_urls=[TALK], settings={"limit": 9}).run()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark", "utf-16-be-mark"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "TSV"])
def test_a_table_may_be_in_the_encodings_of_spreadsheets(
    read: Callable[..., Played], tmp_path: Path, encoding: str, suffix: str
) -> None:
    text, codec = f"source_video_url\tname\r\n{TALK}\tÜber uns\r\n", encoding.removesuffix("-mark")
    content = ("\ufeff" if codec != encoding else "").encode(codec) + text.encode(codec)
    (tmp_path / f"videos.{suffix}").write_bytes(content)
    [row] = read(list_path=str(tmp_path / f"videos.{suffix}")).run()
    assert (row["source_video_url"], row["settings"]) == (TALK, {"name": "Über uns"})


def test_a_table_in_an_old_encoding_is_refused_with_how_to_save_it(read: Callable[..., Played], tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_bytes(f"url;name\n{TALK};Über uns\n".encode("cp1252"))
    with pytest.raises(KlapInputError, match=r"save it as .CSV UTF-8"):
        read(list_path=str(tmp_path / "videos.csv")).run()


def test_a_list_may_be_in_object_storage(read: Callable[..., Played], storage: fsspec.AbstractFileSystem) -> None:
    storage.pipe("/bucket/videos.txt", TALK.encode())
    assert [row["source_video_url"] for row in read(list_path="memory://bucket/videos.txt").run()] == [TALK]


def test_all_invalid_lines_are_named_at_once(read: Callable[..., Played], tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    lines = [
        "url,limit,language,min_duration,max_duration,destination",
        f"{TALK},3,en,,,",
        "talk.mp4,,,,,",
        f"{TALK},many,,,,",
        f"{TALK},,klingon,,,",
        f"{TALK},,,100,50,",
        f"{TALK},,,,,nowhere://x",
        ",3,,,,",
        "http://[::1/a.mp4,,,,,",
    ]
    table.write_text("\n".join(lines))
    task = read(list_path=str(table))

    with pytest.raises(KlapInputError) as failure:
        task.run()

    for part in (
        "Line 3: source_video_url: must be a complete address that begins with https://",
        "Line 4: limit must be a whole number, at least 1;",
        "Line 5: language must be text, one of ",
        "min_duration (100 s) is longer than max_duration (50 s)",
        "Line 7: destination is not on the allowlist or cannot be used",
        "Line 8: source_video_url must be ",
        "Line 9: source_video_url: ",
    ):
        assert part in str(failure.value)
    assert "Line 2" not in str(failure.value)
    assert task.xcom("klap_error")["error"] == str(failure.value)


def test_the_destination_of_the_connection_is_checked_if_a_video_has_none(
    read: Callable[..., Played], klap: Sandbox, connect: Callable[..., None]
) -> None:
    connect(klap.url, destination="nowhere://x")
    with pytest.raises(KlapInputError, match=r"Line 1: destination is 'nowhere://x'"):
        read(source_video_urls=[TALK]).run()
    assert read(source_video_urls=[TALK], settings={"destination": "/data"}).run()


def test_a_list_without_a_destination_warns_on_several_machines(
    read: Callable[..., Played],
    klap: Sandbox,
    connect: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def warned() -> bool:
        assert read(source_video_urls=[TALK]).run()
        return "No destination" in capsys.readouterr().out

    assert not warned()
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    assert warned()
    connect(klap.url, destination="/data")
    assert not warned()


CONFIGURATION = """[database]
# the metadata database
sql_alchemy_conn = postgresql://airflow:s3cr3t@db/airflow
fernet_key = s3cr3t
url,limit = s3cr3t
"""


@pytest.mark.parametrize("name", ["airflow.cfg", "airflow.csv"])
@pytest.mark.parametrize(
    "text", [CONFIGURATION, CONFIGURATION.replace("[database]", "url,name,limit"), "s3cr3t\x00,\n"]
)
def test_no_error_repeats_a_file_that_is_not_a_list(
    read: Callable[..., Played], supervisor: Supervisor, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    task = read(list_path=str(tmp_path / name))
    with pytest.raises(KlapInputError) as failure:
        task.run()
    assert "s3cr3t" not in str(failure.value) + str(failure.value.__cause__)
    assert failure.value.__suppress_context__ or failure.value.__context__ is None
    assert not [message for message in supervisor.messages if "s3cr3t" in message.replace(str(tmp_path), "")]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("limit", "s3cr3t"),
        ("limit", "-5"),
        ("language", "s3cr3t"),
        ("destination", "s3cr3t://x"),
        ("destination", "/s3cr3t"),
        ("destination", "s3://s3cr3t@media/x"),
        ("klap_conn_id", "s3cr3t"),
        ("on_behalf_of", "s3cr3t s3cr3t"),
        ("transcription_context", "s3cr3t" * 500),
        ("min_duration", "s3cr3t"),
    ],
)
def test_no_error_repeats_a_cell_of_a_file(
    read: Callable[..., Played], supervisor: Supervisor, tmp_path: Path, column: str, cell: str
) -> None:
    (tmp_path / "videos.csv").write_text(f"url,{column}\n{TALK},{cell}\n")
    with pytest.raises(KlapInputError, match=f"Line 2: {column} ") as failure:
        read(list_path=str(tmp_path / "videos.csv")).run()
    assert "s3cr3t" not in str(failure.value)
    assert not [message for message in supervisor.messages if "s3cr3t" in message and '"GetConnection"' not in message]


@pytest.mark.parametrize("url", ["http://127.0.0.1/s3cr3t", "https://s3cr3t.internal/a", "s3://s3cr3t", "s3cr3t"])
def test_no_error_repeats_an_invalid_address_of_a_file(
    read: Callable[..., Played], connect: Callable[..., None], tmp_path: Path, url: str
) -> None:
    connect("https://api.klap.app/v2")
    (tmp_path / "videos.txt").write_text(f"{TALK}\n{url}\n")
    with pytest.raises(KlapInputError, match="Line 2: source_video_url") as failure:
        read(list_path=str(tmp_path / "videos.txt")).run()
    assert "s3cr3t" not in str(failure.value)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "file:///etc/passwd", "//etc/passwd", "/etc/../etc/passwd", "s3://x/y"]
)
def test_a_run_reads_lists_only_where_the_allowlist_permits(
    airflow: Airflow, klap: Sandbox, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIST_PATH", path)
    (tmp_path / "videos.txt").write_text(f"{TALK}\n")
    (tmp_path / "link.txt").symlink_to("/etc/passwd")

    def task(**given: Any) -> Played:
        more = {"task_id": "read_list", "form": {}, "trigger_dag_id": MAIN, "allowed_lists": [str(tmp_path)], **given}
        return airflow(lambda: ReadVideoListOperator(**more))

    for given in (path, f"{tmp_path}/link.txt", f"{tmp_path}/../x.txt"):
        monkeypatch.setenv("AIRFLOW_VAR_LIST", given)
        with pytest.raises(KlapInputError, match="list_path is "):
            task(list_path="{{ var.value.list }}").run()


def test_each_row_of_a_batch_is_checked_against_the_allowlists(read: Callable[..., Played], tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text(f"url,destination\n{TALK},s3://other\n{TALK}?2,\ns3://a@b/c.mp4,\n")
    allowed = {"allowed_sources": ["https://talks.invalid"], "allowed_destinations": ["s3://media"]}
    with pytest.raises(KlapInputError) as failure:
        read(list_path=str(tmp_path / "videos.csv"), **allowed).run()
    assert str(failure.value) == (
        "Nothing was started. Line 2: destination is not on the allowlist or cannot be used; "
        "Line 4: source_video_url is not on the allowlist or cannot be used"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "either source_video_urls"),
        ({"source_video_urls": [TALK], "list_path": "/videos.txt"}, "either source_video_urls"),
        ({"source_video_urls": ["# nothing"]}, "list is empty"),
        ({"list_path": "/no/such/videos.txt"}, "/no/such/videos.txt does not exist"),
        ({"list_path": "/dev/null"}, "list is empty"),
        ({"list_path": "nowhere://bucket/videos.txt"}, "list_path is 'nowhere://bucket/videos.txt': "),
    ],
)
def test_a_missing_or_empty_list_is_refused(read: Callable[..., Played], given: dict[str, Any], expected: str) -> None:
    with pytest.raises(KlapInputError, match=expected):
        read(**given).run()


def test_a_binary_file_is_refused_as_a_list(read: Callable[..., Played], tmp_path: Path) -> None:
    (tmp_path / "videos.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(KlapInputError, match="not text in UTF-8"):
        read(list_path=str(tmp_path / "videos.xlsx")).run()


def test_private_addresses_and_a_missing_key_are_refused_before_any_run(
    read: Callable[..., Played], connect: Callable[..., None]
) -> None:
    connect("https://api.klap.app/v2")
    with pytest.raises(KlapInputError, match=r"Line 2: .*127\.0\.0\.1 is on a private network"):
        read(source_video_urls=[TALK, "http://127.0.0.1/talk.mp4"]).run()
    connect(None, password=None)
    with pytest.raises(KlapConfigError):
        read(source_video_urls=[TALK]).run()


def test_no_run_is_started_if_the_main_dag_is_paused_or_missing(
    read: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.paused = True
    with pytest.raises(KlapInputError, match=f"{MAIN} is paused"):
        read(source_video_urls=[TALK]).run()
    supervisor.paused = None
    with pytest.raises(KlapInputError, match=f"no Dag {MAIN}"):
        read(source_video_urls=[TALK]).run()


def test_an_api_server_that_does_not_answer_is_a_retryable_error(
    read: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.broken = (comms.GetDag,)
    with pytest.raises(AirflowRuntimeError):
        read(source_video_urls=[TALK]).run()


def test_more_videos_than_airflow_maps_are_refused(
    read: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    with pytest.raises(KlapInputError, match=r"3 videos, .* at most 2"):
        read(source_video_urls=[f"{TALK}?{number}" for number in range(3)]).run()


def test_two_hundred_videos_are_a_small_xcom(read: Callable[..., Played]) -> None:
    rows = read(source_video_urls=[f"https://youtu.be/{number:011}" for number in range(200)]).run()
    assert len({row["trigger_run_id"] for row in rows}) == 200
    assert len(str(rows)) < 40_000


# Missing videos


def test_a_missing_video_is_left_out_with_the_reason(read: Callable[..., Played], klap: Sandbox) -> None:
    nowhere = f"{klap.root}/gone.mp4"
    task = read(source_video_urls=[klap.sample, nowhere])
    assert [row["source_video_url"] for row in task.run()] == [klap.sample]
    assert task.xcom("klap_list")["left_out"] == [{"source_video_url": nowhere, "line": 2, "reason": "HTTP 404"}]


def test_a_missing_video_that_has_a_run_is_not_left_out(
    read: Callable[..., Played], klap: Sandbox, supervisor: Supervisor
) -> None:
    [row] = read(source_video_urls=[f"{klap.sample}#gone"]).run()
    klap.fault("*", "/sample.mp4", "status", code=404, times=2)
    supervisor.runs[row["trigger_run_id"]] = DELIVERED
    assert read(source_video_urls=[klap.sample]).run() == [{**row, "source_video_url": klap.sample}]


# The run of a video


def test_a_video_becomes_a_run_that_is_waited_for_without_a_worker(
    video: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.started_run = DELIVERED
    task = video(shared_settings={"limit": 3, "language": "en"}, settings={"limit": 5, "name": "Sleep"})

    assert task.run() == {
        "source_video_url": TALK,
        "run_id": RUN_ID,
        "state": "success",
        "shorts": 2,
        "error": None,
    }
    assert task.workers == 2
    conf = {"source_video_url": TALK, "limit": 5, "language": "en", "name": "Sleep"}
    assert (supervisor.runs[RUN_ID].conf, supervisor.runs[RUN_ID].note) == (conf, "Sleep")


def test_a_failed_run_is_reported_with_its_error_and_not_retried(
    video: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.started_run = FAILED
    task = video()
    with pytest.raises(
        KlapIncompleteError, match=rf"{RUN_ID} of {MAIN} failed. Out of colours.*clear that run"
    ) as failure:
        task.run()
    decision = KlapRetryPolicy().evaluate(failure.value, 1, 3)
    assert decision.action.name == "FAIL"
    assert task.xcom()["shorts"] == 1
    assert task.xcom()["error"] == "Out of colours."


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_finished_run_is_not_started_again(video: Callable[..., Played], supervisor: Supervisor, state: str) -> None:
    supervisor.runs[RUN_ID] = {"success": DELIVERED, "failed": FAILED}[state]
    task = video()
    if state == "failed":
        with pytest.raises(KlapIncompleteError):
            task.run()
    else:
        task.run()
    assert task.workers == 1
    assert task.xcom()["state"] == state
    assert not [
        message for message in supervisor.messages if "ClearDagRun" in message or '"reset_dag_run":true' in message
    ]


def test_the_deferral_timeout_of_a_wait_for_a_run_is_after_its_deadline(
    video: Callable[..., Played], supervisor: Supervisor
) -> None:
    supervisor.started_run = DELIVERED
    task = video(timeout=3600)
    task.run()
    assert [3600 < seconds < 3600 + 700 for seconds in task.deferral_timeouts] == [True]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_an_unfinished_run_is_waited_for(video: Callable[..., Played], supervisor: Supervisor, state: str) -> None:
    supervisor.runs[RUN_ID] = OtherRun(state, DELIVERED.published)
    timer = threading.Timer(0.3, lambda: setattr(supervisor.runs[RUN_ID], "state", "success"))
    timer.start()
    assert video().run()["shorts"] == 2
    timer.join()


def test_a_wait_for_a_deleted_run_fails_with_the_reason(
    video: Callable[..., Played], supervisor: Supervisor, sum_up: Callable[..., Played]
) -> None:
    supervisor.runs[RUN_ID] = OtherRun("running", {})
    timer = threading.Timer(0.3, supervisor.runs.clear)
    timer.start()
    task = video()
    with pytest.raises(KlapIncompleteError, match=rf"the run {RUN_ID} of {MAIN} was deleted.*start the batch again"):
        task.run()
    timer.join()
    assert (task.xcom()["state"], task.xcom()["shorts"]) == ("deleted", 0)

    supervisor.put_xcom("read_list", [{"source_video_url": TALK, "trigger_run_id": RUN_ID, "settings": {}}])
    supervisor.put_xcom("read_list", {"left_out": [], "duplicates": 0}, "klap_list")
    with pytest.raises(KlapIncompleteError, match="The run was deleted"):
        sum_up().run()

    supervisor.started_run = DELIVERED
    task.clear()
    assert task.run()["state"] == "success"


@pytest.mark.parametrize("left", [{}, {"review_hours": 0.3 / 3600}])
def test_a_wait_for_a_run_has_a_deadline(
    video: Callable[..., Played], supervisor: Supervisor, left: dict[str, Any]
) -> None:
    supervisor.runs[RUN_ID] = OtherRun("running", {})
    task = video(timeout=0.4, settings=left)
    began = time.monotonic()
    with pytest.raises(KlapIncompleteError, match=r"is still running\. The run has not ended within .*clear this task"):
        task.run()
    assert time.monotonic() - began >= 0.4 + 3600 * left.get("review_hours", 0)
    assert task.xcom()["state"] == "running"

    with pytest.raises(KlapIncompleteError):
        task.run()  # a retry
    assert task.triggers == [], "the retry has the same deadline, which has passed"
    supervisor.runs[RUN_ID].state = "success"
    task.clear()
    assert task.run()["state"] == "success"


def test_a_clear_waits_again(video: Callable[..., Played], supervisor: Supervisor) -> None:
    supervisor.runs[RUN_ID] = OtherRun("running", {})
    task = video(timeout=0.1)
    with pytest.raises(KlapIncompleteError):
        task.run()
    task.tries_when_cleared = task.tries  # Airflow 3.3 keeps the state store
    timer = threading.Timer(0.05, lambda: setattr(supervisor.runs[RUN_ID], "state", "success"))
    timer.start()
    assert task.run()["state"] == "success"
    timer.join()


def test_a_wait_survives_an_outage_of_the_api_server(video: Callable[..., Played], supervisor: Supervisor) -> None:
    supervisor.runs[RUN_ID] = OtherRun("running", DELIVERED.published)
    task = video()

    def away() -> None:
        supervisor.broken = (comms.GetDagRunState,)
        time.sleep(0.3)
        supervisor.runs[RUN_ID].state = "success"
        supervisor.broken = ()

    timer = threading.Timer(0.1, away)
    timer.start()
    assert task.run()["state"] == "success"
    timer.join()


def test_a_wait_of_an_earlier_version_ends_with_its_event(video: Callable[..., Played], supervisor: Supervisor) -> None:
    supervisor.runs[RUN_ID] = DELIVERED
    task = video()
    event = ("airflow.providers.standard.triggers.external_task.DagStateTrigger", {RUN_ID: "success"})
    operator, _, context = task._start(0)
    assert operator.execute_complete(context, event)["shorts"] == 2  # type: ignore[attr-defined]  # of this operator


def test_a_stored_trigger_is_rebuilt_by_another_version() -> None:
    given = {"dag_id": MAIN, "run_id": RUN_ID, "deadline": 5.5, "poll_interval": 7}
    path, kwargs = VideoRunTrigger(**given).serialize()
    assert kwargs == given
    again = import_string(path)(**{**kwargs, "of_a_later_version": 1})
    assert again.serialize() == (path, kwargs)


def test_a_transient_error_of_airflow_is_retried(video: Callable[..., Played], supervisor: Supervisor) -> None:
    supervisor.broken = (comms.TriggerDagRun,)
    task = video()
    with pytest.raises(AirflowRuntimeError) as fault:
        task.run()
    assert KlapRetryPolicy().evaluate(fault.value, 1, 3).action.name == "DEFAULT"
    supervisor.broken = ()
    assert task.run()["state"] == "success"


def test_a_mapped_video_has_its_name_and_a_link_to_its_run(video: Callable[..., Played]) -> None:
    assert video(settings={"name": "Sleep"}).make().video_name == "Sleep"
    task = video()
    assert task.make().video_name == label(TALK)
    assert task.links()["Run of this video"].endswith(f"/dags/{MAIN}/runs/{RUN_ID}")


# The summary


def test_the_summary_counts_complete_videos(
    supervisor: Supervisor, video: Callable[..., Played], sum_up: Callable[..., Played]
) -> None:
    supervisor.started_run = DELIVERED
    video().run()
    supervisor.put_xcom("read_list", [{"source_video_url": TALK, "trigger_run_id": RUN_ID, "settings": {}}])
    supervisor.put_xcom("read_list", {"left_out": [], "duplicates": 2}, "klap_list")

    sent: list[str] = []
    assert sum_up(notifiers=[Recorder(sent)]).run() == {
        "videos": 1,
        "runs": 1,
        "complete": 1,
        "shorts": 2,
        "incomplete": [],
        "left_out": [],
        "duplicates": 2,
    }
    assert sent[0].startswith("Klap: all 1 videos of the batch are complete, 2 shorts delivered\n")


def test_the_summary_fails_and_names_incomplete_videos(
    supervisor: Supervisor, video: Callable[..., Played], sum_up: Callable[..., Played]
) -> None:
    runs = [f"{RUN_ID}{number}" for number in range(3)]
    for index, outcome in enumerate((DELIVERED, FAILED)):
        supervisor.started_run = outcome
        task = video(index, trigger_run_id=runs[index])
        if outcome is FAILED:
            with pytest.raises(KlapIncompleteError):
                task.run()
        else:
            task.run()
    listed = [{"source_video_url": f"{TALK}?{run}", "trigger_run_id": run, "settings": {}} for run in runs]
    left_out = [{"source_video_url": f"{TALK}?gone", "line": 9, "reason": "HTTP 404"}]
    supervisor.put_xcom("read_list", listed)
    supervisor.put_xcom("read_list", {"left_out": left_out, "duplicates": 0}, "klap_list")
    supervisor.states = {"video_0": "success", "video_1": "failed", "video_2": "failed"}
    sent: list[str] = []
    summary = sum_up(notifiers=[Recorder(sent, "{{ klap.event }} {{ klap.body }}")])

    with pytest.raises(KlapIncompleteError) as failure:
        summary.run()

    assert sent[0].startswith("batch_failed 1 of 4 videos")
    found = summary.xcom()
    assert (found["videos"], found["runs"], found["complete"], found["shorts"]) == (4, 3, 1, 3)
    assert [(o["run_id"], o["state"]) for o in found["incomplete"]] == [(runs[1], "failed"), (runs[2], "failed")]
    for part in (
        "1 of 4 videos",
        "Out of colours.",
        "ended in the state failed without an error",
        "?gone (line 9)",
        runs[2],
    ):
        assert part in str(failure.value)


def test_the_summary_of_a_refused_list_names_the_reason(supervisor: Supervisor, sum_up: Callable[..., Played]) -> None:
    supervisor.put_xcom("read_list", {"error": "Nothing was started. Line 3: no."}, "klap_error")
    with pytest.raises(KlapIncompleteError, match=r"Nothing was started\. Line 3: no\."):
        sum_up().run()


def test_a_summary_of_200_videos_sends_few_messages(supervisor: Supervisor, sum_up: Callable[..., Played]) -> None:
    listed = []
    for index in range(200):
        run_id = f"{RUN_ID}{index}"
        listed.append({"source_video_url": TALK, "trigger_run_id": run_id, "settings": {}})
        done = {"source_video_url": TALK, "run_id": run_id, "state": "success", "shorts": 1, "error": None}
        supervisor.put_xcom("video", done, map_index=index)
    supervisor.put_xcom("read_list", listed)
    supervisor.put_xcom("read_list", {"left_out": [], "duplicates": 0}, "klap_list")
    supervisor.messages.clear()
    assert sum_up().run()["shorts"] == 200
    assert len(supervisor.messages) < 10


# The guide


def test_the_examples_of_the_guide_work(read: Callable[..., Played], tmp_path: Path, dns: dict[str, list[str]]) -> None:
    from airflow.dag_processing.dagbag import DagBag

    dns["example.com"] = ["nothing"]
    guide = (ROOT / "docs" / "how-to" / "run-a-batch.md").read_text()
    [example] = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    [table] = re.findall(r"^```csv\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    bundle = tmp_path / "dags"
    shutil.copytree(ROOT / "dags", bundle, ignore=shutil.ignore_patterns("__pycache__"))
    (bundle / "example.py").write_text(example)
    (tmp_path / "videos.csv").write_text(table)

    bag = DagBag(bundle, safe_mode=True, bundle_path=bundle)

    assert bag.import_errors == {}
    assert bag.dags["klap_conference"].get_task("video").max_active_tis_per_dagrun == 8
    assert [row["settings"] for row in read(list_path=str(tmp_path / "videos.csv")).run()] == [
        {"name": "Opening", "language": "en", "limit": 5},
        {"name": "Talk, second part", "language": "de", "limit": None, "captions": False},
    ]


def test_a_list_that_is_too_long_is_refused_before_the_preflight(
    read: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    monkeypatch.setattr("klap_provider.files.preflight.problems", lambda _: pytest.fail("the preflight was run"))
    with pytest.raises(KlapInputError, match=r"has 4 videos.*at most \(\[core\] max_map_length\)|Split the list"):
        read(source_video_urls=[f"https://example.com/{number}.mp4" for number in range(4)]).run()
