"""
Send a paid request once, also if several runs or mapped tasks share it. Pure.

- **Export**: all runs use one log of attempts per short (:mod:`klap_provider.rules.attempt_log`).
- **Submission**: each task instance has a log. With ``reuse``, or if the task is mapped, the attempts are in a shared
  log that is named after the request, and the task's own log has a link to it. So the task finds what it has paid for
  even if its settings have changed since.

The first try of an export takes six reads and writes of the ledger. A submission without ``reuse`` takes seven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from klap_provider.errors import KlapNotFoundError, KlapSubmitPendingError
from klap_provider.rules import attempt_log
from klap_provider.rules.attempt_log import AttemptLog, ContendedError, Submission, warn_of
from klap_provider.rules.in_doubt import SOON
from klap_provider.rules.ledger import VERSION, Attempt
from klap_provider.rules.manual_resolution import inputs_changed, read_decision
from klap_provider.rules.request_fingerprint import differences

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class IdempotentSubmit(AttemptLog):
    """
    One request by one try of a task, see :class:`~klap_provider.rules.attempt_log.AttemptLog`.

    :param reads_first: whether to prepare nothing before the log is read, because the preparation reserves money.
    """

    reads_first: bool = False

    def submit(self) -> Submission:
        """
        Return the job. Send the request unless it was sent before.

        :raises KlapSubmitPendingError: another run is making the request, or it is too early to resolve it.
        :raises KlapSubmitUncertainError: the user has to decide.
        :raises KlapChangedError: after a clear, the settings differ from those that were paid for.
        :raises KlapError: the POST or its preparation failed.
        """
        first = self.try_to_post(self.request.log, []) if self._is_likely_new() else None
        submission = first or self._patiently_submit()
        self._note(submission.attempt)
        return submission

    def paid(self) -> int:
        """Return the number of POSTs of this run that Klap has accepted for this request so far."""
        attempts = self.read(self.request.log)
        return self.count_paid([*attempts, *(each for own in attempts if own.link for each in self.read(own.link))])

    def _patiently_submit(self) -> Submission:
        for seconds in attempt_log.PATIENCE:
            try:
                return self._submit()
            except ContendedError:
                self.clock.sleep(seconds)
        try:
            return self._submit()
        except ContendedError:
            raise KlapSubmitPendingError(
                f"Another run is making the same request now. The next try, in {SOON:.0f} s, uses its result.",
                retry_after=SOON,
            ) from None

    def _submit(self) -> Submission:
        request = self.request
        own = self.read(request.log)
        last = next((each for each in reversed(own) if not each.is_void), None)
        if last is None and request.shared_log is not None:
            own.append(last := self._link(len(own)))
        if last is not None and last.link:
            return self._in_shared_log(own, last)
        return self.continued(request.log, own) or self.post(request.log, own)

    def _is_likely_new(self) -> bool:
        """
        Return whether to claim attempt 0 before the log is read. It saves a read if the log is empty.

        Then a request that was made before is prepared for nothing. For jobs that Klap lists, that is one list request.
        """
        is_first = self.request.shared_log is None and self.requester.try_number == 1
        return is_first and self.job.has_list and not self.reads_first

    def _link(self, number: int) -> Attempt:
        """Record that this request continues in the log that runs share."""
        link = replace(self.new_entry(self.request.log, number), link=self.request.shared_log)
        self.store.set(link.key, link.to_row())
        return link

    def _in_shared_log(self, own: Sequence[Attempt], link: Attempt) -> Submission:
        log_key = str(link.link)
        attempts = self.read(log_key)
        standing = [each for each in attempts if not each.is_void]
        changed = differences(link.inputs, self.request.inputs)
        is_same, must_leave = log_key == self.request.shared_log, False
        # In the same log, only the connection can differ, and another one to the same account makes no other request.
        if changed and standing and not is_same and not self.requester.is_retry_of(link.requester):
            decision = read_decision(self.store, link, self.job.has_failed)
            if decision.job_id is not None:
                return Submission(decision.job_id, link)
            if not decision.resend and (job_id := self._usable_job(log_key, attempts)):
                raise inputs_changed(link, job_id, changed)
            must_leave = True
        try:
            found = None if must_leave else self.continued(log_key, attempts, is_shared=True)
        except KlapNotFoundError as unknown:
            paid = next((each for each in reversed(standing) if each.paid_by == self.requester.run), None)
            if not (changed and is_same) or unknown.open_decision is not None or paid is None:
                raise
            raise inputs_changed(paid, str(paid.job_id), changed) from unknown
        if found is not None:
            warn_of(changed)
            return found
        if is_same:
            return self.post(log_key, attempts)
        if self.request.shared_log is None:
            return self.post(self.request.log, own)
        link = self._link(len(own))
        return self._in_shared_log([*own, link], link)

    def _usable_job(self, log_key: str, attempts: Sequence[Attempt]) -> str | None:
        """Return the newest job of a log that can be reused, once none of its attempts is in doubt."""
        standing = [each for each in attempts if not each.is_void]
        if standing[-1].job_id is None:
            standing[-1] = self.resolve(standing[-1], attempts, successor=f"{log_key}.{len(attempts)}")
        paid = ((each, each.job_id) for each in reversed(standing) if each.job_id is not None)
        return next((job_id for attempt, job_id in paid if self.is_usable(attempt, job_id)), None)

    def made_elsewhere(self, log_key: str, attempts: list[Attempt]) -> Submission | None:
        """Continue with the job of a run that does not share its requests, if it made the same one."""
        request = self.request
        if log_key != request.shared_log or not request.reuse or not request.reuse_key:
            return None
        note = self.store.get(request.reuse_key)
        payment = self.store.get(note["payment"]) if note else None
        if payment is None or (row := self.store.get(payment["entry"])) is None:
            return None
        job_id, noted = payment["id"], Attempt.from_row(payment["entry"], row).with_payment(payment)
        if any(each.job_id == job_id for each in attempts) or not self.is_usable(noted, job_id):
            return None
        # Recorded, so that this run and the following ones keep to it when another run makes the same request.
        noted = replace(noted, key=self.new_entry(log_key, len(attempts)).key)
        self.store.set(noted.key, noted.to_row())
        return Submission(job_id, noted, paid=self.count_paid([*attempts, noted]))

    def _note(self, attempt: Attempt) -> None:
        """Let later runs with ``reuse`` find the payment of a run that does not share its requests."""
        request = self.request
        if request.reuse_key is None or request.reuse or attempt.link:
            return
        if not differences(attempt.inputs, request.inputs):
            self.try_to_set(request.reuse_key, {"version": VERSION, "payment": attempt.payment_key})
