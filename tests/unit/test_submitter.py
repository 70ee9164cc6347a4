"""A paid POST goes out once, whatever happens before, during and after it."""

from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.errors import (
    Fate,
    KlapAnswerError,
    KlapAuthError,
    KlapChangedError,
    KlapConfigError,
    KlapConnectionError,
    KlapError,
    KlapInputError,
    KlapNoAnswerError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapServerError,
    KlapSubmitPendingError,
    KlapSubmitUncertainError,
)
from klap_provider.rules.ledger import Asker, Submission, Work
from klap_provider.rules.lost_answer import SEND_WITHIN, SETTLE, SOON
from klap_provider.rules.submitter import Submitter

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRY = "export short plain"
ADOPT, RESEND = f"adopt {ENTRY}", f"resend {ENTRY}"
WORK = Work(ENTRY, "https://a.example/talk.mp4", "export of short", 0.48)
WAIT = SEND_WITHIN + SETTLE
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
    told: list[str] = field(default_factory=list)
    seen_by_post: list[Any] = field(default_factory=list)
    sent_until: list[float] = field(default_factory=list)
    prepare: Callable[[int], Callable[[float], str]] | None = None

    def submitter(
        self,
        store: MemoryStore,
        list_jobs: Callable[[bool], list[str]] | None = None,
        now: float = 1000.0,
        run: str = "run",
        tries: tuple[int, int] = (1, 3),
        work: Work = WORK,
        reuse: bool = False,
    ) -> Submitter:
        def post(until: float) -> str:
            self.posts += 1
            self.sent_until.append(until)
            self.seen_by_post.append(copy.deepcopy(store.get(work.entry)))
            if self.outcomes:
                raise self.outcomes.pop(0)
            return f"job-{self.posts}"

        return Submitter(
            store=store,
            work=work,
            asker=Asker(run, *tries),
            prepare=self.prepare or (lambda _: post),
            has_failed=self.failed.__contains__,
            list_jobs=list_jobs,
            clock=lambda: now,
            tell=self.told.append,
            reuse=reuse,
        )


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def klap() -> Klap:
    return Klap()


def record(store: MemoryStore, **fields: Any) -> Submission:
    submission = Submission(**{"at": 500.0, "asker": Asker("run", 1, 3), "work": WORK, **fields})
    store.set(ENTRY, submission.to_row())
    return submission


def recorded(store: MemoryStore) -> Submission | None:
    kept = store.get(ENTRY)
    return None if kept is None else Submission.from_row(kept, WORK)


def line(job_id: str, at: float, run: str = "run") -> dict[str, Any]:
    moment = datetime.fromtimestamp(at, timezone.utc).isoformat()
    return {"id": job_id, "run": run, "at": moment, "price": 0.48}


@dataclass
class Crashing(MemoryStore):
    """A store that takes so many writes."""

    writes_left: int = 99

    def _write(self) -> None:
        if not self.writes_left:
            raise OSError("the API server is down")
        self.writes_left -= 1

    def set(self, key: str, value: Any) -> None:
        self._write()
        super().set(key, value)

    def delete(self, key: str) -> None:
        self._write()
        super().delete(key)


INTENT = Submission(1000.0, Asker("run", 1, 3), WORK)


def test_a_first_submission_is_posted_and_remembered(store: MemoryStore, klap: Klap) -> None:
    submission, fresh = klap.submitter(store).submit()
    assert (submission.job_id, submission.at, fresh) == ("job-1", 1000.0, True)
    assert recorded(store) == submission
    assert klap.posts == 1


def test_the_intent_is_recorded_before_the_post_goes_out(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store).submit()
    assert klap.seen_by_post == [
        {
            "id": None,
            "what": "export of short",
            "video": "https://a.example/talk.mp4",
            "submitted_at": "1970-01-01T00:16:40+00:00",
            "run": "run",
            "tries": [1, 3],
            "price": 0.48,
            "paid": [],
            "known": [],
            "asked": {},
        }
    ]
    assert klap.sent_until == [1000.0 + SEND_WITHIN]


def test_a_second_run_reattaches_and_pays_nothing(store: MemoryStore, klap: Klap) -> None:
    first, _ = klap.submitter(store).submit()
    second, fresh = klap.submitter(store, now=2000.0).submit()
    assert second == first
    assert not fresh
    assert klap.posts == 1


def test_a_job_that_failed_at_klap_is_submitted_anew_and_its_id_stays_known(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="job-0", known=("job-x",))
    klap.failed.add("job-0")
    submission, fresh = klap.submitter(store).submit()
    assert (submission.job_id, fresh) == ("job-1", True)
    assert submission.known == ("job-x", "job-0")
    assert recorded(store) == submission


def test_a_job_whose_state_cannot_be_asked_for_is_not_submitted_anew(store: MemoryStore, klap: Klap) -> None:
    before = record(store, job_id="job-0")

    def cannot_tell(_: str) -> bool:
        raise KlapNotFoundError("x", status=404)

    with pytest.raises(KlapNotFoundError):
        replace(klap.submitter(store), has_failed=cannot_tell).submit()
    assert klap.posts == 0
    assert recorded(store) == before


def test_an_orphan_is_adopted_and_remembered(store: MemoryStore, klap: Klap) -> None:
    before = record(store, known=("job-x",))
    asked: list[bool] = []

    def jobs(without_failed: bool) -> list[str]:
        asked.append(without_failed)
        return ["job-x", "job-9"]

    submission, fresh = klap.submitter(store, jobs).submit()
    assert asked == [True]
    assert submission == replace(before, job_id="job-9", paid=(line("job-9", 500.0),))
    assert not fresh
    assert recorded(store) == submission
    assert klap.posts == 0


def test_of_two_jobs_that_may_be_the_lost_one_none_is_taken_and_none_is_made(store: MemoryStore, klap: Klap) -> None:
    before = record(store)
    with pytest.raises(KlapSubmitUncertainError, match="job-9, job-10") as stopped:
        klap.submitter(store, lambda _: ["job-9", "job-10"]).submit()
    assert stopped.value.fate == Fate(ENTRY, before.submitted_at, ("job-9", "job-10"), 0.48)
    assert (klap.posts, recorded(store)) == (0, before)


def test_what_klap_lists_before_the_post_is_part_of_the_intent(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapNoAnswerError("x")]
    with pytest.raises(KlapNoAnswerError):
        klap.submitter(store, lambda _: ["another-runs"]).submit()
    submission, _ = klap.submitter(store, lambda _: ["another-runs"], now=5000.0).submit()
    assert (submission.job_id, submission.known, klap.posts) == ("job-2", ("another-runs",), 2)


def test_without_an_orphan_the_lost_post_did_not_arrive_and_is_sent_again(store: MemoryStore, klap: Klap) -> None:
    record(store, known=("job-x",))
    submission, fresh = klap.submitter(store, lambda _: ["job-x"]).submit()
    assert (submission.job_id, submission.at, submission.known, fresh) == ("job-1", 1000.0, ("job-x",), True)


def test_if_the_orphan_cannot_be_looked_for_nothing_is_sent(store: MemoryStore, klap: Klap) -> None:
    before = record(store)

    def jobs(_: bool) -> list[str]:
        raise KlapServerError("x", status=500)

    with pytest.raises(KlapServerError):
        klap.submitter(store, jobs).submit()
    assert klap.posts == 0
    assert recorded(store) == before


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
def test_a_refused_first_post_leaves_no_trace(store: MemoryStore, klap: Klap, refusal: KlapError) -> None:
    klap.outcomes = [refusal]
    with pytest.raises(type(refusal)):
        klap.submitter(store).submit()
    assert recorded(store) is None
    assert klap.submitter(store).submit()[0].job_id == "job-2"


@pytest.mark.parametrize(("held_up", "left"), [(SEND_WITHIN - 1, False), (WAIT, True)])
def test_a_post_that_was_held_up_and_not_sent_leaves_the_intent_if_somebody_may_have_been_told_of_it(
    store: MemoryStore, klap: Klap, held_up: float, left: bool
) -> None:
    now = [1000.0]

    def post(_: float) -> str:
        now[0] += held_up
        raise KlapConnectionError("too late")

    with pytest.raises(KlapConnectionError):
        replace(klap.submitter(store), prepare=lambda _: post, clock=lambda: now[0]).submit()
    assert recorded(store) == (INTENT if left else None)


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_an_export_whose_answer_got_lost_fails_as_it_did_and_is_adopted_next_time(
    store: MemoryStore, klap: Klap, lost: KlapError
) -> None:
    klap.outcomes = [lost]
    with pytest.raises(type(lost)) as failed:
        klap.submitter(store, lambda _: ["job-x"]).submit()
    assert failed.value is lost
    submission, fresh = klap.submitter(store, lambda _: ["job-x", "job-9"]).submit()
    assert (submission.job_id, fresh, klap.posts) == ("job-9", False, 1)


def test_a_store_that_cannot_be_read_is_not_an_empty_one(store: MemoryStore, klap: Klap) -> None:
    store.broken = True
    with pytest.raises(ConnectionError, match="API server"):
        klap.submitter(store).submit()
    assert klap.posts == 0


def test_a_store_that_cannot_keep_the_intent_lets_nothing_out(klap: Klap) -> None:
    class ReadOnly(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            raise ConnectionError("read only")

    with pytest.raises(ConnectionError, match="read only"):
        klap.submitter(ReadOnly()).submit()
    assert klap.posts == 0


def test_a_record_that_cannot_be_understood_lets_nothing_out(store: MemoryStore, klap: Klap) -> None:
    store.set(ENTRY, {"something": "else"})
    with pytest.raises(KeyError):
        klap.submitter(store).submit()
    assert klap.posts == 0


def test_a_post_that_is_not_needed_is_not_made_ready(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store).submit()
    klap.prepare = lambda _: pytest.fail("made ready")
    assert klap.submitter(store).submit() == (recorded(store), False)


# A fate that is unknown.


@pytest.mark.parametrize("seconds", [0.0, 1.0, WAIT - 1])
@pytest.mark.parametrize("listed", [True, False])
def test_what_may_still_be_under_way_is_not_sent_again(
    store: MemoryStore, klap: Klap, seconds: float, listed: bool
) -> None:
    before = record(store, at=1000.0 - seconds)
    with pytest.raises(KlapSubmitPendingError) as pending:
        klap.submitter(store, (lambda _: []) if listed else None).submit()
    assert pending.value.passing
    assert pending.value.retry_after == WAIT - seconds
    assert (klap.posts, recorded(store)) == (0, before)


def test_an_export_that_turns_up_while_it_is_waited_for_is_adopted(store: MemoryStore, klap: Klap) -> None:
    record(store, at=999.0)
    late, _ = klap.submitter(store, lambda _: ["job-late"]).submit()
    assert (late.job_id, klap.posts) == ("job-late", 0)


def test_an_old_intent_without_an_id_stops_a_task_and_says_how_to_go_on(store: MemoryStore, klap: Klap) -> None:
    before = record(store, at=0.0)
    with pytest.raises(KlapSubmitUncertainError) as stopped:
        klap.submitter(store).submit()
    for part in ("1970-01-01T00:00:00+00:00", ADOPT, RESEND, "klap_ledger", "billed"):
        assert part in str(stopped.value)
    assert stopped.value.fate == Fate(ENTRY, "1970-01-01T00:00:00+00:00", (), 0.48)
    assert (klap.posts, recorded(store)) == (0, before)


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_a_task_whose_answer_got_lost_is_never_sent_again_by_itself(
    store: MemoryStore, klap: Klap, lost: KlapError
) -> None:
    klap.outcomes = [lost]
    with pytest.raises(KlapSubmitUncertainError) as first:
        klap.submitter(store).submit()
    assert first.value.__cause__ is lost
    for tries in ((2, 3), (3, 3), (4, 7)):
        with pytest.raises(KlapSubmitUncertainError):
            klap.submitter(store, now=5000.0, tries=tries).submit()
    assert (klap.posts, recorded(store)) == (1, INTENT)


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), SystemExit(1), MemoryError(), RuntimeError("bug")], ids=repr)
def test_a_crash_between_intent_and_id_is_remembered(store: MemoryStore, klap: Klap, crash: BaseException) -> None:
    klap.outcomes = [crash]
    with pytest.raises(type(crash)):
        klap.submitter(store).submit()
    assert recorded(store) == INTENT
    with pytest.raises(KlapSubmitPendingError):
        klap.submitter(store).submit()
    with pytest.raises(KlapSubmitUncertainError):
        klap.submitter(store, now=1000.0 + WAIT).submit()
    assert klap.posts == 1


def test_what_an_export_of_another_look_has_made_is_not_adopted(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapNoAnswerError("x")]
    with pytest.raises(KlapNoAnswerError):
        klap.submitter(store, lambda _: []).submit()
    other = replace(WORK, entry="export short marked")
    theirs, _ = klap.submitter(store, lambda _: [], run="another", work=other).submit()
    listed = [str(theirs.job_id)]
    with pytest.raises(KlapSubmitPendingError):
        klap.submitter(store, lambda _: listed).submit()
    mine, fresh = klap.submitter(store, lambda _: listed, now=1000.0 + WAIT).submit()
    assert (mine.job_id, fresh, klap.posts) == ("job-3", True, 3)


# A person's word.


def test_after_an_unknown_fate_a_person_says_which_task_it_is(store: MemoryStore, klap: Klap) -> None:
    record(store, at=0.0)
    store.set(ADOPT, "task-7")
    submission, fresh = klap.submitter(store).submit()
    assert (submission.job_id, fresh, klap.posts) == ("task-7", False, 0)
    assert submission.paid == (line("task-7", 0.0),)
    assert store.get(ADOPT) is None
    assert klap.submitter(store).submit()[0].job_id == "task-7"


def test_after_an_unknown_fate_a_person_says_that_it_is_not_there(store: MemoryStore, klap: Klap) -> None:
    record(store, at=0.0)
    store.set(RESEND, True)
    submission, fresh = klap.submitter(store).submit()
    assert (submission.job_id, fresh, store.get(RESEND)) == ("job-1", True, None)
    assert klap.submitter(store).submit() == (submission, False)
    assert klap.posts == 1


@pytest.mark.parametrize("word", [False, "true", "yes", 1, 0, {}, [], {"used": True}])
def test_only_true_means_yes(store: MemoryStore, klap: Klap, word: Any) -> None:
    record(store, job_id="paid")
    store.set(RESEND, word)
    assert klap.submitter(store).submit()[0].job_id == "paid"
    assert klap.posts == 0
    assert "only true means yes" in klap.told[0]


@pytest.mark.parametrize("word", [True, None, "", " ", [], {"id": "x"}])
def test_a_task_that_is_none_is_refused(store: MemoryStore, klap: Klap, word: Any) -> None:
    before = record(store, at=0.0)
    store.set(ADOPT, word)
    with pytest.raises((KlapInputError, KlapSubmitUncertainError)):
        klap.submitter(store).submit()
    assert (klap.posts, recorded(store)) == (0, before)


def test_a_task_that_klap_does_not_know_or_that_failed_is_not_gone_on_with(store: MemoryStore, klap: Klap) -> None:
    before = record(store, at=0.0)
    store.set(ADOPT, "task-7")
    klap.failed.add("task-7")
    with pytest.raises(KlapInputError, match="task-7"):
        klap.submitter(store).submit()

    def unknown(_: str) -> bool:
        raise KlapNotFoundError("x", status=404)

    with pytest.raises(KlapNotFoundError) as asked_again:
        replace(klap.submitter(store), has_failed=unknown).submit()
    assert (klap.posts, recorded(store), store.get(ADOPT)) == (0, before, "task-7")
    assert asked_again.value.fate == Fate(ENTRY, before.submitted_at, (), 0.48)


def test_two_words_that_contradict_each_other_send_nothing(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="paid")
    store.set(ADOPT, "task-7")
    store.set(RESEND, True)
    with pytest.raises(KlapInputError, match="both"):
        klap.submitter(store).submit()
    assert klap.posts == 0


@pytest.mark.parametrize("survives", range(8))
@pytest.mark.parametrize("job_id", ["paid", None])
def test_a_permission_is_good_for_one_post_whatever_crashes_over_it(
    klap: Klap, survives: int, job_id: str | None
) -> None:
    store = Crashing()
    record(store, at=0.0, job_id=job_id)
    store.set(RESEND, True)
    store.writes_left = survives
    for _ in range(3):
        try:
            klap.submitter(store, now=2000.0).submit()
        except KlapSubmitUncertainError:
            break
        except (OSError, KlapSubmitPendingError, KlapError):
            store.writes_left = 99
    assert klap.posts <= 1
    used_up = store.get(ENTRY)["submitted_at"] == "1970-01-01T00:33:20+00:00"  # its POST may have gone out
    assert klap.posts or used_up or store.get(RESEND) is not None


@pytest.mark.parametrize(("survives", "posts"), [(2, 1), (3, 0)], ids=["before the intent", "after the intent"])
def test_a_permission_belongs_to_the_intent_that_used_it(klap: Klap, survives: int, posts: int) -> None:
    """A worker that stands still just after its intent may go on: no other one may use the same permission."""
    store = Crashing()
    record(store, at=0.0)
    store.set(RESEND, True)
    store.writes_left = survives
    with pytest.raises(OSError, match="down"):
        klap.submitter(store, now=2000.0).submit()
    store.writes_left = 99
    with pytest.raises(KlapSubmitPendingError) if not posts else nullcontext():
        klap.submitter(store, now=2001.0).submit()
    assert (klap.posts, store.get(RESEND)) == (posts, None)


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
@pytest.mark.parametrize("job_id", ["paid", None])
def test_a_permission_stays_if_klap_refuses_the_request(
    store: MemoryStore, klap: Klap, refusal: KlapError, job_id: str | None
) -> None:
    before = record(store, job_id=job_id, at=0.0)
    store.set(RESEND, True)
    klap.outcomes = [refusal]
    with pytest.raises(type(refusal)):
        klap.submitter(store).submit()
    assert (recorded(store), store.get(RESEND)) == (before, True)


def test_a_refused_post_in_place_of_a_failed_job_restores_the_record(store: MemoryStore, klap: Klap) -> None:
    before = record(store, job_id="failed", known=("job-x",))
    klap.failed.add("failed")
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submitter(store).submit()
    assert recorded(store) == before


def test_what_was_paid_before_a_permission_is_not_taken_for_the_new_job(store: MemoryStore, klap: Klap) -> None:
    record(store, at=0.0)
    store.set(RESEND, True)
    klap.outcomes = [KlapNoAnswerError("x")]
    jobs = ["old"]
    submitter = klap.submitter(store, lambda _: list(jobs))
    with pytest.raises(KlapNoAnswerError):
        submitter.submit()
    jobs.append("new")
    assert submitter.submit()[0].job_id == "new"
    assert klap.posts == 1


# What changes.

ENGLISH = replace(WORK, asked={"language": "en", "host": "https://a"})
GERMAN = replace(WORK, asked={"language": "de", "host": "https://b"})


def test_a_retry_with_other_inputs_goes_on_with_what_was_paid_and_says_what_differs(
    store: MemoryStore, klap: Klap
) -> None:
    klap.submitter(store, work=ENGLISH).submit()
    submission, fresh = klap.submitter(store, work=GERMAN, tries=(2, 3)).submit()
    assert (submission.job_id, fresh, klap.posts) == ("job-1", False, 1)
    assert 'language was "en" and is "de"; host was' in klap.told[0]


@pytest.mark.parametrize("tries", [(2, 5), (1, 3)], ids=["cleared", "deleted"])
def test_after_a_clear_with_other_inputs_the_task_stops_until_a_person_says_which(klap: Klap, tries: Any) -> None:
    def again(store: MemoryStore, tries: tuple[int, int] = tries) -> Submission:
        return klap.submitter(store, work=GERMAN, tries=tries).submit()[0]

    store = MemoryStore()
    klap.submitter(store, work=ENGLISH, tries=(2, 3)).submit()
    with pytest.raises(KlapChangedError) as stopped:
        again(store)
    for part in ('language was "en" and is "de"', 'host was "https://a" and is "https://b"', "job-1", ADOPT, RESEND):
        assert part in str(stopped.value)
    assert stopped.value.fate is not None
    assert stopped.value.fate.jobs == ("job-1",)
    assert klap.posts == 1

    store.set(ADOPT, "job-1")
    assert again(store).job_id == "job-1"
    assert again(store, (1, 9)).job_id == "job-1"  # it is agreed upon
    store.set(RESEND, True)
    assert again(store).job_id == "job-2"
    assert again(store).job_id == "job-2"
    assert klap.posts == 2


def test_after_a_clear_a_task_that_failed_is_sent_anew_with_other_inputs(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store, work=ENGLISH).submit()
    klap.failed.add("job-1")
    assert klap.submitter(store, work=GERMAN, tries=(2, 5)).submit()[0].job_id == "job-2"


def test_other_inputs_are_named_although_the_new_account_does_not_know_the_task(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store, work=ENGLISH).submit()

    def unknown(_: str) -> bool:
        raise KlapNotFoundError("x", status=404)

    with pytest.raises(KlapChangedError, match="language"):
        replace(klap.submitter(store, work=GERMAN, tries=(2, 5)), has_failed=unknown).submit()


# Several runs.


def test_another_run_takes_what_is_there_and_has_paid_nothing(store: MemoryStore, klap: Klap) -> None:
    first, _ = klap.submitter(store, run="monday").submit()
    second, fresh = klap.submitter(store, run="tuesday").submit()
    assert (second, fresh, klap.posts) == (first, False, 1)
    assert [second.paid_by(run) for run in ("monday", "tuesday")] == [1, 0]


@pytest.mark.parametrize(("age", "wait"), [(0.0, SOON), (5.0, SOON), (40.0, 120.0), (WAIT - 7, 7.0)])
def test_what_another_run_is_about_to_have_is_looked_for_soon(
    store: MemoryStore, klap: Klap, age: float, wait: float
) -> None:
    record(store, at=1000.0 - age, asker=Asker("monday", 1, 3))
    with pytest.raises(KlapSubmitPendingError, match="monday") as pending:
        klap.submitter(store, lambda _: [], run="tuesday").submit()
    assert pending.value.retry_after == wait


def test_of_two_runs_that_ask_at_the_same_time_one_pays_and_the_other_waits(store: MemoryStore, klap: Klap) -> None:
    def meanwhile(_: bool) -> list[str]:
        klap.submitter(store, run="monday").submit()
        return []

    with pytest.raises(KlapSubmitPendingError):
        klap.submitter(store, meanwhile, run="tuesday").submit()
    submission, _ = klap.submitter(store, run="tuesday").submit()
    assert (submission.job_id, klap.posts) == ("job-1", 1)


def test_two_runs_that_both_paid_say_so(store: MemoryStore, klap: Klap) -> None:
    def post(_: float) -> str:
        record(store, at=1000.1, asker=Asker("monday", 1, 3), job_id="job-m", paid=(line("job-m", 1000.1, "monday"),))
        return "job-t"

    submission, _ = replace(klap.submitter(store, run="tuesday"), prepare=lambda _: post).submit()
    assert "Paid twice" in klap.told[0]
    assert [each["id"] for each in submission.paid] == ["job-m", "job-t"]


def request(entry: str) -> Work:
    return replace(WORK, entry=entry, request="request 1")


def test_with_reuse_a_run_goes_on_with_what_another_one_sent(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store, run="monday", work=request("submission monday")).submit()
    again, fresh = klap.submitter(store, run="tuesday", work=request("submission tuesday"), reuse=True).submit()
    assert (again.job_id, fresh, klap.posts, again.paid) == ("job-1", False, 1, ())
    assert klap.submitter(store, run="wednesday", work=request("submission wednesday")).submit()[0].job_id == "job-2"


def test_with_reuse_what_failed_or_is_another_accounts_is_sent_anew(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store, run="monday", work=request("submission monday")).submit()
    klap.failed.add("job-1")
    reuse = {"reuse": True}
    assert klap.submitter(store, run="b", work=request("submission b"), **reuse).submit()[0].job_id == "job-2"

    def unknown(_: str) -> bool:
        raise KlapNotFoundError("x", status=404)

    third = replace(klap.submitter(store, run="c", work=request("submission c"), **reuse), has_failed=unknown)
    assert third.submit()[0].job_id == "job-3"


def test_with_reuse_a_request_under_way_is_waited_for_and_a_lost_one_is_asked_about(
    store: MemoryStore, klap: Klap
) -> None:
    klap.outcomes = [RuntimeError("killed")]
    with pytest.raises(RuntimeError):
        klap.submitter(store, run="monday", work=request("submission monday"), reuse=True).submit()
    with pytest.raises(KlapSubmitPendingError, match="monday"):
        klap.submitter(store, run="b", work=request("submission b"), reuse=True).submit()
    with pytest.raises(KlapSubmitUncertainError, match="adopt submission monday"):
        klap.submitter(store, now=1000.0 + WAIT, run="b", work=request("submission b"), reuse=True).submit()
    assert klap.posts == 1


def test_with_reuse_a_refused_request_is_no_reason_not_to_send(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submitter(store, run="monday", work=request("submission monday"), reuse=True).submit()
    assert klap.submitter(store, run="b", work=request("submission b"), reuse=True).submit()[0].job_id == "job-2"


# What is written down.


def test_every_accepted_post_has_a_line_for_people_and_counts_for_its_run(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submitter(store).submit()
    assert klap.submitter(store).paid == 0
    first, _ = klap.submitter(store).submit()
    again, _ = klap.submitter(store).submit()
    klap.failed = {str(first.job_id)}
    anew, _ = klap.submitter(store).submit()
    assert [each.paid_by("run") for each in (first, again, anew)] == [1, 1, 2]
    assert klap.submitter(store).paid == 2
    lines = {name: json.loads(row) for name, row in store.kept.items() if name.startswith("paid ")}
    about = {"what": "export of short", "entry": ENTRY}
    assert lines == {
        f"paid https://a.example/talk.mp4 {job_id}": {**line(job_id, 1000.0), **about} for job_id in ("job-2", "job-3")
    }


def test_a_line_that_a_crash_kept_from_being_written_is_written_later(store: MemoryStore, klap: Klap) -> None:
    klap.submitter(store).submit()
    name = "paid https://a.example/talk.mp4 job-1"
    kept = store.get(name)
    store.delete(name)
    klap.submitter(store).submit()
    assert store.get(name) == kept


def test_an_id_that_airflow_does_not_keep_is_in_the_error_and_can_be_given_back(klap: Klap) -> None:
    store = Crashing(writes_left=2)
    with pytest.raises(KlapError, match="job-1") as failed:
        klap.submitter(store).submit()
    assert ADOPT in str(failed.value)
    store.writes_left = 99
    store.set(ADOPT, "job-1")
    assert klap.submitter(store, now=9000.0).submit()[0].job_id == "job-1"
    assert klap.posts == 1


def test_an_id_that_airflow_has_kept_half_is_gone_on_with(klap: Klap) -> None:
    store = Crashing(writes_left=3)
    with pytest.raises(KlapError, match="job-1"):
        klap.submitter(store).submit()
    store.writes_left = 99
    submission, fresh = klap.submitter(store, now=9000.0).submit()
    assert (submission.job_id, fresh, klap.posts) == ("job-1", False, 1)
    assert store.get("paid https://a.example/talk.mp4 job-1") is not None


def test_a_store_that_keeps_nothing_lets_nothing_out(klap: Klap) -> None:
    class Void(MemoryStore):
        def set(self, name: str, value: Any) -> None:
            pass

    with pytest.raises(KlapConfigError, match="klap_ledger"):
        klap.submitter(Void()).submit()
    assert klap.posts == 0


@pytest.mark.parametrize("failure", [KlapNoAnswerError("x"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("job_id", [None, "paid"])
def test_a_post_that_could_not_be_made_ready_leaves_all_as_it_was(
    store: MemoryStore, klap: Klap, failure: BaseException, job_id: str | None
) -> None:
    if job_id:
        record(store, job_id=job_id)
        store.set(RESEND, True)
    before = dict(store.kept)

    def prepare(_: int) -> Callable[[float], str]:
        raise failure

    klap.prepare = prepare
    with pytest.raises(type(failure)):
        klap.submitter(store).submit()

    assert store.kept == before
    klap.prepare = None
    assert klap.submitter(store).submit() == (recorded(store), True)
