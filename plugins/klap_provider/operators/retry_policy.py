"""Airflow's own task retries, with the judgement of :mod:`klap_provider.errors`."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowRuntimeError

from klap_provider.api import redaction
from klap_provider.errors import KlapError, KlapResultError, KlapTemplateError

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

#: Characters of a failure that is none of this package's.
LONGEST_CAUSE = 500


class KlapRetryPolicy(RetryPolicy):
    """
    Retry transient errors, no sooner than Klap asked for; fail at once on other errors of this package.

    This is the default of every operator and sensor of this package. The task's ``retries`` limits the number of
    retries. ``retry_delay`` applies unless Klap asked for a longer time. Other exceptions are left to Airflow. One case
    is different: if the task did its work and only its result could not be stored, the task fails at once.

    A retry never pays twice: it continues with the recorded job (:mod:`klap_provider.rules.idempotent_submit`).
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide whether a failed try is followed by another; see ``airflow.sdk.RetryPolicy``."""
        task: Any = context["task"] if context else None
        if not isinstance(exception, KlapError):
            problem = outside_execute(task, exception)
            if problem is None or context is None:
                return RetryDecision.default()
            from klap_provider.operators.base import leave_reason

            leave_reason(context, problem, getattr(task, "project_id", None))
            log.error("%s", problem)
            return RetryDecision.fail(reason=str(problem))
        name = type(exception).__name__
        if not exception.transient:
            return RetryDecision.fail(reason=f"{name}: trying again would not help")
        own_delay = task.retry_delay if task else timedelta()
        if exception.retry_after is None or own_delay.total_seconds() >= exception.retry_after:
            return RetryDecision.default()
        return RetryDecision.retry(
            delay=timedelta(seconds=exception.retry_after),
            reason=f"{name}: Klap asked to wait {exception.retry_after:.0f} s",
        )


def outside_execute(task: Any, failure: BaseException) -> KlapError | None:
    """Return the error for a failure before the task was unmapped, or after it had executed; None for any other one."""
    if isinstance(failure, AirflowRuntimeError) and not getattr(task, "has_executed", False):
        return None  # Airflow's API failed, which may pass
    cause = redaction.without_secrets(f"{type(failure).__name__}: {failure}")[:LONGEST_CAUSE]
    if getattr(task, "has_executed", False):
        return KlapResultError(
            f"The task did its work, but Airflow could not store its result as an XCom ({cause}). Fix the cause, such "
            "as the XCom backend, and clear this task: what was paid for is not paid for again."
        )
    if getattr(task, "is_mapped", False) and not hasattr(task, "has_executed"):
        return KlapTemplateError(
            f"Nothing was done: what the task is mapped over could not be read ({cause}). The task before it was "
            "marked as success by hand, or its XCom was deleted. Clear that task together with its downstream tasks: "
            "what was paid for is not paid for again."
        )
    return None
