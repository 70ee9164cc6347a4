"""
Paying once: what to do, given what the ledger says, and given what Klap answers. Pure.

.. code-block:: text

    nothing ──► intent (what, when, who) ──► POST ──► done (the same, and the id)

- What is done is reattached to, unless that job failed.
- An intent without an id means that a POST may have gone out: its answer is lost, and what that leads to says
  :mod:`klap_provider.rules.lost_answer`.
- A submission with other inputs is never sent in place of what was paid: a retry goes on with that, and after a clear a
  person has to say which of the two it shall be (:mod:`klap_provider.rules.persons_word`).

Of two that ask for the same at once, :mod:`klap_provider.rules.turn` lets one go on, without a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from klap_provider.errors import KlapConfigError, KlapError, KlapInputError, KlapNotFoundError
from klap_provider.rules import lost_answer
from klap_provider.rules.asked import differences
from klap_provider.rules.ledger import Submission, job_entry, paid_entry
from klap_provider.rules.lost_answer import LostAnswer
from klap_provider.rules.persons_word import (
    ADOPT,
    RESEND,
    adopted_id,
    inputs_changed,
    may_resend,
    not_kept,
    undecided,
)
from klap_provider.rules.reuse import Reuse
from klap_provider.rules.turn import Turn
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klap_provider.rules.ledger import Asker, Store, Work


@dataclass(frozen=True)
class Submitter:
    """
    Submits one job at most.

    :param store: where the ledger lives.
    :param work: what is to be paid for.
    :param asker: who asks.
    :param prepare: called with the number of POSTs of this run that were accepted before, makes the next one ready,
        and returns what sends it, unless a given moment has passed, and returns the new job's id. It runs before the
        intent is recorded, so that what fails in it keeps the POST from being sent, and leaves no trace.
    :param has_failed: whether the job with this id ended with ``error``; such a one is not reattached to.
    :param list_jobs: lists the ids of the jobs that Klap has of this thing, without those that failed if so asked; None
        where the API has no list. What is listed before a POST is part of its intent, and so never taken for its job.
    :param recent_jobs: lists the same as of a moment ago, failed or not, which does for a first POST. Default: the list
        itself is asked.
    :param clock: returns seconds since the epoch.
    :param on_accepted: called once for each POST, when it is known that Klap has accepted it.
    :param tell: is told what a person should know although the task goes on.
    :param reuse: go on with what any run has sent before, if it asked for just the same.
    :param settle: seconds after an intent before which no other POST follows it.
    """

    store: Store
    work: Work
    asker: Asker
    prepare: Callable[[int], Callable[[float], str]]
    has_failed: Callable[[str], bool]
    list_jobs: Callable[[bool], Sequence[str]] | None
    clock: Callable[[], float]
    recent_jobs: Callable[[], Sequence[str]] | None = None
    on_accepted: Callable[[], None] | None = None
    tell: Callable[[str], None] | None = None
    reuse: bool = False
    settle: float = lost_answer.SEND_WITHIN + lost_answer.SETTLE

    def submit(self) -> tuple[Submission, bool]:
        """
        Return the submission, with its id, and whether it was made just now.

        :raises KlapSubmitPendingError: too early to tell what became of an earlier POST.
        :raises KlapSubmitUncertainError: a person has to say what became of it.
        :raises KlapChangedError: after a clear, the inputs are not those of what was paid for.
        :raises KlapError: what the POST itself failed with, if Klap did not take it or its job can be looked for;
            or what its preparation failed with.
        """
        before = self._recorded()
        if before is None:
            found = self._reused()
            return (found, False) if found else (self._post(None), True)
        resend = may_resend(self.store, before, self._tell)
        if adopted := self._adopted(before, resend=resend):
            return adopted, False
        if not resend and (found := self._reattached(before)):
            return found, False
        return self._post(before, resend=resend), True

    @property
    def paid(self) -> int:
        """How many POSTs of this run are known to have been accepted so far."""
        before = self._recorded()
        return 0 if before is None else before.paid_by(self.asker.run)

    def _recorded(self) -> Submission | None:
        row = self.store.get(self.work.entry)
        return None if row is None else Submission.from_row(row, self.work)

    # A person's word.

    def _adopted(self, before: Submission, *, resend: bool) -> Submission | None:
        name = f"{ADOPT} {self.work.entry}"
        word = self.store.get(name)
        if word is None:
            return None
        try:
            job_id = adopted_id(word, before, resend=resend, has_failed=self.has_failed)
        except (KlapInputError, KlapNotFoundError) as wrong:
            undecided(wrong, before)
            raise
        paid = self._accepted(before, job_id) if before.job_id is None else before
        submission = replace(paid, job_id=job_id, asker=self.asker, work=self.work)
        self.store.set(self.work.entry, submission.to_row())
        self.store.delete(name)
        return submission

    # What was there before.

    def _reattached(self, before: Submission) -> Submission | None:
        if before.job_id is None:
            before = self._done_by_another() or before
        if before.job_id is not None:
            return self._gone_on_with(before, before.job_id)
        made = self._lost(before).job(self._listed(before))
        return self._accepted(before, made) if made else None

    def _lost(self, intent: Submission) -> LostAnswer:
        return LostAnswer(intent, self.asker, self.list_jobs is not None, self.clock(), self.settle)

    def _gone_on_with(self, before: Submission, job_id: str) -> Submission | None:
        changed = differences(before.work.asked, self.work.asked)
        stop = changed and not self.asker.goes_on_from(before.asker)
        try:
            if self.has_failed(job_id):
                return None
        except KlapError as unknown:
            if stop or (changed and isinstance(unknown, KlapNotFoundError)):
                raise inputs_changed(before, self.work.entry, changed) from unknown
            raise
        if stop:
            raise inputs_changed(before, self.work.entry, changed)
        if changed:
            self._tell(f"Going on with what was submitted, although {'; '.join(changed)}.")
        elif before.paid and self.store.get(paid_entry(before.work.video, job_id)) is None:
            self._write_lines(before)  # a crash came in between
        return before

    def _listed(self, before: Submission) -> list[str]:
        """Return the jobs that may be what the lost POST has made."""
        listed = self.list_jobs(True) if self.list_jobs else ()
        new = [job_id for job_id in listed if job_id not in before.known]
        claims = {job_id: self.store.get(job_entry(job_id)) for job_id in new}
        return [job_id for job_id, claim in claims.items() if claim in (None, self.work.entry)]

    def _reused(self) -> Submission | None:
        """Return what another run has sent, if it asked for just the same; or note that it is this one that does."""
        request = self._request if self.reuse else None
        if request is None:
            return None
        row = request.row
        other = request.other(row)
        if other is None or (other.job_id is not None and not self._serves(other.job_id)):
            request.reserve(row, other)
            return None
        if other.job_id is None:
            raise self._lost(other).pending or lost_answer.uncertain(other)
        submission = Submission(other.at, self.asker, self.work, other.job_id)
        self.store.set(self.work.entry, submission.to_row())
        self._tell(f"Nothing paid: {other.asker.run} sent the same video with the same settings, as {other.job_id}.")
        return submission

    @property
    def _request(self) -> Reuse | None:
        return None if self.work.request is None else Reuse(self.store, self.work, self.work.request)

    def _serves(self, job_id: str) -> bool:
        try:
            return not self.has_failed(job_id)
        except KlapNotFoundError:  # another account's
            return False

    # A POST.

    def _post(self, before: Submission | None, *, resend: bool = False) -> Submission:
        paid = () if before is None else before.paid
        send = self.prepare(0 if before is None else before.paid_by(self.asker.run))
        known = tuple(dict.fromkeys([*_known_before(before), *self._there(before)]))
        intent = Submission(self._now(), self.asker, self.work, known=known, paid=paid)
        self._turn.take(intent.to_row())
        if self._recorded() != before:
            raise lost_answer.taken()
        permission = f"{RESEND} {self.work.entry}"
        if resend:
            self.store.set(permission, {"used_at": intent.submitted_at})
        self._write(intent, before)
        if resend:
            self.store.delete(permission)
        try:
            job_id = send(intent.at + lost_answer.SEND_WITHIN)
        except KlapError as failure:
            if failure.refused:
                if self._restore(before, intent) and resend:
                    self.store.set(permission, True)
                raise
            if self.list_jobs is None:
                raise lost_answer.uncertain(intent) from failure
            raise
        return self._accepted(intent, job_id)

    def _there(self, before: Submission | None) -> Sequence[str]:
        """Return the jobs that Klap has of this thing."""
        if before is None and self.recent_jobs is not None:
            return self.recent_jobs()
        return () if self.list_jobs is None else self.list_jobs(False)

    def _now(self) -> float:
        return round(self.clock(), 6)  # as it is written

    @property
    def _turn(self) -> Turn:
        return Turn(self.store, self.work.entry)

    def _write(self, intent: Submission, before: Submission | None) -> None:
        self.store.set(self.work.entry, intent.to_row())
        whose = self._turn.whose()
        if whose is None:  # Airflow says nothing where no DAG names the asset
            raise KlapConfigError(
                f"Airflow did not keep {self.work.entry!r} in the state store of the asset {LEDGER}. Every operator "
                "that pays names it as an inlet; see that the DAG is parsed, and that the asset is active."
            )
        if whose != intent.to_row():
            self._done_by_another()
            raise lost_answer.taken()
        if before is None and self.reuse and self._request and self._request.is_displaced():
            self._restore(before, intent)
            raise lost_answer.taken()

    def _done_by_another(self) -> Submission | None:
        """Return what was paid for by whose turn it was, and put it back if it was written over, or never written."""
        whose = self._turn.whose()
        if whose is None or whose["id"] is None:
            return None
        self.store.set(self.work.entry, whose)
        return Submission.from_row(whose, self.work)

    def _restore(self, before: Submission | None, intent: Submission) -> bool:
        """Leave no trace of what was not sent, unless somebody may have been told by now that it may have been."""
        if self.clock() >= intent.at + self.settle - lost_answer.SETTLE or self._recorded() != intent:
            return False
        if before is None:
            self.store.delete(self.work.entry)
        else:
            self.store.set(self.work.entry, before.to_row())
        return True

    def _accepted(self, intent: Submission, job_id: str) -> Submission:
        line = {"id": job_id, "run": intent.asker.run, "at": intent.submitted_at, "price": intent.work.price}
        if intent.work.budget is not None:
            line["budget"] = intent.work.budget
        if intent.work.second_hand:
            line["second_hand"] = True
        try:
            now = self._recorded()
            if now is not None and any(paid["id"] == job_id for paid in now.paid):
                return now  # another one has found it meanwhile
            submission = replace(intent, job_id=job_id, paid=(*intent.paid, line))
            if now is not None and now != intent:
                submission = replace(submission, paid=(*now.paid, line), known=(*intent.known, *_known_before(now)))
                if now.job_id is not None:
                    self._tell(
                        f"Paid twice: {now.asker.run} asked for the same as {intent.asker.run} before Klap was done "
                        f"with it. Klap has made {job_id} for this one, and {now.job_id} for the other."
                    )
            self._turn.take(submission.to_row())
            self.store.set(self.work.entry, submission.to_row())
            self._write_lines(submission)
        except KlapError:
            raise
        except Exception as failure:
            raise not_kept(job_id, self.work.entry, failure) from failure
        if self.on_accepted is not None:
            self.on_accepted()
        return submission

    def _write_lines(self, submission: Submission) -> None:
        """Write what others find the job by: people, those that look for an export, those that ask for the same."""
        work, line = submission.work, dict(submission.paid[-1])
        if work.settings:
            line["settings"] = work.settings
        self.store.set(paid_entry(work.video, line["id"]), {**line, "what": work.what, "entry": work.entry})
        if self.list_jobs is not None:
            self.store.set(job_entry(line["id"]), work.entry)
        if self._request:
            self._request.note()

    # What to say.

    def _tell(self, what: str) -> None:
        if self.tell is not None:
            self.tell(what)


def _known_before(before: Submission | None) -> tuple[str, ...]:
    if before is None:
        return ()
    return before.known if before.job_id is None else (*before.known, before.job_id)
