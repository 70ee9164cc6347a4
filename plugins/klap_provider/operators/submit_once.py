"""The base of the operators that send paid requests."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from klap_provider.api import responses
from klap_provider.errors import KlapCreditsError, KlapError
from klap_provider.operators.failures import log_failure
from klap_provider.operators.ledger import Clock, KlapLedgerOperator, run_of
from klap_provider.operators.monthly_limit import POST, KlapLimitedOperator, log_used, reservation_of
from klap_provider.rules import ledger

if TYPE_CHECKING:
    from collections.abc import Collection
    from decimal import Decimal

    from airflow.sdk import Context

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Export, Task
    from klap_provider.rules.attempt_log import Submission
    from klap_provider.rules.in_doubt import Listing
    from klap_provider.rules.ledger import PaidRequest
    from klap_provider.rules.monthly_limit import MonthlyLimits


class KlapSubmitOperator(KlapLedgerOperator, KlapLimitedOperator):
    """
    Base of the operators that send paid requests. Each request is sent once.

    Every paid request is recorded in the ledger, which all runs share. It is in Airflow's UI under *Assets*,
    ``klap_ledger``, *State Store*. The user can resolve in-doubt requests there, see
    :mod:`klap_provider.rules.manual_resolution`.
    """

    #: Whether a retry returns a job that failed at Klap, instead of paying for a new one. A clear always pays for one.
    keeps_failed_job = False

    #: The request that was sent, or may have been, with its ledger entry.
    _requested: str | None = None

    @abstractmethod
    def count_accepted(self) -> None:
        """Count an accepted POST and its price in Airflow's metrics."""

    def submit_once(self, context: Context, request: PaidRequest, job: KlapJob) -> Submission:
        """
        Send a paid request, unless it was sent before, and return its job.

        :param request: the request, for the ledger.
        :param job: sends the request, and finds its job at Klap.
        :raises KlapError: see :meth:`~klap_provider.rules.idempotent_submit.IdempotentSubmit.submit`.
        """
        from klap_provider.rules.idempotent_submit import IdempotentSubmit

        ti = context["ti"]
        job.limits, job.request = self.monthly_limits(context, self.client.connection), request
        submit = IdempotentSubmit(
            store=self.ledger,
            job=job,
            request=request,
            requester=ledger.Requester(run_of(context), ti.try_number, ti.max_tries),
            attempt_id=uuid.uuid4().hex,
            clock=Clock(),
            response_within=job.response_within,
            keeps_failed_job=self.keeps_failed_job,
            reads_first=job.limits is not None,
        )
        self._requested = f"{request.what} (ledger entry {request.log})"
        try:
            submission = submit.submit()
        except KlapError as failure:
            with suppress(Exception):  # must not hide the failure
                failure.paid = submit.paid()
            if isinstance(failure, KlapCreditsError):
                self.pause_watchers(self.client.connection, failure)
            raise
        job.release_unused(submission)
        if submission.was_recorded:
            self.count_accepted()
        if not submission.is_new:
            self.log.info(
                "Nothing paid: continuing with %s, which was submitted at %s (ledger entry %s)",
                submission.job_id,
                submission.attempt.submitted_at,
                submission.attempt.key,
            )
        self._requested = f"{submission.job_id} (ledger entry {submission.attempt.key})"
        return submission

    def on_kill(self) -> None:
        """Log what is billed although the task was ended: Klap's API cannot cancel a job."""
        super().on_kill()
        if self._requested is not None:
            self.log.warning(
                "The task was ended. Klap cannot cancel a job: what it accepted is still billed. Request: %s. The next "
                "try, or a clear, continues with it and does not pay again.",
                self._requested,
            )


class KlapJob(ABC):
    """
    One paid request to Klap, for :class:`~klap_provider.rules.idempotent_submit.IdempotentSubmit`.

    :param operator: the operator that makes the request.
    :param call: the POST.
    """

    #: Whether Klap has a list to find the job in.
    has_list = False

    def __init__(self, operator: KlapSubmitOperator, call: Call[Any]) -> None:
        self.client = operator.client
        self.call = call
        self.log = operator.log
        self.limits: MonthlyLimits | None = None
        self.request: PaidRequest | None = None
        self._reservation: str | None = None

    @property
    def response_within(self) -> float:
        """Seconds to wait for a response."""
        return self.client.connection.connect_timeout + self.client.connection.read_timeout

    def reserve(self, paid: int, cost: Decimal) -> None:
        """
        Reserve the cost of the next POST, unless an earlier try has.

        :param paid: number of POSTs of this run that Klap has accepted for this request.
        :param cost: US dollars.
        :raises KlapLimitError: a monthly limit does not cover it.
        """
        if self.limits is not None and self.request is not None:
            reservation = reservation_of(self.request.log, paid)
            reserved = self.limits.reserve(reservation, cost, [POST])
            log_used(reserved.used)
            if not reserved.items:
                raise self.limits.error(reserved, self.request.what, cost)
            self._reservation = reservation

    def release_unused(self, submission: Submission) -> None:
        """Release what this run has reserved if another run's job is used instead."""
        payer = submission.attempt.paid_by
        if self.request is not None and self.limits is not None and payer not in (None, self.limits.run):
            self._release(reservation_of(self.request.log, submission.paid))

    def _release(self, reservation: str) -> None:
        if self.limits is not None:
            with log_failure("Releasing the reserved part of the monthly limit"):
                self.limits.release(reservation, [POST])

    def prepare(self, paid: int) -> Collection[str]:
        """Prepare the call, and return the ids of existing jobs; none if Klap has no list of them."""
        return ()

    def send(self, until: float) -> str:
        """Send the POST, and return the id of the new job."""
        job: Task | Export
        try:
            job = self.client.call(self.call, until=until, within=self.response_within)
        except KlapError as failure:
            # Here, before the attempt is void: other tries of this run that are still alive must not use it.
            if failure.refused and not failure.transient and self._reservation is not None:
                self._release(self._reservation)
            raise
        job_id = job.id
        self.log.info("Klap accepted %s as %s", self.call, job_id)  # the id must be in the log, whatever fails next
        return job_id

    def find(self) -> Listing | None:
        """Return the jobs that the POST may have created; None if Klap has no list of them."""
        return None

    def has_failed(self, job_id: str) -> bool:
        """Return whether a job ended with the status ``error``."""
        return self.status(job_id) == responses.JobStatus.ERROR

    @abstractmethod
    def status(self, job_id: str) -> str:
        """Return the status of a job."""
