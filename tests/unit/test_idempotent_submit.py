"""A paid POST is sent once, whatever happens before, during and after it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.errors import (
    KlapAuthError,
    KlapChangedError,
    KlapConnectionError,
    KlapError,
    KlapInputError,
    KlapInvalidResponseError,
    KlapNoResponseError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapServerError,
    KlapSubmitPendingError,
    KlapSubmitUncertainError,
)
from klap_provider.rules.idempotent_submit import IdempotentSubmit
from klap_provider.rules.in_doubt import CLOCKS, SEND_WITHIN, SOON, Listing, ends_at
from klap_provider.rules.ledger import Attempt, PaidRequest, Requester, read_attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from klap_provider.errors import OpenDecision
    from klap_provider.rules.attempt_log import Submission

LOG = "export.short"
FIRST = f"{LOG}.0"
ADOPT, RESEND = f"adopt.{FIRST}", f"resend.{FIRST}"
EXPORT = PaidRequest(LOG, video="https://a.example/talk.mp4", what="export of short", price=0.48)
RESPONSE_WITHIN = 70.0
#: Seconds after which an attempt that was made at 0 is no longer in the in-doubt window.
WAIT = ends_at(Attempt(FIRST, "a", 0.0, Requester("run")))
REFUSALS = [
    KlapConnectionError("x"),
    KlapAuthError("x", status=401),
    KlapRateLimitError("x", status=429),
    KlapServerError("x", status=503, retry_after=1),
]
LOST = [KlapNoResponseError("x"), KlapServerError("x", status=500), KlapInvalidResponseError("x", status=200)]


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
        raise AssertionError("no row of a paid request is ever deleted")

    def rows(self, prefix: str) -> dict[str, Any]:
        return {key: json.loads(value) for key, value in self.kept.items() if key.startswith(prefix)}


@dataclass
class Klap:
    """
    Takes POSTs.

    :ivar outcomes: the errors of the next POSTs; each POST after these makes a job.
    :ivar listed: Klap's list of jobs; None = Klap has no list.
    :ivar is_proof: whether the list has other jobs of ours.
    """

    outcomes: list[BaseException] = field(default_factory=list)
    posts: int = 0
    failed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    listed: list[str] | None = None
    is_proof: bool = True
    sent_until: list[float] = field(default_factory=list)
    before_post: Callable[[], None] = lambda: None
    preparation: Callable[[], None] = lambda: None
    time: float = 1000.0
    slept: list[float] = field(default_factory=list)
    attempts: int = 0
    response_within: float = RESPONSE_WITHIN

    @property
    def has_list(self) -> bool:
        return self.listed is not None

    def prepare(self, paid: int) -> Collection[str]:
        self.preparation()
        return list(self.listed or ())

    def send(self, until: float) -> str:
        self.posts += 1
        self.sent_until.append(until)
        self.before_post()
        if self.outcomes:
            raise self.outcomes.pop(0)
        return f"job-{self.posts}"

    def find(self) -> Listing | None:
        if self.listed is None:
            return None
        return Listing([job for job in self.listed if job not in self.failed], self.is_proof)

    def has_failed(self, job_id: str) -> bool:
        if job_id in self.unknown:
            raise KlapNotFoundError("x", status=404)
        return job_id in self.failed

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def asking(
        self,
        store: MemoryStore,
        *,
        now: float | None = None,
        run: str = "run",
        tries: tuple[int, int] = (1, 3),
        request: PaidRequest = EXPORT,
    ) -> IdempotentSubmit:
        self.attempts += 1
        self.time = self.time if now is None else now
        requester, attempt_id = Requester(run, *tries), f"id-{self.attempts}"
        return IdempotentSubmit(store, self, request, requester, attempt_id, self, self.response_within)

    def submit(self, store: MemoryStore, **more: Any) -> Submission:
        return self.asking(store, **more).submit()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def klap() -> Klap:
    return Klap()


def record(store: MemoryStore, *, request: PaidRequest = EXPORT, job_id: str | None = None, **fields: Any) -> Attempt:
    """Put an attempt, made half an hour ago by default, into the ledger."""
    number = len(read_attempts(store, request.log))
    made = {"at": -1000.0, "requester": Requester("run", 1, 3), "id": f"recorded-{number}", **fields}
    attempt = Attempt(
        f"{request.log}.{number}",
        what=request.what,
        video=request.video,
        price=request.price,
        fingerprint=request.fingerprint,
        inputs=request.inputs,
        **made,
    )
    store.set(attempt.key, attempt.to_row())
    store.set(f"door.{attempt.key}", {"closed_by": attempt.id})
    if job_id:
        store.set(attempt.payment_key, attempt.payment(job_id))
    return attempt


def decision(sent_at: str, *jobs: str) -> OpenDecision:
    return {"entry": FIRST, "sent_at": sent_at, "jobs": [*jobs], "price": 0.48, "estimated": False}


def attempts_of(store: MemoryStore, log: str = LOG) -> list[Attempt]:
    return read_attempts(store, log)


def results(store: MemoryStore, log: str = LOG) -> list[str | None]:
    """Return the result of each attempt: the job, "void", or None if it is in doubt."""
    return ["void" if each.is_void else each.job_id for each in attempts_of(store, log)]


@dataclass
class Crashing(MemoryStore):
    """A store that fails after some writes."""

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


def test_a_first_request_is_posted_once_and_recorded(store: MemoryStore, klap: Klap) -> None:
    first = klap.submit(store)
    assert (first.job_id, first.is_new, first.was_recorded, first.paid) == ("job-1", True, True, 1)
    again = klap.submit(store, now=9000.0)
    assert (again.job_id, again.is_new, again.was_recorded, again.paid) == ("job-1", False, False, 1)
    assert (klap.posts, results(store)) == (1, ["job-1"])


def test_the_attempt_is_recorded_before_the_post_and_the_payment_after_it(store: MemoryStore, klap: Klap) -> None:
    before: list[Any] = []
    klap.before_post = lambda: before.append((store.rows(FIRST), store.rows("paid")))
    klap.submit(store)
    attempt = {
        "version": 1,
        "id": "id-1",
        "what": "export of short",
        "video": "https://a.example/talk.mp4",
        "submitted_at": "1970-01-01T00:16:40+00:00",
        "run": "run",
        "tries": [1, 3],
        "price": 0.48,
        "inputs": {},
    }
    assert before == [({FIRST: attempt}, {})]
    assert store.rows("paid") == {
        "paid.1970-01-01.id-1": {
            "version": 1,
            "id": "job-1",
            "run": "run",
            "at": "1970-01-01T00:16:40+00:00",
            "price": 0.48,
            "what": "export of short",
            "video": "https://a.example/talk.mp4",
            "entry": FIRST,
        }
    }
    assert klap.sent_until == [1000.0 + SEND_WITHIN]


@pytest.mark.parametrize(("listed", "new", "known"), [([], 6, 7), (None, 7, 5)])
def test_reads_and_writes_of_a_new_request_and_of_a_known_one(
    klap: Klap, listed: list[str] | None, new: int, known: int
) -> None:
    class Counting(MemoryStore):
        requests = 0

        def get(self, key: str) -> Any:
            self.requests += 1
            return super().get(key)

        def set(self, key: str, value: Any) -> None:
            self.requests += 1
            super().set(key, value)

    store = Counting()
    klap.listed = listed
    klap.submit(store)
    assert store.requests == new
    klap.submit(store, run="another")
    assert store.requests == new + known


def test_a_known_request_is_not_prepared_again_in_a_retry(store: MemoryStore, klap: Klap) -> None:
    klap.listed = []
    klap.submit(store)
    klap.preparation = lambda: pytest.fail("it was prepared")
    assert klap.submit(store, tries=(2, 3)).job_id == "job-1"


def test_a_job_that_failed_at_klap_is_requested_again(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="job-0")
    klap.failed.add("job-0")
    assert klap.submit(store).job_id == "job-1"
    assert results(store) == ["job-0", "job-1"]
    assert klap.submit(store).job_id == "job-1"
    assert klap.posts == 1


def test_a_job_whose_status_is_not_known_is_not_requested_again(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="job-0")
    klap.unknown.add("job-0")
    with pytest.raises(KlapNotFoundError):
        klap.submit(store)
    assert (klap.posts, results(store)) == (0, ["job-0"])


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
def test_a_refused_post_is_void_and_the_next_try_sends_again(
    store: MemoryStore, klap: Klap, refusal: KlapError
) -> None:
    klap.outcomes = [refusal]
    with pytest.raises(type(refusal)):
        klap.submit(store)
    assert results(store) == ["void"]
    assert klap.submit(store).job_id == "job-2"
    assert results(store) == ["void", "job-2"]


def test_a_refusal_is_reported_even_if_it_cannot_be_recorded(klap: Klap) -> None:
    store = Crashing(writes_left=3)
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submit(store)


@pytest.mark.parametrize("failure", [KlapNoResponseError("x"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("job_id", [None, "paid"])
def test_a_failed_preparation_leaves_no_attempt(
    store: MemoryStore, klap: Klap, failure: BaseException, job_id: str | None
) -> None:
    if job_id:
        record(store, job_id=job_id)
        klap.failed.add(job_id)
    before = results(store)

    def prepare() -> None:
        raise failure

    klap.preparation = prepare
    with pytest.raises(type(failure)):
        klap.submit(store)
    assert (klap.posts, results(store)) == (0, before)
    klap.preparation = lambda: None
    assert klap.submit(store).is_new


def test_a_post_that_is_not_needed_is_not_prepared(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store)
    klap.preparation = lambda: pytest.fail("prepared")
    assert not klap.submit(store).is_new


# The ledger fails.


def test_a_ledger_that_cannot_be_read_is_not_an_empty_one(store: MemoryStore, klap: Klap) -> None:
    store.broken = True
    with pytest.raises(ConnectionError, match="API server"):
        klap.submit(store)
    assert klap.posts == 0


@pytest.mark.parametrize("survives", range(3))
def test_a_ledger_that_cannot_be_written_sends_nothing(klap: Klap, survives: int) -> None:
    store = Crashing(writes_left=survives)
    with pytest.raises(OSError, match="down"):
        klap.submit(store)
    assert klap.posts == 0


def test_a_ledger_that_loses_every_write_sends_nothing(klap: Klap) -> None:
    class Void(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            pass

    with pytest.raises(KlapSubmitPendingError):
        klap.submit(Void())
    assert klap.posts == 0


def test_an_unreadable_row_sends_nothing(store: MemoryStore, klap: Klap) -> None:
    store.set(FIRST, {"something": "else"})
    store.set(f"door.{FIRST}", {"closed_by": "x"})
    with pytest.raises(KeyError):
        klap.submit(store)
    assert klap.posts == 0


def test_a_ledger_that_cannot_be_read_after_the_post_loses_no_id(store: MemoryStore, klap: Klap) -> None:
    def breaks() -> None:
        store.broken = True

    klap.before_post = breaks
    assert klap.submit(store).job_id == "job-1"
    store.broken = False
    assert results(store) == ["job-1"]


def test_an_id_that_cannot_be_recorded_is_in_the_error_to_be_adopted(klap: Klap) -> None:
    store = Crashing(writes_left=3)
    with pytest.raises(KlapError, match="job-1") as failed:
        klap.submit(store)
    assert ADOPT in str(failed.value)
    store.writes_left = 99
    store.set(ADOPT, "job-1")
    assert klap.submit(store, now=9000.0).job_id == "job-1"
    assert (klap.posts, results(store)) == (1, ["job-1"])


def test_a_failed_write_of_the_reuse_row_does_not_fail_the_task(klap: Klap) -> None:
    store = Crashing(writes_left=4)
    assert klap.submit(store, request=replace(EXPORT, reuse_key="reuse.1")).job_id == "job-1"


# In doubt.


@pytest.mark.parametrize("seconds", [0.0, 1.0, WAIT - 1])
@pytest.mark.parametrize("listed", [[], None])
def test_nothing_is_sent_while_a_post_may_still_take_effect(
    store: MemoryStore, klap: Klap, seconds: float, listed: list[str] | None
) -> None:
    klap.listed = listed
    record(store, at=1000.0 - seconds)
    with pytest.raises(KlapSubmitPendingError) as pending:
        klap.submit(store)
    assert pending.value.transient
    assert pending.value.retry_after == WAIT - seconds
    assert (klap.posts, results(store)) == (0, [None])


def test_an_in_doubt_window_has_the_timeouts_of_its_sender(store: MemoryStore, klap: Klap) -> None:
    klap.listed, klap.outcomes, klap.response_within = [], [KeyboardInterrupt()], 600.0
    with pytest.raises(KeyboardInterrupt):
        klap.submit(store, run="patient")
    klap.response_within = RESPONSE_WITHIN
    with pytest.raises(KlapSubmitPendingError):
        klap.submit(store, now=1000.0 + WAIT + 500)
    assert klap.posts == 1


def test_the_list_of_another_account_proves_nothing(store: MemoryStore, klap: Klap) -> None:
    klap.listed, klap.outcomes = [], [KlapNoResponseError("x")]
    with pytest.raises(KlapNoResponseError):
        klap.submit(store, request=replace(EXPORT, account="klap_default https://a user-1"))
    with pytest.raises(KlapSubmitUncertainError, match="another connection or user"):
        klap.submit(store, request=replace(EXPORT, account="klap_default https://a user-2"), now=9000.0)
    assert klap.posts == 1


@pytest.mark.parametrize("listed", [[], None])
def test_a_payment_that_is_recorded_meanwhile_is_not_in_doubt(
    store: MemoryStore, klap: Klap, listed: list[str] | None
) -> None:
    attempt = record(store)

    class Slow(Klap):
        """A machine that pauses before it reads the clock, while the sender records the payment."""

        def now(self) -> float:
            store.set(attempt.payment_key, attempt.payment("paid"))
            return self.time

    klap = Slow(listed=listed, is_proof=False)
    found = klap.submit(store)
    assert (found.job_id, found.was_recorded, klap.posts) == ("paid", False, 0)


@pytest.mark.parametrize("at", [999.0, -1000.0], ids=["in the window", "later"])
def test_a_listed_export_that_is_not_known_otherwise_is_adopted(store: MemoryStore, klap: Klap, at: float) -> None:
    attempt = record(store, at=at, known=("job-x",))
    klap.listed = ["job-x", "job-9"]
    found = klap.submit(store)
    assert (found.job_id, found.is_new, found.was_recorded, found.paid) == ("job-9", False, True, 1)
    assert store.get(attempt.payment_key)["at"] == attempt.submitted_at
    assert (klap.posts, results(store)) == (0, ["job-9"])


def test_exports_listed_before_the_post_are_not_adopted(store: MemoryStore, klap: Klap) -> None:
    klap.listed, klap.outcomes = ["another"], [KlapNoResponseError("x")]
    with pytest.raises(KlapNoResponseError):
        klap.submit(store)
    assert klap.submit(store, now=5000.0).job_id == "job-2"
    assert attempts_of(store)[0].known == ("another",)


def test_an_export_that_failed_is_not_adopted(store: MemoryStore, klap: Klap) -> None:
    klap.listed, klap.failed = ["job-9"], {"job-9"}
    record(store)
    assert klap.submit(store).job_id == "job-1"


def test_several_listed_exports_are_left_to_the_user(store: MemoryStore, klap: Klap) -> None:
    before = record(store)
    klap.listed = ["job-9", "job-10"]
    with pytest.raises(KlapSubmitUncertainError, match="job-9, job-10") as stopped:
        klap.submit(store)
    assert stopped.value.open_decision == decision(before.submitted_at, "job-9", "job-10")
    assert (klap.posts, results(store)) == (0, [None])


def test_a_list_without_any_export_of_ours_proves_nothing(store: MemoryStore, klap: Klap) -> None:
    record(store)
    klap.listed, klap.is_proof = [], False
    with pytest.raises(KlapSubmitUncertainError, match="has no export of yours"):
        klap.submit(store)
    assert klap.posts == 0
    klap.is_proof = True
    assert klap.submit(store).job_id == "job-1"


def test_a_list_that_cannot_be_read_sends_nothing(store: MemoryStore, klap: Klap) -> None:
    class Down(Klap):
        def find(self) -> Listing | None:
            raise KlapServerError("x", status=500)

    record(store)
    with pytest.raises(KlapServerError):
        Down(listed=[]).submit(store)
    assert results(store) == [None]


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_a_lost_export_fails_with_the_cause_and_is_adopted_later(
    store: MemoryStore, klap: Klap, lost: KlapError
) -> None:
    klap.listed, klap.outcomes = ["job-x"], [lost]
    with pytest.raises(type(lost)) as failed:
        klap.submit(store)
    assert failed.value is lost
    klap.listed = ["job-x", "job-9"]
    assert klap.submit(store).job_id == "job-9"
    assert klap.posts == 1


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_a_lost_task_is_never_sent_again_automatically(store: MemoryStore, klap: Klap, lost: KlapError) -> None:
    klap.outcomes = [lost]
    with pytest.raises(KlapSubmitUncertainError) as first:
        klap.submit(store)
    assert first.value.__cause__ is lost
    for part in ("1970-01-01T00:16:40+00:00", ADOPT, RESEND, "klap_ledger", "billed"):
        assert part in str(first.value)
    assert first.value.open_decision == decision("1970-01-01T00:16:40+00:00")
    for tries in ((2, 3), (3, 3), (4, 7)):
        with pytest.raises(KlapSubmitUncertainError):
            klap.submit(store, now=5000.0, tries=tries)
    assert (klap.posts, results(store)) == (1, [None])


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), SystemExit(1), MemoryError(), RuntimeError("bug")], ids=repr)
def test_a_crash_during_the_post_leaves_the_attempt_in_doubt(
    store: MemoryStore, klap: Klap, crash: BaseException
) -> None:
    klap.outcomes = [crash]
    with pytest.raises(type(crash)):
        klap.submit(store)
    with pytest.raises(KlapSubmitPendingError):
        klap.submit(store, tries=(2, 3))
    with pytest.raises(KlapSubmitUncertainError):
        klap.submit(store, now=1000.0 + WAIT, tries=(3, 3))
    assert klap.posts == 1


# Exports of one short with other settings.

MARKED = replace(EXPORT, fingerprint="marked")


def test_exports_with_different_settings_are_paid_separately(store: MemoryStore, klap: Klap) -> None:
    assert [klap.submit(store, request=each).job_id for each in (EXPORT, MARKED, EXPORT, MARKED)] == [
        "job-1",
        "job-2",
        "job-1",
        "job-2",
    ]


def test_an_export_waits_for_an_in_doubt_export_with_other_settings(store: MemoryStore, klap: Klap) -> None:
    klap.listed, klap.outcomes = [], [KlapNoResponseError("x")]
    with pytest.raises(KlapNoResponseError):
        klap.submit(store, run="plain")
    with pytest.raises(KlapSubmitPendingError, match="plain"):
        klap.submit(store, run="marked", request=MARKED, now=1020.0)
    klap.listed = ["job-9"]
    assert klap.submit(store, run="marked", request=MARKED).job_id == "job-2"
    assert klap.submit(store, run="plain").job_id == "job-9"
    assert (klap.posts, [each.paid_by for each in attempts_of(store)]) == (2, ["plain", "marked"])


def test_a_paid_export_is_reused_while_another_one_is_in_doubt(store: MemoryStore, klap: Klap) -> None:
    klap.listed = []
    record(store, job_id="job-0")
    record(store, request=MARKED, at=999.0)
    assert klap.submit(store).job_id == "job-0"


def test_a_decision_holds_after_an_export_with_other_settings(store: MemoryStore, klap: Klap) -> None:
    klap.listed = []
    record(store, requester=Requester("plain", 1, 3))
    assert klap.submit(store, run="marked", request=MARKED).job_id == "job-1"
    store.set(ADOPT, "job-7")
    assert klap.submit(store, run="plain").job_id == "job-7"
    assert (klap.posts, results(store)) == (1, ["job-7", "job-1"])


# Decisions of the user.


def test_the_user_gives_the_id_of_a_job_that_is_in_doubt(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(ADOPT, " task-7 ")
    adopted = klap.submit(store)
    assert (adopted.job_id, adopted.is_new, adopted.was_recorded, klap.posts) == ("task-7", False, True, 0)
    assert klap.submit(store).job_id == "task-7"
    assert results(store) == ["task-7"]


def test_the_user_allows_exactly_one_more_post(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(RESEND, True)
    assert klap.submit(store).job_id == "job-1"
    assert [klap.submit(store, tries=(4, 7)).job_id for _ in range(3)] == ["job-1"] * 3
    assert (klap.posts, results(store)) == (1, [None, "job-1"])


def test_a_resend_decision_survives_a_refusal_but_not_a_lost_post(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(RESEND, True)
    klap.outcomes = [KlapAuthError("x", status=401), KlapNoResponseError("x")]
    with pytest.raises(KlapAuthError):
        klap.submit(store)
    with pytest.raises(KlapSubmitUncertainError, match=r"adopt\.export\.short\.2"):
        klap.submit(store)
    with pytest.raises(KlapSubmitUncertainError):
        klap.submit(store, now=9000.0)
    assert (klap.posts, results(store)) == (2, [None, "void", None])


def test_the_user_may_pay_again_for_a_paid_request(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="paid")
    store.set(RESEND, True)
    assert klap.submit(store).job_id == "job-1"
    assert klap.submit(store).job_id == "job-1"
    assert results(store) == ["paid", "job-1"]


@pytest.mark.parametrize("survives", range(8))
@pytest.mark.parametrize("job_id", ["paid", None])
def test_a_resend_decision_allows_one_post_wherever_a_process_dies(
    klap: Klap, survives: int, job_id: str | None
) -> None:
    store = Crashing()
    record(store, job_id=job_id)
    store.set(RESEND, True)
    store.writes_left = survives
    for hour in range(1, 4):
        try:
            klap.submit(store, now=3600.0 * hour)
        except KlapSubmitUncertainError:
            break
        except (OSError, KlapError):
            store.writes_left = 99
    assert klap.posts <= 1


@pytest.mark.parametrize("value", [False, "true", "yes", 1, 0, {}, []])
@pytest.mark.parametrize("job_id", ["paid", None])
def test_a_resend_decision_must_be_true(store: MemoryStore, klap: Klap, value: Any, job_id: str | None) -> None:
    record(store, job_id=job_id)
    store.set(RESEND, value)
    with pytest.raises(KlapInputError, match="or the second with true"):
        klap.submit(store)
    assert klap.posts == 0


@pytest.mark.parametrize("value", [True, "", " ", [], {"id": "x"}])
def test_an_adopt_decision_without_an_id_is_refused(store: MemoryStore, klap: Klap, value: Any) -> None:
    record(store)
    store.set(ADOPT, value)
    with pytest.raises(KlapInputError):
        klap.submit(store)
    assert (klap.posts, results(store)) == (0, [None])


def test_a_failed_or_unknown_job_is_not_adopted(store: MemoryStore, klap: Klap) -> None:
    before = record(store)
    store.set(ADOPT, "task-7")
    klap.failed = {"task-7"}
    with pytest.raises(KlapInputError, match=r"task-7.* Delete that row.*resend\.export\.short\.0"):
        klap.submit(store)
    klap.failed, klap.unknown = set(), {"task-7"}
    with pytest.raises(KlapNotFoundError) as stopped:
        klap.submit(store)
    assert stopped.value.open_decision == decision(before.submitted_at)
    assert (klap.posts, results(store)) == (0, [None])


def test_an_adopted_job_that_fails_later_is_requested_again(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(ADOPT, "task-7")
    assert klap.submit(store).job_id == "task-7"
    klap.failed = {"task-7"}
    for run in ("run", "another"):
        assert klap.submit(store, run=run).job_id == "job-1"
    assert klap.posts == 1


def test_two_decisions_that_contradict_each_other_send_nothing(store: MemoryStore, klap: Klap) -> None:
    record(store, job_id="paid")
    store.set(ADOPT, "task-7")
    store.set(RESEND, True)
    with pytest.raises(KlapInputError, match="Keep one of the two"):
        klap.submit(store)
    assert klap.posts == 0


def test_jobs_paid_before_are_not_adopted_for_a_resend(store: MemoryStore, klap: Klap) -> None:
    record(store)
    store.set(RESEND, True)
    klap.listed, klap.outcomes = ["old"], [KlapNoResponseError("x")]
    with pytest.raises(KlapNoResponseError):
        klap.submit(store)
    klap.listed = ["old", "new"]
    assert klap.submit(store).job_id == "new"
    assert klap.posts == 1


# Settings that change.

ENGLISH = replace(EXPORT, inputs={"language": "en", "host": "https://a"})
GERMAN = replace(EXPORT, inputs={"language": "de", "host": "https://b"})


def test_a_retry_with_other_settings_continues_with_the_paid_job(
    store: MemoryStore, klap: Klap, caplog: pytest.LogCaptureFixture
) -> None:
    klap.submit(store, request=ENGLISH)
    assert klap.submit(store, request=GERMAN, tries=(2, 3)).job_id == "job-1"
    assert klap.posts == 1
    assert 'language was "en" and is "de"; host was' in caplog.text


@pytest.mark.parametrize("tries", [(2, 5), (1, 3), (2, 3)], ids=["cleared", "deleted", "deleted or of the same try"])
@pytest.mark.parametrize("decision", ["adopt", "resend"])
def test_other_settings_after_a_clear_are_left_to_the_user(
    store: MemoryStore, klap: Klap, tries: tuple[int, int], decision: str
) -> None:
    klap.submit(store, request=ENGLISH, tries=(2, 3))
    with pytest.raises(KlapChangedError) as stopped:
        klap.submit(store, request=GERMAN, tries=tries)
    for part in ('language was "en" and is "de"', 'host was "https://a" and is "https://b"', "job-1", ADOPT, RESEND):
        assert part in str(stopped.value)
    assert stopped.value.open_decision is not None
    assert stopped.value.open_decision["jobs"] == ["job-1"]
    assert klap.posts == 1

    store.set(*{"adopt": (ADOPT, "job-1"), "resend": (RESEND, True)}[decision])
    expected = {"adopt": "job-1", "resend": "job-2"}[decision]
    for again in (tries, (1, 9), (5, 12)):
        assert klap.submit(store, request=GERMAN, tries=again).job_id == expected


def test_a_failed_task_is_sent_again_with_other_settings_after_a_clear(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=ENGLISH)
    klap.failed.add("job-1")
    assert klap.submit(store, request=GERMAN, tries=(2, 5)).job_id == "job-2"


def test_other_settings_are_named_even_if_the_new_account_lacks_the_job(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=ENGLISH)
    klap.unknown.add("job-1")
    with pytest.raises(KlapChangedError, match="language"):
        klap.submit(store, request=GERMAN, tries=(2, 5))


def test_a_setting_of_a_newer_version_is_no_change(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=ENGLISH)
    newer = replace(ENGLISH, inputs={**ENGLISH.inputs, "tomorrow": None})
    assert klap.submit(store, request=newer, tries=(2, 5)).job_id == "job-1"


# Several runs.


def test_another_run_reuses_the_export_and_pays_nothing(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, run="monday")
    second = klap.submit(store, run="tuesday")
    assert (second.job_id, second.paid, klap.posts) == ("job-1", 0, 1)


@pytest.mark.parametrize(("age", "wait"), [(10.0, 30.0), (40.0, 120.0), (WAIT - 7, 7.0)])
def test_a_request_of_another_run_in_flight_is_pending(store: MemoryStore, klap: Klap, age: float, wait: float) -> None:
    klap.listed = []
    record(store, at=1000.0 - age, requester=Requester("monday", 1, 3))
    with pytest.raises(KlapSubmitPendingError, match="monday") as pending:
        klap.submit(store, run="tuesday")
    assert pending.value.retry_after == wait


def test_a_request_that_was_just_sent_is_waited_for_in_the_task(store: MemoryStore, klap: Klap) -> None:
    other = record(store, at=999.0, requester=Requester("monday", 1, 3))

    class Patient(Klap):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            store.set(other.payment_key, other.payment("job-m"))

    patient = Patient()
    assert patient.submit(store, run="tuesday").job_id == "job-m"
    assert len(patient.slept) == 1


def test_an_abandoned_claim_expires(store: MemoryStore, klap: Klap) -> None:
    store.set(f"door.{FIRST}", {"closed_by": "somebody who died"})
    with pytest.raises(KlapSubmitPendingError) as pending:
        klap.submit(store)
    assert pending.value.retry_after == SOON
    assert klap.submit(store, now=1000.0 + SEND_WITHIN + CLOCKS).job_id == "job-1"
    assert results(store) == ["void", "job-1"]


def test_a_request_of_another_run_during_the_preparation_is_reused(store: MemoryStore, klap: Klap) -> None:
    klap.listed = []
    slow = klap.asking(store, run="slow")

    def meanwhile() -> None:
        klap.preparation = lambda: None
        klap.submit(store, run="fast")

    klap.preparation = meanwhile
    assert slow.submit().job_id == "job-1"
    assert klap.posts == 1


# Requests that runs share.


def shared(run: str, **changes: Any) -> PaidRequest:
    request = replace(EXPORT, log=f"submission.{run}", shared_log="request.1", reuse=True, reuse_key="reuse.1")
    return replace(request, **changes)


def alone(run: str, **changes: Any) -> PaidRequest:
    return shared(run, shared_log=None, reuse=False, **changes)


@pytest.mark.parametrize("first", [shared, alone], ids=["with reuse", "without"])
def test_reuse_continues_with_the_task_of_another_run(
    store: MemoryStore, klap: Klap, first: Callable[[str], PaidRequest]
) -> None:
    klap.submit(store, run="monday", request=first("monday"))
    second = klap.submit(store, run="tuesday", request=shared("tuesday"))
    assert (second.job_id, second.is_new, second.paid, klap.posts) == ("job-1", False, 0, 1)
    assert klap.submit(store, run="wednesday", request=alone("wednesday")).job_id == "job-2"


@pytest.mark.parametrize("first", [shared, alone], ids=["with reuse", "without"])
def test_reuse_submits_failed_jobs_and_those_of_another_account_again(
    store: MemoryStore, klap: Klap, first: Callable[[str], PaidRequest]
) -> None:
    klap.submit(store, run="monday", request=first("monday"))
    klap.failed.add("job-1")
    assert klap.submit(store, run="b", request=shared("b")).job_id == "job-2"
    klap.unknown.add("job-2")
    assert klap.submit(store, run="c", request=shared("c")).job_id == "job-3"
    assert klap.submit(store, run="d", request=shared("d")).job_id == "job-3"


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "failed"])
def test_reuse_finds_a_later_task_after_a_void_or_failed_attempt(store: MemoryStore, klap: Klap, refused: bool) -> None:
    if refused:
        klap.outcomes = [KlapAuthError("x", status=401)]
        with pytest.raises(KlapAuthError):
            klap.submit(store, run="monday", request=shared("monday"))
    else:
        klap.submit(store, run="monday", request=shared("monday"))
        klap.failed.add("job-1")
    assert klap.submit(store, run="tuesday", request=alone("tuesday")).job_id == "job-2"
    assert klap.submit(store, run="b", request=shared("b")).job_id == "job-2"


def test_reuse_finds_a_task_that_the_user_has_adopted(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapNoResponseError("x")]
    with pytest.raises(KlapSubmitUncertainError):
        klap.submit(store, run="monday", request=alone("monday"))
    store.set("adopt.submission.monday.0", "task-7")
    assert klap.submit(store, run="monday", request=alone("monday")).job_id == "task-7"
    assert klap.submit(store, run="b", request=shared("b")).job_id == "task-7"


def test_reuse_finds_the_task_of_a_process_that_died_after_the_post(klap: Klap) -> None:
    store = Crashing(writes_left=4)
    klap.submit(store, run="monday", request=alone("monday"))
    store.writes_left = 99
    assert not klap.submit(store, run="monday", request=alone("monday"), tries=(2, 3)).is_new
    assert klap.submit(store, run="b", request=shared("b")).job_id == "job-1"


def test_reuse_does_not_find_a_job_with_other_settings(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=alone("monday", inputs={"language": "en"}))
    german = {"inputs": {"language": "de"}, "reuse_key": "reuse.2"}
    assert klap.submit(store, request=alone("monday", **german), tries=(2, 3)).job_id == "job-1"
    reusing = shared("b", shared_log="request.2", **german)
    assert klap.submit(store, run="b", request=reusing).job_id == "job-2"


def test_reuse_keeps_the_job_of_a_run_when_another_run_submits_the_same(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, run="monday", request=alone("monday"))
    assert klap.submit(store, run="b", request=shared("b")).job_id == "job-1"
    assert klap.submit(store, run="tuesday", request=alone("tuesday")).job_id == "job-2"
    kept = klap.submit(store, run="b", request=shared("b"), tries=(2, 5))
    assert (kept.job_id, kept.attempt.requester.run, kept.paid) == ("job-1", "monday", 0)


def test_reuse_keeps_the_job_when_the_rows_of_the_paying_run_are_archived(store: MemoryStore, klap: Klap) -> None:
    paying = klap.submit(store, run="monday", request=alone("monday")).attempt
    klap.submit(store, run="b", request=shared("b"))
    for key in (paying.key, paying.payment_key):
        del store.kept[key]
    assert klap.submit(store, run="c", request=shared("c")).job_id == "job-1"


def test_reuse_keeps_one_job_per_account(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, run="of one", request=shared("of one"))
    klap.unknown = {"job-1"}
    assert klap.submit(store, run="of another", request=shared("of another")).job_id == "job-2"
    klap.unknown = {"job-2"}
    assert klap.submit(store, run="of one again", request=shared("of one again")).job_id == "job-1"


def test_reuse_does_not_repeat_a_paid_request_that_klap_lacks(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, run="b", request=shared("b"))
    klap.unknown = {"job-1"}
    with pytest.raises(KlapNotFoundError):
        klap.submit(store, run="b", request=shared("b"), tries=(2, 3))
    assert klap.posts == 1


def test_reuse_allows_a_resend_although_another_run_submitted_the_same(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, run="b", request=shared("b"))
    klap.submit(store, run="monday", request=alone("monday"))
    store.set("resend.request.1.0", True)
    for tries in ((2, 5), (3, 8)):
        assert klap.submit(store, run="b", request=shared("b"), tries=tries).job_id == "job-3"


def test_reuse_allows_one_post_per_resend_decision(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, run="b", request=shared("b"))
    store.set("resend.request.1.0", True)
    klap.outcomes = [KlapNoResponseError("x")]
    for run, now in (("b", 1000.0), ("b", 9000.0), ("c", 9000.0)):
        with pytest.raises(KlapSubmitUncertainError, match=r"adopt\.request\.1\.1"):
            klap.submit(store, run=run, request=shared(run), now=now)
    assert klap.posts == 2


def test_reuse_continues_and_logs_a_retry_with_other_settings(
    store: MemoryStore, klap: Klap, caplog: pytest.LogCaptureFixture
) -> None:
    klap.submit(store, request=shared("monday", inputs={"language": "en"}))
    german = shared("monday", inputs={"language": "de"}, shared_log="request.2")
    assert klap.submit(store, request=german, tries=(2, 3)).job_id == "job-1"
    assert 'although language was "en" and is "de"' in caplog.text


def test_reuse_keeps_separate_logs_for_the_settings_of_a_retry(store: MemoryStore, klap: Klap) -> None:
    english, german = {"inputs": {"language": "en"}}, {"inputs": {"language": "de"}, "shared_log": "request.2"}
    klap.submit(store, request=shared("monday", **english))
    klap.failed.add("job-1")
    for tries in ((2, 3), (3, 3)):
        assert klap.submit(store, request=shared("monday", **german), tries=tries).job_id == "job-2"
    assert klap.submit(store, run="b", request=shared("b", **english)).job_id == "job-3"
    assert klap.submit(store, run="c", request=shared("c", **german)).job_id == "job-2"


def test_reuse_waits_for_a_request_in_doubt_and_then_asks_the_user(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [RuntimeError("killed")]
    with pytest.raises(RuntimeError):
        klap.submit(store, run="monday", request=shared("monday"))
    with pytest.raises(KlapSubmitPendingError, match="monday"):
        klap.submit(store, run="b", request=shared("b"), now=1060.0)
    with pytest.raises(KlapSubmitUncertainError, match=r"adopt\.request\.1\.0"):
        klap.submit(store, run="b", request=shared("b"), now=1000.0 + WAIT)
    assert klap.posts == 1


def test_reuse_sends_a_refused_request_in_the_next_run(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submit(store, run="monday", request=shared("monday"))
    assert klap.submit(store, run="b", request=shared("b")).job_id == "job-2"


@pytest.mark.parametrize("decision", [None, "adopt", "resend"])
def test_reuse_leaves_changed_settings_after_a_clear_to_the_user(
    store: MemoryStore, klap: Klap, decision: str | None
) -> None:
    english = shared("monday", inputs={"language": "en"})
    german = shared("monday", inputs={"language": "de"}, shared_log="request.2")
    klap.submit(store, request=english)
    if decision is None:
        with pytest.raises(KlapChangedError, match=r"resend\.submission\.monday\.0"):
            klap.submit(store, request=german, tries=(2, 5))
        return
    store.set(f"{decision}.submission.monday.0", {"adopt": "job-1", "resend": True}[decision])
    expected = {"adopt": "job-1", "resend": "job-2"}[decision]
    for tries in ((2, 5), (3, 8)):
        assert klap.submit(store, request=german, tries=tries).job_id == expected


@pytest.mark.parametrize("decision", ["adopt", "resend"])
def test_reuse_resolves_a_request_in_doubt_before_changed_settings(
    store: MemoryStore, klap: Klap, decision: str
) -> None:
    klap.outcomes = [KlapNoResponseError("x")]
    german = {"request": shared("monday", inputs={"language": "de"}, shared_log="request.2"), "tries": (2, 5)}
    with pytest.raises(KlapSubmitUncertainError):
        klap.submit(store, request=shared("monday", inputs={"language": "en"}))
    with pytest.raises(KlapSubmitPendingError):
        klap.submit(store, **german)
    with pytest.raises(KlapSubmitUncertainError, match=r"resend\.request\.1\.0"):
        klap.submit(store, now=1000.0 + WAIT, **german)
    store.set(f"{decision}.request.1.0", {"adopt": "job-9", "resend": True}[decision])
    if decision == "adopt":
        with pytest.raises(KlapChangedError, match='"job-9"') as stopped:
            klap.submit(store, **german)
        assert stopped.value.open_decision is not None
        assert stopped.value.open_decision["jobs"] == ["job-9"]
    else:
        assert klap.submit(store, **german).job_id == "job-2"


def test_reuse_works_across_connections_to_the_same_account(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=shared("monday", inputs={"klap_conn_id": "a"}))
    renamed = shared("monday", inputs={"klap_conn_id": "b"})
    assert klap.submit(store, request=renamed, tries=(2, 5)).job_id == "job-1"


def test_reuse_asks_the_user_if_another_account_lacks_the_job(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=shared("monday", inputs={"klap_conn_id": "a"}))
    klap.unknown = {"job-1"}
    other = {"request": shared("monday", inputs={"klap_conn_id": "b"}), "tries": (2, 5)}
    with pytest.raises(KlapChangedError, match=r'klap_conn_id was "a" and is "b".*resend\.request\.1\.0'):
        klap.submit(store, **other)
    store.set("resend.request.1.0", True)
    for _ in range(2):
        assert klap.submit(store, **other).job_id == "job-2"
    assert klap.posts == 2


def test_reuse_submits_other_settings_after_a_failed_job(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=shared("monday", inputs={"language": "en"}))
    klap.failed = {"job-1"}
    german = shared("monday", inputs={"language": "de"}, shared_log="request.2")
    assert klap.submit(store, request=german, tries=(2, 5)).job_id == "job-2"


def test_reuse_switched_off_after_a_clear_pays_nothing_again(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=shared("monday"))
    assert klap.submit(store, request=alone("monday"), tries=(2, 5)).job_id == "job-1"


def test_reuse_switched_on_after_a_clear_pays_nothing_again(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=alone("monday"))
    assert klap.submit(store, request=shared("monday"), tries=(2, 5)).job_id == "job-1"


# What was paid.


def test_an_accepted_post_counts_for_the_run_that_sent_it(store: MemoryStore, klap: Klap) -> None:
    klap.outcomes = [KlapAuthError("x", status=401)]
    with pytest.raises(KlapAuthError):
        klap.submit(store)
    assert klap.asking(store).paid() == 0
    assert [klap.submit(store).paid for _ in range(2)] == [1, 1]
    klap.failed = {"job-2"}
    assert klap.submit(store).paid == 2
    assert klap.asking(store).paid() == 2
    assert [row["id"] for row in store.rows("paid").values()] == ["job-2", "job-3"]
    assert klap.asking(store, run="another").paid() == 0


def test_the_price_and_the_settings_are_part_of_the_payment(store: MemoryStore, klap: Klap) -> None:
    klap.submit(store, request=replace(EXPORT, budget=2.0, estimated=True, settings="Language: English"))
    [row] = store.rows("paid").values()
    assert (row["budget"], row["estimated"], row["settings"]) == (2.0, True, "Language: English")
