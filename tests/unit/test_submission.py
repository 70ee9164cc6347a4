"""A paid POST goes out once, whatever happens before, during and after it."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.errors import (
    KlapAnswerError,
    KlapAuthError,
    KlapConnectionError,
    KlapError,
    KlapNoAnswerError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapServerError,
    KlapSubmitUncertainError,
)
from klap_provider.rules.submission import Submission, Submitter, fingerprint
from klap_provider.xcoms import REDO_KEY, SUBMISSION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

PRINT = "print-1"
REFUSALS = [
    KlapConnectionError("x"),
    KlapAuthError("x", status=401),
    KlapRateLimitError("x", status=429),
    KlapServerError("x", status=503, retry_after=1),
]
LOST = [KlapNoAnswerError("x"), KlapServerError("x", status=500), KlapAnswerError("x", status=200)]


@dataclass
class MemoryStore:
    """A state store that keeps JSON, as Airflow's does."""

    kept: dict[str, str] = field(default_factory=dict)
    broken: bool = False

    def get(self, key: str) -> Any:
        if self.broken:
            raise ConnectionError("the API server is down")
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


@dataclass
class Klap:
    """Takes POSTs: ``outcomes`` are what the next ones end with, and after these each makes a job."""

    outcomes: list[BaseException] = field(default_factory=list)
    posts: int = 0
    failed: set[str] = field(default_factory=set)
    seen_by_post: list[Any] = field(default_factory=list)
    prepare: Callable[[int], Callable[[], str]] | None = None

    def submitter(
        self,
        store: MemoryStore,
        find_orphans: Callable[[Submission], list[str]] | None = None,
        now: float = 1000.0,
    ) -> Submitter:
        def post() -> str:
            self.posts += 1
            self.seen_by_post.append(copy.deepcopy(store.get(SUBMISSION_KEY)))
            if self.outcomes:
                raise self.outcomes.pop(0)
            return f"job-{self.posts}"

        return Submitter(
            store=store,
            prepare=self.prepare or (lambda _: post),
            has_failed=self.failed.__contains__,
            find_orphans=find_orphans,
            clock=lambda: now,
        )


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def klap() -> Klap:
    return Klap()


def record(store: MemoryStore, **fields: Any) -> Submission:
    submission = Submission(**{"fingerprint": PRINT, "at": 500.0, **fields})
    store.set(SUBMISSION_KEY, submission.to_record())
    return submission


def recorded(store: MemoryStore) -> Submission | None:
    kept = store.get(SUBMISSION_KEY)
    return None if kept is None else Submission.from_record(kept)


def test_a_first_submission_is_posted_and_remembered(store: MemoryStore, klap: Klap) -> None:
    submission, fresh = klap.submitter(store).submit(PRINT)
    assert (submission.job_id, submission.at, fresh) == ("job-1", 1000.0, True)
    assert recorded(store) == submission
    assert klap.posts == 1


def test_the_intent_is_recorded_before_the_post_goes_out(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store).submit(PRINT)
    assert klap.seen_by_post == [{"fingerprint": PRINT, "at": 1000.0, "job_id": None, "known": [], "paid": 0}]


def test_a_second_run_reattaches_and_pays_nothing(store: MemoryStore, klap: Klap) -> None:
    first, _ = klap.submitter(store).submit(PRINT)
    second, fresh = klap.submitter(store, now=2000.0).submit(PRINT)
    assert second == first
    assert not fresh
    assert klap.posts == 1


def test_a_job_that_failed_at_klap_is_submitted_anew_and_its_id_stays_known(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="job-0", known=("job-x",))
    klap.failed.add("job-0")
    submission, fresh = klap.submitter(store).submit(PRINT)
    assert (submission.job_id, fresh) == ("job-1", True)
    assert submission.known == ("job-x", "job-0")
    assert recorded(store) == submission


def test_a_job_whose_state_cannot_be_asked_for_is_not_submitted_anew(store: MemoryStore, klap: Klap) -> None:
    before = record(store, job_id="job-0")

    def cannot_tell(_: str) -> bool:
        raise KlapNotFoundError("x", status=404)

    with pytest.raises(KlapNotFoundError):
        replace(klap.submitter(store), has_failed=cannot_tell).submit(PRINT)
    assert klap.posts == 0
    assert recorded(store) == before


def test_other_work_is_submitted_although_there_is_a_record(store: MemoryStore, klap: Klap) -> None:
    record(store, fingerprint="other", job_id="job-0")
    submission, fresh = klap.submitter(store).submit(PRINT)
    assert (submission.job_id, submission.fingerprint, fresh) == ("job-1", PRINT, True)
    assert submission.known == ("job-0",)


def test_the_intent_of_other_work_is_no_reason_to_stop(store: MemoryStore, klap: Klap) -> None:
    record(store, fingerprint="other")
    submission, fresh = klap.submitter(store).submit(PRINT)
    assert (submission.job_id, submission.known, fresh) == ("job-1", (), True)


def test_an_intent_without_an_id_stops_a_task_and_says_how_to_go_on(store: MemoryStore, klap: Klap) -> None:
    before = record(store, at=0.0)
    with pytest.raises(KlapSubmitUncertainError) as stopped:
        klap.submitter(store).submit(PRINT)
    for part in ("1970-01-01T00:00:00+00:00", "klap_task_id", "allow_new_submission", "billed"):
        assert part in str(stopped.value)
    assert klap.posts == 0
    assert recorded(store) == before


def test_an_intent_without_an_id_is_posted_again_only_if_allowed(store: MemoryStore, klap: Klap) -> None:
    record(store)
    submission, fresh = klap.submitter(store).submit(PRINT, allow_new=True)
    assert (submission.job_id, submission.at, fresh) == ("job-1", 1000.0, True)


def test_allow_new_does_not_submit_what_has_an_id_already(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="job-0")
    submission, fresh = klap.submitter(store).submit(PRINT, allow_new=True)
    assert (submission.job_id, fresh, klap.posts) == ("job-0", False, 0)


def test_an_orphan_is_adopted_and_remembered(store: MemoryStore, klap: Klap) -> None:
    before = record(store, known=("job-x",))
    asked: list[Submission] = []

    def find(intent: Submission) -> list[str]:
        asked.append(intent)
        return ["job-x", "job-9", "job-10"]

    submission, fresh = klap.submitter(store, find).submit(PRINT)
    assert asked == [before]
    assert submission == replace(before, job_id="job-9", paid=1)
    assert not fresh
    assert recorded(store) == submission
    assert klap.posts == 0


def test_without_an_orphan_the_lost_post_did_not_arrive_and_is_sent_again(store: MemoryStore, klap: Klap) -> None:
    record(store, known=("job-x",))
    submission, fresh = klap.submitter(store, lambda _: ["job-x"]).submit(PRINT)
    assert (submission.job_id, submission.at, submission.known, fresh) == ("job-1", 1000.0, ("job-x",), True)


def test_the_orphans_of_another_request_are_never_taken_for_this_ones(store: MemoryStore, klap: Klap) -> None:
    record(store, known=("job-x",))
    submission, fresh = klap.submitter(store, lambda _: ["job-9"]).submit("another print")
    assert (submission.job_id, submission.known, fresh) == ("job-1", ("job-x", "job-9"), True)


def test_if_the_orphan_cannot_be_looked_for_nothing_is_sent(store: MemoryStore, klap: Klap) -> None:
    before = record(store)

    def find(_: Submission) -> list[str]:
        raise KlapServerError("x", status=500)

    with pytest.raises(KlapServerError):
        klap.submitter(store, find).submit(PRINT)
    assert klap.posts == 0
    assert recorded(store) == before


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
def test_a_refused_first_post_leaves_no_trace(store: MemoryStore, klap: Klap, refusal: KlapError) -> None:
    klap.outcomes = [refusal]
    with pytest.raises(type(refusal)):
        klap.submitter(store).submit(PRINT)
    assert recorded(store) is None
    assert klap.submitter(store).submit(PRINT)[0].job_id == "job-2"


@pytest.mark.parametrize(
    ("before", "allow_new"),
    [
        ({"fingerprint": "other", "job_id": "job-0"}, False),
        ({"fingerprint": "other"}, False),
        ({"job_id": "failed", "known": ("job-x",)}, False),
        ({}, True),
    ],
)
@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
def test_a_refused_post_restores_the_earlier_record(
    store: MemoryStore, klap: Klap, refusal: KlapError, before: dict[str, Any], allow_new: bool
) -> None:
    earlier = record(store, **before)
    klap.failed.add("failed")
    klap.outcomes = [refusal]
    with pytest.raises(type(refusal)):
        klap.submitter(store).submit(PRINT, allow_new=allow_new)
    assert recorded(store) == earlier
    assert klap.posts == 1


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_a_task_whose_answer_got_lost_is_never_sent_again_by_itself(
    store: MemoryStore, klap: Klap, lost: KlapError
) -> None:
    klap.outcomes = [lost]
    with pytest.raises(KlapSubmitUncertainError) as first:
        klap.submitter(store).submit(PRINT)
    assert first.value.__cause__ is lost
    for _ in range(3):
        with pytest.raises(KlapSubmitUncertainError):
            klap.submitter(store, now=5000.0).submit(PRINT)
    assert klap.posts == 1
    assert recorded(store) == Submission(PRINT, 1000.0)


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_an_export_whose_answer_got_lost_fails_as_it_did_and_is_adopted_next_time(
    store: MemoryStore, klap: Klap, lost: KlapError
) -> None:
    klap.outcomes = [lost]
    with pytest.raises(type(lost)) as failed:
        klap.submitter(store, lambda _: ["job-x"]).submit(PRINT)
    assert failed.value is lost
    submission, fresh = klap.submitter(store, lambda intent: [f"made-at-{intent.at:.0f}"]).submit(PRINT)
    assert (submission.job_id, fresh, klap.posts) == ("made-at-1000", False, 1)


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), SystemExit(1), MemoryError(), RuntimeError("bug")], ids=repr)
def test_a_crash_between_intent_and_id_is_remembered(store: MemoryStore, klap: Klap, crash: BaseException) -> None:
    klap.outcomes = [crash]
    with pytest.raises(type(crash)):
        klap.submitter(store).submit(PRINT)
    assert recorded(store) == Submission(PRINT, 1000.0)
    with pytest.raises(KlapSubmitUncertainError):
        klap.submitter(store).submit(PRINT)
    assert klap.posts == 1


def test_a_store_that_cannot_be_read_is_not_an_empty_one(store: MemoryStore, klap: Klap) -> None:
    store.broken = True
    with pytest.raises(ConnectionError, match="API server"):
        klap.submitter(store).submit(PRINT)
    assert klap.posts == 0


def test_a_store_that_cannot_keep_the_intent_lets_nothing_out(klap: Klap) -> None:
    class ReadOnly(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            raise ConnectionError("read only")

    with pytest.raises(ConnectionError, match="read only"):
        klap.submitter(ReadOnly()).submit(PRINT)
    assert klap.posts == 0


def test_a_record_that_cannot_be_understood_lets_nothing_out(store: MemoryStore, klap: Klap) -> None:
    store.set(SUBMISSION_KEY, {"something": "else"})
    with pytest.raises(KeyError):
        klap.submitter(store).submit(PRINT)
    assert klap.posts == 0


FACTS: dict[str, Any] = {
    "path": "/projects/f/p/exports",
    "body": {"watermark": {"src_url": "https://a", "scale": 1}},
    "conn_id": "klap_default",
    "api_url": "https://api.klap.app/v2",
    "user": None,
}


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/projects/f/q/exports"},
        {"body": {}},
        {"body": None},
        {"body": {"watermark": {"src_url": "https://a", "scale": 2}}},
        {"conn_id": "klap_other"},
        {"api_url": "http://127.0.0.1:1/v2"},
        {"user": "someone"},
    ],
    ids=str,
)
def test_what_was_asked_and_of_whom_makes_the_fingerprint(other: dict[str, Any]) -> None:
    assert fingerprint(**FACTS) != fingerprint(**{**FACTS, **other})


def test_the_order_of_fields_does_not_change_the_fingerprint() -> None:
    turned = {"watermark": {"scale": 1, "src_url": "https://a"}}
    assert fingerprint(**FACTS) == fingerprint(**{**FACTS, "body": turned})


def test_a_record_survives_json() -> None:
    submission = Submission(PRINT, 12.5, "job-1", ("a", "b"))
    assert Submission.from_record(json.loads(json.dumps(submission.to_record()))) == submission


def test_the_switch_pays_once_more_for_the_same_work_and_then_is_off(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="paid")
    store.set(REDO_KEY, True)

    assert klap.submitter(store).submit(PRINT)[0].job_id == "job-1"
    assert klap.submitter(store).submit(PRINT) == (recorded(store), False)
    assert klap.posts == 1


def test_the_switch_goes_on_after_an_unknown_fate(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(REDO_KEY, "yes")
    assert klap.submitter(store).submit(PRINT)[0].job_id == "job-1"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda e: type(e).__name__)
def test_the_switch_stays_on_if_klap_refuses_the_request(store: MemoryStore, klap: Klap, refusal: KlapError) -> None:
    before = record(store, job_id="paid")
    store.set(REDO_KEY, True)
    klap.outcomes = [refusal]

    with pytest.raises(type(refusal)):
        klap.submitter(store).submit(PRINT)

    assert (recorded(store), store.get(REDO_KEY)) == (before, True)


def test_what_was_paid_before_the_switch_is_not_taken_for_the_new_job(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(REDO_KEY, True)
    klap.outcomes = [KlapNoAnswerError("x")]
    jobs = ["old"]
    submitter = klap.submitter(store, lambda _: list(jobs))
    with pytest.raises(KlapNoAnswerError):
        submitter.submit(PRINT)

    jobs.append("new")

    assert submitter.submit(PRINT)[0].job_id == "new"
    assert klap.posts == 1


def test_every_accepted_post_is_counted_and_no_refused_one(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submitter(store).submit(PRINT)
    assert klap.submitter(store).paid == 0
    first, _ = klap.submitter(store).submit(PRINT)
    again, _ = klap.submitter(store).submit(PRINT)
    klap.failed = {str(first.job_id)}
    anew, _ = klap.submitter(store).submit(PRINT)
    other, _ = klap.submitter(store).submit("print-2")
    assert [each.paid for each in (first, again, anew, other)] == [1, 1, 2, 3]
    assert klap.submitter(store).paid == 3


@pytest.mark.parametrize("failure", [KlapNoAnswerError("x"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("job_id", [None, "paid"])
def test_a_post_that_could_not_be_made_ready_leaves_all_as_it_was(
    store: MemoryStore, klap: Klap, failure: BaseException, job_id: str | None
) -> None:
    if job_id:
        record(store, job_id=job_id)
        store.set(REDO_KEY, True)
    before = dict(store.kept)

    def prepare(_: int) -> Callable[[], str]:
        raise failure

    klap.prepare = prepare
    with pytest.raises(type(failure)):
        klap.submitter(store).submit(PRINT)

    assert store.kept == before
    klap.prepare = None
    assert klap.submitter(store).submit(PRINT) == (recorded(store), True)


def test_a_post_that_is_not_needed_is_not_made_ready(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store).submit(PRINT)
    klap.prepare = lambda _: pytest.fail("made ready")
    assert klap.submitter(store).submit(PRINT) == (recorded(store), False)
