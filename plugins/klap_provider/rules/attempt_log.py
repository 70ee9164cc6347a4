"""
Send a paid request once. All processes that make the request use the same log of attempts. Pure.

.. code-block:: text

    claim the attempt ──► record the attempt ──► POST ──► record the payment (Klap's id of the job)

Each step is recorded in the ledger (:mod:`klap_provider.rules.ledger`) before the next one starts, so that later tries
know how far the request got:

=====================================  =================================================================
the last attempt                       next step
=====================================  =================================================================
none                                   claim attempt 0
has a payment                          return its job, unless it failed at Klap
was refused, or never sent             claim the next attempt
otherwise: it is in doubt              resolve it (:mod:`klap_provider.rules.in_doubt`)
=====================================  =================================================================

At most one attempt is claimed at a time, by at most one process (:mod:`klap_provider.rules.claim`). Only the claim
holder writes the rows of an attempt. So nothing is overwritten, and two processes never send the same request.

The user can decide otherwise (:mod:`klap_provider.rules.manual_resolution`). If settings have changed since the request
was paid for, a retry continues with the job that was paid for, and after a clear the user decides.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from klap_provider.errors import KlapError, KlapNotFoundError
from klap_provider.rules import in_doubt
from klap_provider.rules.claim import Claim
from klap_provider.rules.ledger import BILLED, Attempt, read_attempts
from klap_provider.rules.manual_resolution import inputs_changed, not_recorded, read_decision
from klap_provider.rules.request_fingerprint import differences

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from klap_provider.rules.in_doubt import Listing
    from klap_provider.rules.ledger import PaidRequest, Requester, Store

log = logging.getLogger(__name__)

#: Seconds between two tries in the same process, if another process is making the same request.
PATIENCE = (0.5, 1.0, 2.0, 4.0)


class JobGateway(Protocol):
    """The API, for one request."""

    def prepare(self, paid: int) -> Collection[str]:
        """
        Prepare the next POST, and return the ids of the jobs that it cannot have created. A failure leaves no record.

        :param paid: number of POSTs of this run that Klap has accepted before.
        """

    def send(self, until: float) -> str:
        """Send the POST, but not after ``until`` (seconds since the epoch). Return the id of the new job."""

    def find(self) -> Listing | None:
        """Return the jobs in the API's list that the POST may have created; None if the API has no list."""

    @property
    def has_list(self) -> bool:
        """Whether the API has a list of such jobs."""

    def has_failed(self, job_id: str) -> bool:
        """Return whether a job has failed."""


class Clock(Protocol):
    """The time."""

    def now(self) -> float:
        """Return seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class Submission:
    """
    A paid job.

    :param job_id: Klap's id of the task or export.
    :param attempt: the attempt that led to the job.
    :param is_new: whether the POST was sent just now.
    :param was_recorded: whether the payment was recorded just now, because the POST was sent or found at Klap.
    :param paid: number of POSTs of the run that Klap has accepted for this request so far.
    """

    job_id: str
    attempt: Attempt
    is_new: bool = False
    was_recorded: bool = False
    paid: int = 0


class ContendedError(Exception):
    """Another process is making the same request."""


@dataclass(frozen=True)
class AttemptLog:
    """
    One request by one try of a task.

    :param store: the ledger.
    :param attempt_id: unique id for a new attempt.
    :param response_within: seconds to wait for the response of the POST.
    :param keeps_failed_job: whether a retry returns the job of its own run that failed at Klap, instead of paying for a
        new one. For a task that waits for its job, so that only a clear replaces the job.
    """

    store: Store
    job: JobGateway
    request: PaidRequest
    requester: Requester
    attempt_id: str
    clock: Clock
    response_within: float
    keeps_failed_job: bool = False

    def read(self, log_key: str) -> list[Attempt]:
        """Return the attempts of a log."""
        return read_attempts(self.store, log_key)

    def count_paid(self, attempts: Sequence[Attempt]) -> int:
        """Return how many of the attempts this run has paid for."""
        return sum(attempt.paid_by == self.requester.run for attempt in attempts)

    def continued(self, log_key: str, attempts: list[Attempt], *, is_shared: bool = False) -> Submission | None:
        """Return the job of an earlier attempt; None if a new one must be requested."""
        standing = [each for each in attempts if not each.is_void]
        same = [each for each in standing if each.fingerprint == self.request.fingerprint]
        is_resent = False
        # Runs with different accounts may share a log: each continues with the newest job that its account has.
        for attempt in reversed(same if is_shared else same[-1:]):
            if attempt.job_id is None:
                continue
            decision = read_decision(self.store, attempt, self.job.has_failed)
            if decision.resend:
                is_resent = True
                break
            job_id = decision.job_id or self._reattach(attempt, attempt.job_id, is_shared=is_shared)
            if job_id is not None:
                return Submission(job_id, attempt, paid=self.count_paid(attempts))
        # The latest attempt, and the latest one for these settings, if others were requested since.
        newest = standing[-1:] if standing[-1:] == same[-1:] else standing[-1:] + same[-1:]
        doubtful = [each for each in newest if each.job_id is None]
        for attempt in doubtful:
            resolved = self.resolve(attempt, attempts, successor=f"{log_key}.{len(attempts)}")
            attempts[attempts.index(attempt)] = resolved
            if resolved.job_id is not None and resolved.fingerprint == self.request.fingerprint:
                return Submission(resolved.job_id, resolved, was_recorded=True, paid=self.count_paid(attempts))
        return None if is_resent or doubtful else self.made_elsewhere(log_key, attempts)

    def made_elsewhere(self, log_key: str, attempts: list[Attempt]) -> Submission | None:
        """Return the job of the same request in another log."""
        return None

    def _reattach(self, attempt: Attempt, job_id: str, *, is_shared: bool) -> str | None:
        """Return the job to continue with; None if a new one must be requested."""
        if is_shared:
            return job_id if self.is_usable(attempt, job_id) else None
        changed = differences(attempt.inputs, self.request.inputs)
        must_stop = bool(changed) and not self.requester.is_retry_of(attempt.requester)
        try:
            if self._must_replace(attempt, job_id):
                return None
        except KlapError as unknown:
            if must_stop or (changed and isinstance(unknown, KlapNotFoundError)):
                raise inputs_changed(attempt, job_id, changed) from unknown
            raise
        if must_stop:
            raise inputs_changed(attempt, job_id, changed)
        warn_of(changed)
        return job_id

    def is_usable(self, attempt: Attempt, job_id: str) -> bool:
        """Return whether a job can be reused: another run's job that this account does not have cannot."""
        try:
            return not self._must_replace(attempt, job_id)
        except KlapNotFoundError:
            if attempt.paid_by == self.requester.run:
                raise
            return False

    def _must_replace(self, attempt: Attempt, job_id: str) -> bool:
        """Return whether a job failed at Klap, so that a new one must be requested."""
        is_own = attempt.requester.run == self.requester.run and self.requester.is_retry_of(attempt.requester)
        return not (self.keeps_failed_job and is_own) and self.job.has_failed(job_id)

    def resolve(self, attempt: Attempt, attempts: Sequence[Attempt], *, successor: str) -> Attempt:
        """Resolve an in-doubt attempt. Return it with its job; without a job, the next attempt may follow."""
        now = self.clock.now()
        if attempt.requester.run != self.requester.run and now - attempt.at < sum(PATIENCE):
            raise ContendedError  # most POSTs take less than that
        decision = read_decision(self.store, attempt, self.job.has_failed)
        job_id = decision.job_id
        if job_id is None and not decision.resend:
            known = {each.job_id for each in attempts if each.job_id is not None}
            listing = self.job.find()
            # This process may have stopped since it read the log. Another one has then recorded what was in doubt, or
            # made the next attempt, whose job may be in the list.
            if any(self.store.get(key) is not None for key in (successor, attempt.payment_key)):
                raise ContendedError
            if listing is not None and attempt.account != self.request.account:
                listing = listing._replace(is_proof=False)
            job_id = in_doubt.resolve(attempt, listing, known, requester=self.requester, now=now)
        return attempt if job_id is None else self._record(attempt, job_id)

    def claim(self, log_key: str, number: int) -> Claim:
        """Return the claim of an attempt."""
        return Claim(self.store, f"{log_key}.{number}", self.attempt_id)

    def post(self, log_key: str, attempts: Sequence[Attempt]) -> Submission:
        """Make the next attempt."""
        submission = self.try_to_post(log_key, attempts)
        if submission is None:
            raise self._contended(self.claim(log_key, len(attempts)))
        return submission

    def try_to_post(self, log_key: str, attempts: Sequence[Attempt]) -> Submission | None:
        """Make the next attempt; return None if another process has claimed it."""
        paid = self.count_paid(attempts)
        known = self.job.prepare(paid)
        claim, at = self.claim(log_key, len(attempts)), self._now()
        if not claim.acquire():
            return None
        attempt = self._attempt(claim.key, at, tuple(known))
        self.store.set(attempt.key, attempt.to_row())
        try:
            job_id = self.job.send(at + in_doubt.SEND_WITHIN)
        except KlapError as failure:
            if failure.refused:
                self.try_to_set(attempt.key, replace(attempt, is_void=True).to_row())
            elif not self.job.has_list:
                raise in_doubt.uncertain(attempt) from failure
            raise
        attempt = self._record(attempt, job_id)
        return Submission(job_id, attempt, is_new=True, was_recorded=True, paid=paid + 1)

    def new_entry(self, log_key: str, number: int) -> Attempt:
        """Return a new attempt that sends nothing, once this process holds its claim."""
        claim = self.claim(log_key, number)
        if not claim.acquire():
            raise self._contended(claim)
        return self._attempt(claim.key, self._now())

    def _contended(self, claim: Claim) -> ContendedError:
        """Return the error for an attempt that another process has claimed. If its claim was abandoned, void it."""
        after = in_doubt.SEND_WITHIN + in_doubt.CLOCKS
        if claim.is_abandoned(now=self.clock.now(), after=after) and self.store.get(claim.key) is None:
            void = replace(self._attempt(claim.key, self._now()), id=f"void-{self.attempt_id}", is_void=True)
            self.store.set(void.key, void.to_row())
        return ContendedError()

    def _attempt(self, key: str, at: float, known: tuple[str, ...] = ()) -> Attempt:
        return Attempt(
            **{name: getattr(self.request, name) for name in BILLED},
            key=key,
            id=self.attempt_id,
            at=at,
            requester=self.requester,
            known=known,
            response_within=self.response_within,
        )

    def _record(self, attempt: Attempt, job_id: str) -> Attempt:
        payment = attempt.payment(job_id)
        try:
            self.store.set(attempt.payment_key, payment)
        except Exception as failure:
            raise not_recorded(attempt, job_id, failure) from failure
        return attempt.with_payment(payment)

    def try_to_set(self, key: str, value: object) -> None:
        """Write a row whose loss must not fail a task."""
        try:
            self.store.set(key, value)
        except Exception as failure:
            log.warning("%s was not written to the ledger: %s: %s", key, type(failure).__name__, failure)

    def _now(self) -> float:
        return round(self.clock.now(), 6)  # as it is written


def warn_of(changed: Sequence[str]) -> None:
    """Log which settings differ from those of the job that this run continues with."""
    if changed:
        log.warning("Continuing with what was submitted before, although %s.", "; ".join(changed))
