"""A monthly limit: nothing is paid beyond it, the best exports come first, and the next month continues."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.dag_parts import klap_caption_video, klap_generate_shorts
from klap_provider.errors import KlapCreditsError, KlapError, KlapLimitError
from klap_provider.operators import (
    ExportShortOperator,
    GenerateShortsOperator,
    ListShortsOperator,
    PublishShortsOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
    monthly_limit,
)
from klap_provider.rules.ledger_keys import limit_entry, pause_entry
from tests.support.airflow_context import DAG_ID, RUN_ID
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

TALK = "https://example.com/talk.mp4"
LISTED = [
    {"id": name, "name": name, "virality_score": score} for name, score in zip("abcd", (90, 70, 50, 30), strict=True)
]
#: The reservation of a submission: a video, 10 shorts and an export.
SUBMISSION = 4.12


@pytest.fixture
def limit(klap: Sandbox, connect: Callable[..., None]) -> Callable[..., None]:
    """Set the monthly limit of the connection."""

    def set_limit(dollars: float | None, action: str = "stop") -> None:
        connect(klap.url, monthly_limit=dollars, monthly_limit_action=action, poke_interval=0.1, first_poll=0.1)

    return set_limit


@pytest.fixture
def next_month(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Move the clock on by 31 days."""

    def move() -> None:
        in_a_month = datetime.now(timezone.utc) + timedelta(days=31)
        monkeypatch.setattr(monthly_limit, "utc_now", lambda: in_a_month)

    return move


def submit(**fields: Any) -> Callable[[], SubmitShortsOperator]:
    return lambda: SubmitShortsOperator(task_id="submit", source_video_url=TALK, **fields)


@pytest.fixture
def select(klap: Sandbox, airflow: Airflow) -> Callable[..., Played]:
    """Make a selection of four shorts."""
    klap.fault("GET", "^/projects/[^/]+$", "status", times=None, code=200, body=LISTED)

    def task(kind: type[ListShortsOperator] = ListShortsOperator, **fields: Any) -> Played:
        return airflow(lambda: kind(task_id="select", folder_id="folder01", **fields))

    return task


def names(shorts: list[dict[str, Any]]) -> str:
    return "".join(short["project_id"] for short in shorts)


def used(supervisor: Supervisor, scope: str = "connection klap_default") -> float:
    """Return the amount that is paid or reserved this month."""
    row = supervisor.ledger.get(limit_entry(f"{monthly_limit.utc_now():%Y-%m}", scope))
    return 0.0 if row is None else float(json.loads(row)["total"])


def is_paused(supervisor: Supervisor) -> bool:
    """Return whether watched sources wait."""
    row = supervisor.ledger.get(pause_entry("connection klap_default"))
    return row is not None and json.loads(row)["until"] > monthly_limit.utc_now().timestamp()


# Submit


@pytest.mark.parametrize(("dollars", "is_enough"), [(4.12, True), (4.11, False), (0, False)])
def test_a_submission_reserves_the_video_its_shorts_and_one_export(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None], dollars: float, is_enough: bool
) -> None:
    limit(dollars)
    task = airflow(submit())
    if is_enough:
        task.run()
    else:
        with pytest.raises(KlapLimitError, match=r"Nothing was sent.*klap_default' is .*\$4\.12 is needed.*UTC"):
            task.run()
    assert len(klap.ledger()) == is_enough
    assert used(task.supervisor) == (SUBMISSION if is_enough else 0)


def test_a_refused_run_continues_in_the_next_month(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None], next_month: Callable[[], None], supervisor: Supervisor
) -> None:
    limit(5)
    airflow(submit(name="first")).run()
    other = airflow(lambda: SubmitShortsOperator(task_id="other", source_video_url=f"{TALK}?2"))
    with pytest.raises(KlapLimitError):
        other.run()
    assert is_paused(supervisor)
    next_month()
    other.clear()
    other.run()
    assert len(klap.ledger()) == 2
    assert not is_paused(supervisor)


def test_a_retry_after_a_refused_post_reserves_nothing_again(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None]
) -> None:
    limit(5)
    klap.fault("POST", "/tasks/video-to-shorts", "status", code=402)
    task = airflow(submit())
    with pytest.raises(KlapCreditsError):
        task.run()
    task.run()
    assert used(task.supervisor) == SUBMISSION


@pytest.mark.parametrize(("code", "is_final"), [(402, True), (422, True), (429, False)])
def test_a_refused_post_releases_what_it_reserved_unless_it_is_tried_again(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None], code: int, is_final: bool
) -> None:
    limit(10)
    klap.fault("POST", "/tasks/video-to-shorts", "status", times=None, code=code, headers={"Retry-After": "900"})
    task = airflow(submit())
    for _ in range(2):
        with pytest.raises(KlapError):
            task.run()
        assert used(task.supervisor) == (0 if is_final else SUBMISSION)


def test_a_run_that_was_tried_again_releases_what_it_reserved_if_it_uses_the_job_of_another_run(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None], supervisor: Supervisor
) -> None:
    limit(10)
    klap.fault("POST", "/tasks/video-to-shorts", "status", code=429, headers={"Retry-After": "900"})
    task = airflow(submit(reuse=True))
    with pytest.raises(KlapError):
        task.run()
    airflow(lambda: SubmitShortsOperator(task_id="other", source_video_url=TALK, reuse=True)).run()
    for key, row in supervisor.ledger.items():
        if key.startswith(("paid.", "request.")):  # make it one of another run
            supervisor.ledger[key] = row.replace(f"{DAG_ID} {RUN_ID}", f"{DAG_ID} tuesday")
    assert used(supervisor) == 2 * SUBMISSION
    assert task.run()["paid"] == 0
    assert used(supervisor) == SUBMISSION


def test_402_pauses_watched_sources(klap: Sandbox, airflow: Airflow) -> None:
    klap.fault("POST", "/tasks/video-to-shorts", "status", code=402)
    task = airflow(submit())
    with pytest.raises(KlapCreditsError):
        task.run()
    row = json.loads(task.supervisor.ledger[pause_entry("connection klap_default")])
    assert 3000 < row["until"] - time.time() < 4000
    assert "402" in row["reason"] or "credit" in row["reason"]


def test_a_clear_reattaches_although_the_limit_is_used_up(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None]
) -> None:
    limit(4.12)
    task = airflow(submit())
    first = task.run()
    limit(0)
    task.clear()
    assert task.run() == first
    assert len(klap.ledger()) == 1


def test_the_limit_of_a_dag_applies_to_its_runs_only(klap: Sandbox, airflow: Airflow, supervisor: Supervisor) -> None:
    airflow(submit(monthly_limit=4.12)).run()
    with pytest.raises(KlapLimitError, match=f"monthly_limit in the Dag file of '{DAG_ID}'"):
        airflow(lambda: SubmitShortsOperator(task_id="2", source_video_url=f"{TALK}?2", monthly_limit=4.12)).run()
    assert used(supervisor, f"dag {DAG_ID}") == SUBMISSION


def test_a_run_without_a_limit_reads_and_writes_no_row(klap: Sandbox, airflow: Airflow, supervisor: Supervisor) -> None:
    airflow(submit()).run()
    assert not [key for key in supervisor.ledger if key.startswith(("limit.", "month.", "reserved.", "pause."))]
    assert not [each for each in supervisor.messages if '"limit.' in each or '"reserved.' in each or '"pause.' in each]


def test_a_limit_that_warns_refuses_nothing_and_logs(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    limit(1, "warn")
    airflow(submit()).run()
    assert "'klap_default' is $1.00: $4.12 is paid or reserved, $3.12 beyond the limit" in caplog.text


def test_the_log_says_what_is_left(
    klap: Sandbox, airflow: Airflow, limit: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    limit(10)
    with caplog.at_level("INFO"):
        airflow(submit()).run()
    assert "$4.12 is paid or reserved, $5.88 is left" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"monthly_limit": -1}, {"monthly_limit": float("inf")}, {"monthly_limit_action": "pray"}]
)
def test_an_invalid_limit_is_refused_at_parse_time(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        submit(**wrong)()


# Select and export


def test_the_exports_replace_what_the_submission_reserved(
    airflow: Airflow, select: Callable[..., Played], limit: Callable[..., None], supervisor: Supervisor
) -> None:
    limit(10)
    reservation = airflow(submit()).run()["reservation"]
    task = select(reservation=reservation, limit=3)
    for _ in range(2):
        assert names(task.run()) == "abc"
        assert used(supervisor) == pytest.approx(0.44 + 4 * 0.32 + 3 * 0.48)


def test_the_best_shorts_are_exported_and_the_others_in_the_next_month(
    klap: Sandbox,
    airflow: Airflow,
    make_shorts: Callable[..., list[dict[str, Any]]],
    limit: Callable[..., None],
    next_month: Callable[[], None],
    supervisor: Supervisor,
) -> None:
    folder_id = make_shorts(4)[0]["folder_id"]
    limit(1)
    task = airflow(lambda: ListShortsOperator(task_id="select", folder_id=folder_id))
    best = task.run()
    every = task.xcom("klap_shorts")
    assert [short["reason"] for short in every] == [None, None, "beyond_month", "beyond_month"]

    def exporting(short: dict[str, Any]) -> Played:
        return airflow(
            lambda: ExportShortOperator(task_id="export", project_id=short["project_id"], folder_id=folder_id)
        )

    for short in best:
        assert exporting(short).run()["paid"] == 1
    with pytest.raises(KlapLimitError, match=f"export of {every[2]['project_id']}"):
        exporting(every[2]).run()
    assert used(supervisor) == 0.96
    task.clear()
    assert names(task.run()) == names(best)
    next_month()
    task.clear()
    assert names(task.run()) == names(every)
    for short in every:
        exporting(short).run()
    assert len(klap.ledger("export")) == 4
    assert used(supervisor) == 0.96


def test_a_limit_that_covers_no_export_stops_the_run_until_the_next_month(
    select: Callable[..., Played], limit: Callable[..., None], next_month: Callable[[], None]
) -> None:
    limit(0.4)
    task = select()
    with pytest.raises(KlapLimitError, match=r"the exports of 4 shorts.*\$1\.92 is needed"):
        task.run()
    limit(2)
    next_month()
    task.clear()
    assert names(task.run()) == "abcd"


def test_watched_sources_continue_when_the_limit_was_raised_and_the_run_is_cleared(
    select: Callable[..., Played], limit: Callable[..., None], supervisor: Supervisor
) -> None:
    limit(1)
    task = select()
    for dollars, exported, pauses in ((1, "ab", True), (1, "ab", True), (1.44, "abc", True), (10, "abcd", False)):
        limit(dollars)
        task.clear()
        assert names(task.run()) == exported
        assert is_paused(supervisor) == pauses


def test_the_answer_of_a_reviewer_is_kept_until_the_next_month(
    select: Callable[..., Played], limit: Callable[..., None], next_month: Callable[[], None]
) -> None:
    limit(0.4)
    task = select(ReviewShortsOperator)
    task.answer = ["2. b (70)", "3. c (50)"], "Ada"
    with pytest.raises(KlapLimitError):
        task.run()
    limit(2)
    next_month()
    task.clear()
    task.answer = ["1. a (90)"], "Bob"
    assert names(task.run()) == "bc"
    assert task.xcom("klap_review")["by"] == "Ada"


def test_an_export_without_a_selection_reserves_its_own_price(
    klap: Sandbox,
    airflow: Airflow,
    make_shorts: Callable[..., list[dict[str, Any]]],
    limit: Callable[..., None],
    supervisor: Supervisor,
) -> None:
    limit(0.5)
    first, second = make_shorts(2)
    airflow(lambda: ExportShortOperator(task_id="1", project_id=first["id"], folder_id=first["folder_id"])).run()
    assert used(supervisor) == 0.48
    with pytest.raises(KlapLimitError):
        airflow(lambda: ExportShortOperator(task_id="2", project_id=second["id"], folder_id=second["folder_id"])).run()
    assert len(klap.ledger("export")) == 1


def test_an_export_that_exists_does_not_count_again(
    klap: Sandbox,
    airflow: Airflow,
    make_shorts: Callable[..., list[dict[str, Any]]],
    limit: Callable[..., None],
    supervisor: Supervisor,
) -> None:
    (short,) = make_shorts()

    def export() -> ExportShortOperator:
        return ExportShortOperator(task_id="export", project_id=short["id"], folder_id=short["folder_id"])

    first = airflow(export).run()
    limit(0)
    assert airflow(export).run()["export_id"] == first["export_id"]
    assert pause_entry("connection klap_default") not in supervisor.ledger


# A complete run


def test_a_run_stops_at_the_limit_and_pays_nothing_twice(
    klap: Sandbox,
    airflow: Airflow,
    limit: Callable[..., None],
    next_month: Callable[[], None],
    supervisor: Supervisor,
    tmp_path: Path,
) -> None:
    sent: list[str] = []

    def generate() -> GenerateShortsOperator:
        return GenerateShortsOperator(
            task_id="generate",
            source_video_url=TALK,
            target_clip_count=3,
            max_clip_count=3,
            destination=str(tmp_path),
            notifiers=Recorder(sent, "{{ klap.event }}"),
        )

    task = airflow(generate)
    limit(1)
    with pytest.raises(KlapLimitError, match=r"\$1\.88 is needed"):
        task.run()
    assert klap.ledger() == []

    limit(2.4)  # a video, three shorts, and two exports
    task.clear()
    best = task.run()
    assert (len(best), len(klap.ledger("export"))) == (2, 2)
    assert used(supervisor) == pytest.approx(2.36)

    next_month()
    task.clear()
    every = task.run()
    assert names(every[:2]) == names(best)
    assert (len(every), len(klap.ledger("task")), len(klap.ledger("export"))) == (3, 1, 3)
    assert used(supervisor) == 0.48
    assert sent == ["limit_reached", "limit_reached", "run_finished"]


@pytest.mark.parametrize("factory", [klap_generate_shorts, klap_caption_video])
def test_the_limit_of_a_factory_reaches_every_task_that_pays(factory: Callable[..., Any]) -> None:
    dag = factory(monthly_limit=100, monthly_limit_action="warn")
    paying = [task for task in dag.tasks if task.task_id.rpartition(".")[2] in ("submit", "export", "publish")]
    assert len(paying) == 3
    selecting = [task for task in dag.tasks if isinstance(task, ListShortsOperator)]
    for task in (*paying, *selecting):
        assert (task.monthly_limit, task.monthly_limit_action) == (100, "warn")


# Release


def test_a_run_releases_the_exports_that_another_run_has_paid_for(
    select: Callable[..., Played],
    airflow: Airflow,
    limit: Callable[..., None],
    supervisor: Supervisor,
    tmp_path: Path,
) -> None:
    limit(10)
    shorts = select().run()
    for index, short in enumerate(shorts):
        result = {"project_id": short["project_id"], "export_id": "e", "paid": int(index == 0)}
        supervisor.put_xcom("short.export", result, map_index=index)
    publish = airflow(lambda: publishing(shorts, tmp_path))
    for _ in range(2):
        with pytest.raises(Exception, match="0 of 4 delivered"):
            publish.run()
        assert used(supervisor) == 0.48


@pytest.mark.parametrize(("dollars", "event"), [(2.5, None), (2.4, "limit_near"), (2.0, "limit_reached")])
def test_a_near_or_reached_limit_is_notified_once_per_month(
    select: Callable[..., Played],
    airflow: Airflow,
    limit: Callable[..., None],
    tmp_path: Path,
    dollars: float,
    event: str | None,
) -> None:
    limit(dollars)
    shorts = select().run()
    sent: list[str] = []
    for _ in range(2):
        with pytest.raises(Exception, match="0 of 4 delivered"):
            airflow(lambda: publishing(shorts, tmp_path, sent=sent)).run()
    of_limit = [text for text in sent if text.startswith("limit_")]
    assert [text.split()[0] for text in of_limit] == ([event] if event else [])
    assert all("$1.92 of $" in text for text in of_limit)


def publishing(shorts: list[dict[str, Any]], folder: Path, sent: list[str] | None = None) -> PublishShortsOperator:
    return PublishShortsOperator(
        task_id="publish",
        steps=["short.export", "short.wait_for_export", "short.deliver"],
        shorts=shorts,
        source_video_url=TALK,
        klap_task_id="task000000000000",
        folder_id="folder01",
        destination=str(folder),
        notifiers=[] if sent is None else [Recorder(sent, "{{ klap.event }} {{ klap.title }}")],
    )
