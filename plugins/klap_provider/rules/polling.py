"""
Decide what the result of a poll means. Pure. :mod:`klap_provider.rules.poll_schedule` decides when to poll.

Sensors, triggers and workers pass each result to :meth:`Target.decide`, so that every mode decides the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from klap_provider.api.responses import JobStatus
from klap_provider.errors import (
    KlapError,
    KlapJobFailedError,
    KlapRateLimitError,
    KlapTimeoutError,
    KlapUnknownStatusError,
)
from klap_provider.rules.poll_schedule import PollSchedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Export, Task

#: Seconds for which an unknown status counts as transient.
UNKNOWN_GRACE = 120.0

#: Maximum seconds for a poll that starts at the deadline or later.
LAST_POLL = 15.0

#: Failed polls in a row after which the triggerer hands over to a worker, which may be able to reach Klap: the first
#: time, and then, so that a triggerer without a connection to Klap starts few workers.
HAND_OVER_AFTER, HAND_OVER_AGAIN_AFTER = 5, 20

T = TypeVar("T")
JobT = TypeVar("JobT", "Task", "Export")


@dataclass(frozen=True)
class PollState:
    """
    The state of a wait. Times are in seconds since the epoch.

    :param started_at: when the job was submitted.
    :param deadline: when the wait ends. Nothing extends it.
    :param schedule: when to poll.
    :param unknown_since: when Klap first reported an unknown status; None if the status is known.
    :param failures: number of failed polls in a row.
    :param handovers: number of handovers to a worker in a row, without a successful poll by the triggerer.
    :param seen: hash of the list in the latest poll; None before the first poll.
    :param seen_since: when the list was first seen in this form.
    :param ready_at: when a poll first found the task ready; None before, and for other jobs.
    """

    started_at: float
    deadline: float
    schedule: PollSchedule
    unknown_since: float | None = None
    failures: int = 0
    handovers: int = 0
    seen: str | None = None
    seen_since: float | None = None
    ready_at: float | None = None

    @property
    def hands_over(self) -> bool:
        """Whether the triggerer should hand over to a worker, because too many polls in a row have failed."""
        return self.failures >= (HAND_OVER_AGAIN_AFTER if self.handovers else HAND_OVER_AFTER)

    @property
    def seconds_before_hand_over(self) -> float:
        """Seconds before a triggerer that cannot poll at all hands over to a worker: 0 for the first handover."""
        return HAND_OVER_AGAIN_AFTER * self.schedule.interval if self.handovers else 0.0

    def handed_over(self) -> PollState:
        """Return the state for the worker that takes over."""
        return replace(self, failures=0, handovers=self.handovers + 1)

    @property
    def of_list(self) -> dict[str, Any]:
        """The fields of a wait for a list that are stored, so that another process can continue the wait."""
        fields = {"seen": self.seen, "seen_since": self.seen_since, "ready_at": self.ready_at}
        return {name: value for name, value in fields.items() if value is not None}

    def with_list(self, stored: Mapping[str, Any]) -> PollState:
        """Return the state with the stored fields of :attr:`of_list`."""
        fields: dict[str, Any] = {name: stored.get(name) for name in ("seen", "seen_since", "ready_at")}
        return replace(self, **fields)

    def to_kwargs(self) -> dict[str, Any]:
        """Return the state as it is stored in the arguments of a trigger."""
        return {
            "started_at": self.started_at,
            "deadline": self.deadline,
            "poll_interval": self.schedule.interval,
            "first_poll": self.schedule.first,
            "unknown_since": self.unknown_since,
            "handovers": self.handovers,
            **self.of_list,
        }

    @classmethod
    def from_kwargs(cls, stored: Mapping[str, Any], default: PollSchedule) -> PollState:
        """Return the state from the arguments of a trigger. Arguments of other versions are ignored."""
        return cls(
            started_at=stored["started_at"],
            deadline=stored["deadline"],
            schedule=PollSchedule(stored.get("poll_interval") or default.interval, stored.get("first_poll")),
            unknown_since=stored.get("unknown_since"),
            handovers=stored.get("handovers", 0),
        ).with_list(stored)


@dataclass(frozen=True)
class Done(Generic[T]):
    """The wait is over. ``value`` is Klap's response."""

    value: T


@dataclass(frozen=True)
class PollAgain:
    """Poll again after ``seconds``, with ``state``."""

    seconds: float
    state: PollState


class Target(ABC, Generic[T]):
    """A job to wait for. A dataclass of ids, so that a triggerer can rebuild it."""

    #: Type of the job, for metrics.
    job: ClassVar[str]

    #: Default schedule, if neither the connection nor the sensor sets one.
    schedule: ClassVar[PollSchedule]

    @classmethod
    def from_ids(cls, ids: Mapping[str, Any]) -> Self:
        """Return the target with these ids. Ids that this version does not know are ignored."""
        return cls(**{field.name: ids[field.name] for field in fields(cls) if field.name in ids})  # type: ignore[arg-type]  # every target is a dataclass

    @abstractmethod
    def call(self) -> Call[Any]:
        """Return the API call that polls the job."""

    @abstractmethod
    def decide(self, result: Any, state: PollState, *, now: float) -> Done[Any] | PollAgain:
        """
        Decide what the result of a poll means.

        :param result: Klap's response, or the error of the request.
        :param now: seconds since the epoch.
        :raises KlapError: the wait has failed.
        """

    def following(
        self, done: Done[Any], state: PollState, *, now: float, is_first: bool = False
    ) -> tuple[Target[Any], PollState] | None:
        """
        Return the next target and its state; None if the wait is over.

        :param is_first: whether this was the first poll, so that the job may have ended long ago.
        """
        return None

    @abstractmethod
    def xcom(self, done: Done[Any]) -> Any:
        """Return the value that the waiting task returns."""


def decide_job(result: JobT | KlapError, state: PollState, *, now: float, advice: str = "") -> Done[JobT] | PollAgain:
    """
    Decide what the result of a poll of a task or an export means.

    :param advice: what to do after a failure of the job.
    :raises KlapJobFailedError: the job ended with the status ``error``.
    :raises KlapUnknownStatusError: the status has been unknown for two minutes.
    :raises KlapTimeoutError: the deadline has passed.
    :raises KlapError: ``result`` itself, if it is not transient.
    """
    if isinstance(result, KlapError):
        if not result.transient:
            raise result
        return again(f"the last poll failed: {result}", after_failure(result, state), now=now, failure=result)
    what = f"Klap {type(result).__name__.lower()} {result.id}"
    if result.status == JobStatus.READY and result.output:
        return Done(result)
    if result.status == JobStatus.ERROR:
        raise KlapJobFailedError(f"{what} failed: {result.failure.rstrip('.')}. {advice}", error_code=result.error_code)
    unknown_since = state.unknown_since
    if result.status in (JobStatus.PROCESSING, JobStatus.READY):
        unknown_since = None
    elif unknown_since is None:
        unknown_since = now
    elif now - unknown_since >= UNKNOWN_GRACE:
        raise KlapUnknownStatusError(
            f"{what} has had the unknown status {result.status!r} for {now - unknown_since:.0f} s. The known "
            f"statuses are {', '.join(s.value for s in JobStatus)}. Check the job in the Klap app. To continue the "
            "wait, clear this task."
        )
    status = f"{what} is {result.status!r}"
    if result.status == JobStatus.READY:
        status = f"{status}, but has no {type(result).output_field} yet"
    return again(status, replace(state, unknown_since=unknown_since, failures=0), now=now)


def after_failure(failure: KlapError, state: PollState) -> PollState:
    """Return the state after a failed poll. A 429 does not count: a worker would get the same response."""
    return state if isinstance(failure, KlapRateLimitError) else replace(state, failures=state.failures + 1)


def again(what: str, state: PollState, *, now: float, failure: KlapError | None = None) -> PollAgain:
    """Return when to poll next, or raise KlapTimeoutError with the reason ``what`` if the deadline has passed."""
    if now >= state.deadline:
        raise KlapTimeoutError(
            f"Gave up {now - state.started_at:.0f} s after the job was submitted "
            f"(timeout {state.deadline - state.started_at:.0f} s); {what.rstrip('.')}. Klap may still finish the job. "
            "To wait longer, raise the timeout in the Dag file and clear this task: task_timeout or export_timeout of "
            "the function that makes the Dag, or timeout of the sensor or operator. Nothing is paid again."
        )
    seconds = max(state.schedule.delay(now - state.started_at), (failure and failure.retry_after) or 0.0)
    return PollAgain(min(seconds, state.deadline - now), state)
