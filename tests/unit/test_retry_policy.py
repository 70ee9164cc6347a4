"""Which errors Airflow retries, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision

from klap_provider.errors import (
    KlapAuthError,
    KlapConfigError,
    KlapConnectionError,
    KlapCreditsError,
    KlapDownloadError,
    KlapError,
    KlapIncompleteError,
    KlapInputError,
    KlapInvalidResponseError,
    KlapJobFailedError,
    KlapNoResponseError,
    KlapNoShortsError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapServerError,
    KlapSubmitUncertainError,
    KlapTimeoutError,
    KlapUnknownStatusError,
)
from klap_provider.operators.retry_policy import KlapRetryPolicy


def decide(exception: BaseException, context: Any = None) -> RetryDecision:
    return KlapRetryPolicy().evaluate(exception, 1, 3, context)


@pytest.mark.parametrize(
    "exception",
    [
        KlapConnectionError("x"),
        KlapNoResponseError("x"),
        KlapRateLimitError("x", status=429),
        KlapServerError("x", status=500),
        KlapInvalidResponseError("x", status=200),
        KlapDownloadError("x", transient=True),
    ],
    ids=repr,
)
def test_a_transient_error_is_retried_as_the_task_defines(exception: KlapError) -> None:
    assert decide(exception).action is RetryAction.DEFAULT


@pytest.mark.parametrize(
    "exception",
    [
        KlapConfigError("x"),
        KlapInputError("x"),
        KlapAuthError("x", status=401),
        KlapCreditsError("x", status=402),
        KlapNotFoundError("x", status=404),
        KlapRejectedError("x", status=422),
        KlapJobFailedError("x"),
        KlapUnknownStatusError("x"),
        KlapTimeoutError("x"),
        KlapNoShortsError("x"),
        KlapSubmitUncertainError("x"),
        KlapDownloadError("x", transient=False),
        KlapIncompleteError("x"),
        KlapAuthError("x", status=401, retry_after=5),
    ],
    ids=repr,
)
def test_a_permanent_error_fails_without_retries(exception: KlapError) -> None:
    decision = decide(exception)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == f"{type(exception).__name__}: a retry would not help"


@pytest.mark.parametrize("exception", [ValueError("x"), ConnectionError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_other_exceptions_are_left_to_airflow(exception: BaseException) -> None:
    assert decide(exception) == RetryDecision.default()


@pytest.mark.parametrize(
    "exception",
    [KlapRateLimitError("x", status=429, retry_after=120.5), KlapServerError("x", status=503, retry_after=120.5)],
    ids=repr,
)
def test_a_retry_follows_retry_after(exception: KlapError) -> None:
    decision = decide(exception)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == timedelta(seconds=120.5)
    assert "Klap asked to wait" in (decision.reason or "")


@pytest.mark.parametrize("retry_after", [0, 1])
def test_the_retry_delay_of_the_task_is_the_minimum(retry_after: float) -> None:
    task = BaseOperator(task_id="submit", retries=3, retry_delay=timedelta(minutes=5))
    decision = decide(KlapRateLimitError("x", status=429, retry_after=retry_after), {"task": task})
    delay = task.retry_delay if decision.retry_delay is None else decision.retry_delay
    assert decision.action is not RetryAction.FAIL
    assert delay >= timedelta(minutes=5)
