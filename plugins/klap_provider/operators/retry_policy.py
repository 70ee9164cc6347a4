"""Airflow's own task retries, with the judgement of :mod:`klap_provider.errors`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import RetryDecision, RetryPolicy

from klap_provider.errors import KlapError

if TYPE_CHECKING:
    from airflow.sdk import Context


class KlapRetryPolicy(RetryPolicy):
    """
    Retry what may pass, no sooner than Klap asked; fail at once on what no retry mends.

    The default of every operator and sensor here. How often is still the task's ``retries``, and ``retry_delay``
    applies where Klap did not ask for more. Exceptions that are not Klap's are left to Airflow.

    A retry never pays twice: it continues with what was submitted (:mod:`klap_provider.rules.idempotent_submit`).
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide whether a failed try is followed by another; see ``airflow.sdk.RetryPolicy``."""
        if not isinstance(exception, KlapError):
            return RetryDecision.default()
        name = type(exception).__name__
        if not exception.passing:
            return RetryDecision.fail(reason=f"{name}: trying again would not help")
        own_delay = context["task"].retry_delay if context else timedelta()
        if exception.retry_after is None or own_delay.total_seconds() >= exception.retry_after:
            return RetryDecision.default()
        return RetryDecision.retry(
            delay=timedelta(seconds=exception.retry_after),
            reason=f"{name}: Klap asked to wait {exception.retry_after:.0f} s",
        )
