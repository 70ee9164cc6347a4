"""What the operators and sensors have in common: the connection, the retries, and a failure that can be read."""

from __future__ import annotations

import functools
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from airflow.sdk import (  # type: ignore[attr-defined]  # NEVER_EXPIRE is published, but for the stub
    NEVER_EXPIRE,
    BaseOperator,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from klap_provider.api.answers import JobStatus
from klap_provider.errors import KlapError, KlapInputError
from klap_provider.hooks.connection import DEFAULT_CONN_ID
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.rules.retry import ONCE
from klap_provider.rules.submission import Submission, Submitter, fingerprint
from klap_provider.xcoms import ERROR_KEY, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context, RetryPolicy

    from klap_provider.api.answers import Export, Task
    from klap_provider.api.calls import Call
    from klap_provider.hooks.client import KlapClient
    from klap_provider.rules.polling import Ready, Target, Wait, Watch

P = ParamSpec("P")
R = TypeVar("R")
SelfT = TypeVar("SelfT", bound="KlapOperator")


class KlapOperator(BaseOperator):
    """
    Base of the operators and sensors.

    :param klap_conn_id: the Airflow connection, of type ``klap``. Default ``klap_default``. Templated.
    :param on_behalf_of: id of the managed user to act for. Default: the connection's. Templated.
    :param retry_policy: default :class:`~klap_provider.operators.retry_policy.KlapRetryPolicy`.
    """

    ui_color = "#ece4ff"

    #: The short that a task is about, if it is about one; shown as the map index and named in the manifest.
    project_id: str | None = None
    folder_id: str | None = None
    short_name: str | None = None

    def __init__(
        self,
        *,
        klap_conn_id: str = DEFAULT_CONN_ID,
        on_behalf_of: str | None = None,
        retry_policy: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy or KlapRetryPolicy(), **kwargs)
        self.klap_conn_id = klap_conn_id
        self.on_behalf_of = on_behalf_of

    @functools.cached_property
    def client(self) -> KlapClient:
        """The client of this task's connection."""
        # Not at the top: requests would be loaded at every parse of the DAG file.
        from klap_provider.hooks.client import KlapClient

        return KlapClient(self.klap_conn_id, on_behalf_of=self.on_behalf_of)

    def look(self, target: Target[R], watch: Watch) -> Ready[R] | Wait:
        """
        Look once at what is waited for, and decide what the look means.

        :raises KlapError: the wait is over, and not well.
        """
        look: R | KlapError
        try:
            look = self.client.call(target.call(), backoff=ONCE)
        except KlapError as failure:
            look = failure
        return target.judge(look, watch, now=time.time())


class KlapSubmitOperator(KlapOperator):
    """
    Base of the operators that cost money: whatever crashes, one POST per task instance and set of inputs.

    To pay again on purpose, set the key ``klap_redo`` in the task instance's state store, in Airflow's UI or with its
    REST API, and clear the task. It is good for one POST.
    """

    @abstractmethod
    def count_accepted(self) -> None:
        """Count, in Airflow's metrics, a POST that Klap has accepted, and what it costs."""

    def submit_once(
        self,
        context: Context,
        call: Call[Task] | Call[Export],
        *,
        status: Callable[[str], str],
        find_orphans: Callable[[Submission], Sequence[str]] | None = None,
        allow_new: bool = False,
        outgoing: Callable[[int], Call[Task]] | None = None,
    ) -> Submission:
        """
        Send the call unless it was sent before, and return the submission, with its id.

        :param call: what is asked of Klap; a call that differs is new work.
        :param status: returns the status word of the job with the given id.
        :param find_orphans: lists jobs that a POST whose answer got lost may have made, if the API has a way.
        :param allow_new: send although the fate of an earlier POST is unknown.
        :param outgoing: called just before a POST with the number of those paid for before, and returns the call as it
            goes out; default: as it is. May raise.
        :raises KlapSubmitUncertainError: such a POST exists, and ``allow_new`` is false.
        """
        connection = self.client.connection
        send: Callable[[Call[Any]], Any] = self.client.call

        def prepare(paid: int) -> Callable[[], str]:
            ready: Call[Any] = outgoing(paid) if outgoing else call
            return lambda: send(ready).id

        submitter = Submitter(
            store=_Forever(context["task_state_store"]),
            prepare=prepare,
            has_failed=lambda job_id: status(job_id) == JobStatus.ERROR,
            find_orphans=find_orphans,
            clock=time.time,
            on_accepted=self.count_accepted,
        )
        try:
            submission, fresh = submitter.submit(
                fingerprint(
                    path=call.path,
                    body=call.body,
                    conn_id=self.klap_conn_id,
                    api_url=connection.api_url,
                    user=connection.on_behalf_of,
                ),
                allow_new=allow_new,
            )
        except KlapError as failure:
            failure.paid = submitter.paid
            raise
        verb = "Submitted" if fresh else "Nothing paid: reattached to what was submitted before,"
        self.log.info("%s %s → %s", verb, call, submission.job_id)
        return submission


class _Forever:
    """Airflow's task state store, keeping what was paid for as long as the task instance exists."""

    def __init__(self, store: Any) -> None:
        self.get = store.get
        self.delete = store.delete
        self._set = store.set

    def set(self, key: str, value: Any) -> None:
        self._set(key, value, retention=NEVER_EXPIRE)


def is_static(value: Any) -> bool:
    """Whether a constructor argument is its final value: plain data, with nothing to template or to resolve."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, dict):
        return all(map(is_static, value.values()))
    return value is None or isinstance(value, bool | int | float)


def check_now(check: Callable[[], Any]) -> None:
    """Run a check in a constructor, where Airflow's users expect a ``ValueError``."""
    try:
        check()
    except KlapInputError as wrong:
        raise ValueError(str(wrong)) from None


def reports_failure(
    execute: Callable[Concatenate[SelfT, Context, P], R],
) -> Callable[Concatenate[SelfT, Context, P], R]:
    """Leave an XCom that says why the task failed, so that who joins behind it can name the reason."""

    @functools.wraps(execute)
    def wrapper(self: SelfT, context: Context, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return execute(self, context, *args, **kwargs)
        except (KlapError, AirflowSensorTimeout, AirflowFailException, OSError) as failure:
            said: Failure = {"error": str(failure), "type": type(failure).__name__, "project_id": self.project_id}
            if isinstance(failure, KlapError) and failure.paid:
                said["paid"] = failure.paid
            context["ti"].xcom_push(key=ERROR_KEY, value=said)
            raise

    return cast("Callable[Concatenate[SelfT, Context, P], R]", wrapper)
