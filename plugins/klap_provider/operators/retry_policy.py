"""The retry policy of all tasks: retry transient errors only."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowRuntimeError

from klap_provider.errors import KlapError, KlapResultError, KlapTemplateError
from klap_provider.operators.failures import cause_of, push_error

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class KlapRetryPolicy(RetryPolicy):
    """
    Retry transient errors, no sooner than Klap asked for; fail at once on other errors of this package.

    This is the default of every operator and sensor of this package. The task's ``retries`` limits the number of
    retries. ``retry_delay`` applies unless Klap asked for a longer time. Airflow handles exceptions of other packages,
    with one exception: if the task did its work and only its result could not be stored, the task fails at once.

    A retry never pays twice: it continues with the recorded job (:mod:`klap_provider.rules.idempotent_submit`).
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return whether and when Airflow retries the task; see ``airflow.sdk.RetryPolicy``."""
        task: Any = context["task"] if context else None
        if not isinstance(exception, KlapError):
            problem = error_outside_execute(task, exception)
            if problem is None or context is None:
                return RetryDecision.default()
            push_error(context, problem, getattr(task, "project_id", None))
            log.error("%s", problem)
            return RetryDecision.fail(reason=str(problem))
        name = type(exception).__name__
        if not exception.transient:
            return RetryDecision.fail(reason=f"{name}: a retry would not help")
        own_delay = task.retry_delay if task else timedelta()
        if exception.retry_after is None or own_delay.total_seconds() >= exception.retry_after:
            return RetryDecision.default()
        return RetryDecision.retry(
            delay=timedelta(seconds=exception.retry_after),
            reason=f"{name}: Klap asked to wait {exception.retry_after:.0f} s",
        )


def error_outside_execute(task: Any, failure: BaseException) -> KlapError | None:
    """Return the error for a failure before Airflow unmapped the task, or after ``execute``; None for others."""
    if isinstance(failure, AirflowRuntimeError) and not getattr(task, "has_executed", False):
        return None  # Airflow's API failed, which can be transient
    cause = cause_of(failure)
    if getattr(task, "has_executed", False):
        return KlapResultError(
            f"The task did its work, but Airflow could not store its result as an XCom ({cause}). Fix the cause, for "
            "example the XCom backend, and clear this task. Nothing is paid again."
        )
    if getattr(task, "is_mapped", False) and not hasattr(task, "has_executed"):
        return KlapTemplateError(
            f"Nothing was done: the list that the task is mapped over could not be read ({cause}). The upstream task "
            "was marked as success by hand, or its XCom was deleted. Clear that task and its downstream tasks. Nothing "
            "is paid again."
        )
    return None
