"""Report failures: the XCom ``klap_error``, notices, and steps that must not fail a task."""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from klap_provider.api import redaction
from klap_provider.errors import KlapError
from klap_provider.xcoms import ERROR_KEY, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import Context

    from klap_provider.operators.base import KlapOperator

P = ParamSpec("P")
R = TypeVar("R")
SelfT = TypeVar("SelfT", bound="KlapOperator")

log = logging.getLogger(__name__)

#: Exceptions that end a task without a failure.
NOT_FAILURES = (AirflowSkipException, AirflowRescheduleException)

#: Maximum length of the text of an exception that is not from this package.
MAX_CAUSE_LENGTH = 500


def reports_failure(
    execute: Callable[Concatenate[SelfT, Context, P], R],
) -> Callable[Concatenate[SelfT, Context, P], R]:
    """Push the XCom ``klap_error`` if the task fails, so that later tasks and the UI can show the reason."""

    @functools.wraps(execute)
    def wrapper(self: SelfT, context: Context, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result = execute(self, context, *args, **kwargs)
        except NOT_FAILURES:
            raise
        except (Exception, AirflowTaskTimeout) as failure:
            push_error(context, failure, self.project_id)
            self.notify_failure(context, failure)
            raise
        self.has_executed = True
        return result

    return cast("Callable[Concatenate[SelfT, Context, P], R]", wrapper)


def push_error(context: Context, failure: BaseException, project_id: str | None) -> None:
    """Push the XCom ``klap_error``. If that fails, log it: the task fails anyway."""
    try:
        context["ti"].xcom_push(key=ERROR_KEY, value=to_failure(failure, project_id))
    except Exception:
        log.exception("The XCom klap_error could not be written. The reason of the failure: %s", failure)


def to_failure(failure: BaseException, project_id: str | None) -> Failure:
    """Return an exception as the XCom ``klap_error``."""
    text = str(failure)
    if not isinstance(failure, KlapError | AirflowSensorTimeout | AirflowFailException):
        text = cause_of(failure)
    result: Failure = {"error": text, "type": type(failure).__name__, "project_id": project_id}
    if isinstance(failure, KlapError) and failure.paid:
        result["paid"] = failure.paid
    if isinstance(failure, KlapError) and failure.open_decision is not None:
        result["open_decision"] = failure.open_decision
    return result


def cause_of(failure: BaseException) -> str:
    """Return the type and the text of an exception, shortened and without secrets."""
    return redaction.without_secrets(f"{type(failure).__name__}: {failure}")[:MAX_CAUSE_LENGTH]


@contextmanager
def log_failure(step: str) -> Iterator[None]:
    """
    Log an exception instead of raising it, in a step that must not fail a task that has paid or delivered.

    :param step: what is done, as the subject of a sentence.
    """
    try:
        yield
    except Exception as failure:
        log.warning("%s failed, and the task continues without it: %s: %s", step, type(failure).__name__, failure)
