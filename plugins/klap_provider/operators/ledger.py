"""The bases of the operators that know what was paid: those that read or write the ledger, and those that pay."""

from __future__ import annotations

import functools
import logging
import random
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from klap_provider.airflow_internals.tasks import asset_store
from klap_provider.api import responses
from klap_provider.errors import KlapError
from klap_provider.operators.base import KlapOperator
from klap_provider.rules import ledger
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import Context
    from typing_extensions import Self

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Export, Task
    from klap_provider.rules.idempotent_submit import Submission
    from klap_provider.rules.in_doubt import Listing
    from klap_provider.rules.ledger import PaidRequest, Store

log = logging.getLogger(__name__)

#: Seconds after which a row of the ledger that could not be written is written again. Airflow's own client has tried
#: some times by then.
WRITE_AGAIN_AFTER = (1.0, 4.0)


class KlapLedgerOperator(KlapOperator):
    """Base of the operators that read or write the ledger: the state store of the asset ``klap_ledger``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inlets = [*self.inlets, Asset(LEDGER)]  # or Airflow would not know the asset

    def prepare_for_execution(self) -> Self:
        """
        Return the copy of the task that Airflow executes: without the ledger among its inlets.

        Before it executes a task that has any, Airflow asks the API server whether they are active. Writing a row of an
        asset that is not fails all the same.
        """
        other = super().prepare_for_execution()
        other.inlets = [inlet for inlet in self.inlets if inlet != Asset(LEDGER)]
        return other

    @functools.cached_property
    def ledger(self) -> Store:
        """The ledger's rows."""
        return _Ledger()


class KlapSubmitOperator(KlapLedgerOperator):
    """
    Base of the operators that cost money: one POST per request, whatever crashes or changes.

    Every paid request is recorded in the ledger, which all runs share: in Airflow's UI under *Assets*, ``klap_ledger``,
    *State Store*. The user also decides there what becomes of an in-doubt request, see
    :mod:`klap_provider.rules.manual_resolution`.
    """

    @abstractmethod
    def count_accepted(self) -> None:
        """Count, in Airflow's metrics, a POST that Klap has accepted, and what it costs."""

    def submit_once(self, context: Context, request: PaidRequest, job: KlapJob) -> Submission:
        """
        Send the request unless it was sent before, and return its job.

        :param request: what is to be paid for.
        :param job: how it is sent and found at Klap.
        :raises KlapError: as :meth:`~klap_provider.rules.idempotent_submit.IdempotentSubmit.submit` says.
        """
        from klap_provider.rules.idempotent_submit import IdempotentSubmit

        ti = context["ti"]
        submit = IdempotentSubmit(
            store=self.ledger,
            job=job,
            request=request,
            requester=ledger.Requester(run_of(context), ti.try_number, ti.max_tries),
            attempt_id=uuid.uuid4().hex,
            clock=_Clock(),
            response_within=job.response_within,
        )
        try:
            submission = submit.submit()
        except KlapError as failure:
            with suppress(Exception):  # the failure itself matters more
                failure.paid = submit.paid()
            raise
        if submission.was_recorded:
            self.count_accepted()
        if not submission.is_new:
            self.log.info(
                "Nothing paid: continuing with %s, which was submitted at %s (ledger entry %s)",
                submission.job_id,
                submission.attempt.submitted_at,
                submission.attempt.key,
            )
        return submission


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

    @property
    def response_within(self) -> float:
        """Seconds after which a response is no longer waited for."""
        return self.client.connection.connect_timeout + self.client.connection.read_timeout

    def prepare(self, paid: int) -> Collection[str]:
        """Return no known jobs: without a list, there is nothing to ask."""
        return ()

    def send(self, until: float) -> str:
        """Send the POST, and return the id of the new job."""
        job: Task | Export = self.client.call(self.call, until=until, within=self.response_within)
        job_id = job.id
        self.log.info("Klap accepted %s as %s", self.call, job_id)  # before anything else can fail
        return job_id

    def find(self) -> Listing | None:
        """Return None: there is no list."""
        return None

    def has_failed(self, job_id: str) -> bool:
        """Return whether a job ended with the status ``error``."""
        return self.status(job_id) == responses.JobStatus.ERROR

    @abstractmethod
    def status(self, job_id: str) -> str:
        """Return the status of a job."""


class _Clock:
    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311  # spreads out who comes at the same moment


class _Ledger:
    """The ledger in Airflow's asset store. What is written is tried again: it may be the id of something paid for."""

    def __init__(self) -> None:
        self._store = asset_store(LEDGER)

    def get(self, name: str) -> Any:
        return self._store.get(name)

    def set(self, name: str, value: Any) -> None:
        for seconds in WRITE_AGAIN_AFTER:
            try:
                self._store.set(name, value)
                return
            except Exception as failure:  # whatever it is, it is raised again after the last time
                log.warning("%s: %r was not written (%s). Next in %g s.", LEDGER, name, type(failure).__name__, seconds)
            time.sleep(seconds)
        self._store.set(name, value)

    def delete(self, name: str) -> None:
        self._store.delete(name)


def run_of(context: Context) -> str:
    """Return what the ledger calls a run."""
    return f"{context['ti'].dag_id} {context['ti'].run_id}"
