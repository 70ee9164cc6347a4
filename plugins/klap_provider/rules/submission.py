"""
Doing a paid POST once. Klap bills every one it accepts and has no idempotency key, so the memory is ours.

A record in Airflow's task state store, which outlives crashes, retries and clears, goes through two states:

.. code-block:: text

    nothing ──► intent (fingerprint, time) ──► POST ──► done (fingerprint, time, id)

- A record with an id is reattached to, unless that job failed.
- An intent without an id means that a POST may have gone out. For an export the job is looked for and adopted;
  for a task there is no list to look in, so a person has to say how to go on.
- A record with another fingerprint belongs to other work, such as the short that had this map index before.
- A person who wants to pay again for the same work says so beside the record, under
  :data:`~klap_provider.xcoms.REDO_KEY`; that is good for one submission.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from klap_provider.errors import KlapError, KlapSubmitUncertainError
from klap_provider.xcoms import REDO_KEY, SUBMISSION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Store(Protocol):
    """
    What is needed of Airflow's task state store.

    A store that cannot be read raises; that must never look like "there is no record".
    """

    def get(self, key: str) -> Any:
        """Return the value, or None if there is none."""

    def set(self, key: str, value: Any) -> None:
        """Keep the value for as long as the task instance exists."""

    def delete(self, key: str) -> None:
        """Forget the value."""


@dataclass(frozen=True)
class Submission:
    """
    A paid job and when it was asked for.

    :param fingerprint: what was asked of whom, see :func:`fingerprint`.
    :param at: when the POST was about to go out, in seconds since the epoch.
    :param job_id: Klap's id of the task or export; None while that is not known.
    :param known: ids of jobs that earlier submissions of this task instance made: never orphans of this one.
    :param paid: how many POSTs of this task instance, this one included, are known to have been accepted.
    """

    fingerprint: str
    at: float
    job_id: str | None = None
    known: tuple[str, ...] = ()
    paid: int = 0

    @property
    def submitted_at(self) -> str:
        """``at`` in ISO 8601."""
        return datetime.fromtimestamp(self.at, timezone.utc).isoformat()

    def to_record(self) -> dict[str, Any]:
        """Return the JSON form that is kept in the store."""
        return {
            "fingerprint": self.fingerprint,
            "at": self.at,
            "job_id": self.job_id,
            "known": list(self.known),
            "paid": self.paid,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Submission:
        """Return what :meth:`to_record` wrote."""
        return cls(record["fingerprint"], record["at"], record["job_id"], tuple(record["known"]), record["paid"])


def fingerprint(*, path: str, body: Mapping[str, Any] | None, conn_id: str, api_url: str, user: str | None) -> str:
    """Return a hash of everything that makes a submission the one it is: the request, the connection, the account."""
    facts = json.dumps([path, body, conn_id, api_url, user], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


@dataclass(frozen=True)
class Submitter:
    """
    Submits one job at most.

    :param store: where the record lives.
    :param prepare: called with the number of POSTs that were accepted before, makes the next one ready, and returns
        what sends it and returns the new job's id. It runs before the intent is recorded, so that what fails in it
        keeps the POST from being sent, and leaves no trace.
    :param has_failed: whether the job with this id ended with ``error``; such a one is not reattached to.
    :param find_orphans: lists the ids, oldest first, of jobs that a POST whose answer got lost may have made, given the
        intent; None where the API has no way to look.
    :param clock: returns seconds since the epoch.
    :param on_accepted: called once for each POST, when it is known that Klap has accepted it.
    """

    store: Store
    prepare: Callable[[int], Callable[[], str]]
    has_failed: Callable[[str], bool]
    find_orphans: Callable[[Submission], Sequence[str]] | None
    clock: Callable[[], float]
    on_accepted: Callable[[], None] | None = None

    def submit(self, fingerprint: str, *, allow_new: bool = False) -> tuple[Submission, bool]:
        """
        Return the submission, with its id, and whether it was made just now.

        :param allow_new: submit although the fate of an earlier POST is unknown and it may have been billed.
        :raises KlapSubmitUncertainError: such a POST exists, and ``allow_new`` is false.
        :raises KlapError: what the POST itself failed with, if Klap did not take it or an orphan can be looked for;
            or what its preparation failed with.
        """
        before = self._recorded()
        redo = self.store.get(REDO_KEY)
        if before is not None and before.fingerprint == fingerprint and not redo:
            found = self._reattach(before, allow_new=allow_new)
            if found is not None:
                return found, False
        return self._post(fingerprint, before, redo), True

    @property
    def paid(self) -> int:
        """How many POSTs of this task instance are known to have been accepted so far."""
        before = self._recorded()
        return 0 if before is None else before.paid

    def _recorded(self) -> Submission | None:
        record = self.store.get(SUBMISSION_KEY)
        return None if record is None else Submission.from_record(record)

    def _reattach(self, before: Submission, *, allow_new: bool) -> Submission | None:
        if before.job_id is not None:
            return None if self.has_failed(before.job_id) else before
        if self.find_orphans is not None:
            orphan = next((found for found in self.find_orphans(before) if found not in before.known), None)
            return None if orphan is None else self._accepted(before, orphan)
        if allow_new:
            return None
        raise _uncertain(before)

    def _post(self, fingerprint: str, before: Submission | None, redo: Any) -> Submission:
        paid = 0 if before is None else before.paid
        post = self.prepare(paid)
        known = () if before is None else self._not_ours(before, same=before.fingerprint == fingerprint and not redo)
        intent = self._keep(Submission(fingerprint, self.clock(), known=known, paid=paid))
        if redo:
            self.store.delete(REDO_KEY)
        try:
            job_id = post()
        except KlapError as failure:
            if failure.refused:
                if before is None:
                    self.store.delete(SUBMISSION_KEY)
                else:
                    self._keep(before)
                if redo:
                    self.store.set(REDO_KEY, redo)
                raise
            if self.find_orphans is None:
                raise _uncertain(intent) from failure
            raise
        return self._accepted(intent, job_id)

    def _not_ours(self, before: Submission, *, same: bool) -> tuple[str, ...]:
        """Return the jobs that a later look for an orphan must not take for the submission that follows ``before``."""
        if before.job_id is not None:
            return (*before.known, before.job_id)
        if self.find_orphans is not None and not same:
            return (*before.known, *self.find_orphans(before))
        return before.known

    def _accepted(self, intent: Submission, job_id: str) -> Submission:
        submission = self._keep(replace(intent, job_id=job_id, paid=intent.paid + 1))
        if self.on_accepted is not None:
            self.on_accepted()
        return submission

    def _keep(self, submission: Submission) -> Submission:
        self.store.set(SUBMISSION_KEY, submission.to_record())
        return submission


def _uncertain(intent: Submission) -> KlapSubmitUncertainError:
    when = datetime.fromtimestamp(intent.at, timezone.utc).isoformat(timespec="seconds")
    return KlapSubmitUncertainError(
        f"A video was sent to Klap at {when} and no task id came back: Klap may have taken and billed it, and its API "
        "has no list of tasks to look in. Nothing is sent again by itself. Look in the Klap app for an upload made "
        "at that time; then run this again (in a DAG: trigger a new run) with either klap_task_id set to its task id, "
        "or, if there is none, allow_new_submission set to true."
    )
