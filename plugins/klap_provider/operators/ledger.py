"""The bases of the operators that know what was paid: those that read or write the ledger, and those that pay."""

from __future__ import annotations

import functools
import logging
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from klap_provider.airflow_internals.tasks import asset_store
from klap_provider.api import answers
from klap_provider.errors import KlapError
from klap_provider.operators.base import KlapOperator
from klap_provider.rules import ledger
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context
    from typing_extensions import Self

    from klap_provider.api.answers import Export, Task
    from klap_provider.api.calls import Call
    from klap_provider.rules.ledger import Store, Submission, Work

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
    Base of the operators that cost money: whatever crashes or changes, one POST for the same thing.

    What was paid, or may have been, stands in the ledger, which is the same for all runs: in Airflow's UI under
    *Assets*, ``klap_ledger``, *State Store*. There a person also says how to go on, see
    :mod:`klap_provider.rules.persons_word`: the key ``resend <name of the row>`` with the value ``true`` lets one more
    POST out when the task is cleared.
    """

    @abstractmethod
    def count_accepted(self) -> None:
        """Count, in Airflow's metrics, a POST that Klap has accepted, and what it costs."""

    def submit_once(
        self,
        context: Context,
        call: Call[Task] | Call[Export],
        work: Work,
        *,
        status: Callable[[str], str],
        list_jobs: Callable[[bool], Sequence[str]] | None = None,
        recent_jobs: Callable[[], Sequence[str]] | None = None,
        outgoing: Callable[[int], Call[Task]] | None = None,
        reuse: bool = False,
    ) -> Submission:
        """
        Send the call unless it was sent before, and return the submission, with its id.

        :param call: what is asked of Klap.
        :param work: what that is in the ledger.
        :param status: returns the status word of the job with the given id.
        :param list_jobs: lists the ids of the jobs that Klap has of the thing, without those that failed if so asked;
            None where the API has no list.
        :param recent_jobs: lists the same as of a moment ago.
        :param outgoing: called just before a POST with the number of those paid for before, and returns the call as it
            goes out; default: as it is. May raise.
        :param reuse: go on with what any run has sent before, if it asked for just the same.
        :raises KlapError: as :meth:`~klap_provider.rules.submitter.Submitter.submit` says.
        """
        from klap_provider.rules import lost_answer
        from klap_provider.rules.submitter import Submitter

        connection, ti = self.client.connection, context["ti"]
        patience = connection.connect_timeout + connection.read_timeout

        def prepare(paid: int) -> Callable[[float], str]:
            ready: Call[Any] = outgoing(paid) if outgoing else call

            def send(until: float) -> str:
                job_id: str = self.client.call(ready, until=until).id
                self.log.info("Klap has accepted it as %s", job_id)  # before anything else can fail
                return job_id

            return send

        submitter = Submitter(
            store=self.ledger,
            work=work,
            asker=ledger.Asker(run_of(context), ti.try_number, ti.max_tries),
            prepare=prepare,
            has_failed=lambda job_id: status(job_id) == answers.JobStatus.ERROR,
            list_jobs=list_jobs,
            recent_jobs=recent_jobs,
            clock=time.time,
            on_accepted=self.count_accepted,
            tell=self.log.warning,
            reuse=reuse,
            settle=lost_answer.SEND_WITHIN + patience + lost_answer.SETTLE,
        )
        try:
            submission, fresh = submitter.submit()
        except KlapError as failure:
            failure.paid = submitter.paid
            if failure.fate is not None:
                failure.fate = failure.fate._replace(second_hand=connection.prices.second_hand)
            raise
        verb = "Submitted" if fresh else "Nothing paid: going on with what was submitted before,"
        self.log.info("%s %s → %s", verb, call, submission.job_id)
        return submission


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
