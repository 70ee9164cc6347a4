"""
What the result of a poll means. :mod:`klap_provider.rules.poll_schedule` has the times. Pure: no clock, no sleep, no
Airflow.

Sensors, triggers and workers hand each result to :meth:`Target.decide`, so that every mode decides alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from klap_provider.api import calls
from klap_provider.api.redaction import public_address
from klap_provider.api.responses import Export, JobStatus, Project, Task
from klap_provider.errors import (
    KlapError,
    KlapJobFailedError,
    KlapNoShortsError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapTimeoutError,
    KlapUnknownStatusError,
)
from klap_provider.rules import poll_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from klap_provider.api.calls import Call
    from klap_provider.rules.poll_schedule import PollSchedule
    from klap_provider.xcoms import ExportReady, TaskReady

#: Seconds for which an unknown status counts as a transient state.
UNKNOWN_GRACE = 120.0

#: Seconds that a poll at, or after, the deadline may still take.
LAST_POLL = 15.0

#: Seconds at most between two polls of a list of shorts that have to agree.
LIST_INTERVAL = 60.0

#: The same, as a share of the time that the task took; and seconds at least.
LIST_SHARE = 0.1
LEAST_LIST_INTERVAL = 1.0

#: Seconds from when a task is ready until its list of shorts counts as it is.
LIST_TIMEOUT = 300.0

#: Seconds after which Klap adds no more shorts to a list.
LIST_SETTLED = 600.0

#: Failed polls in a row after which the triggerer hands over to a worker, which may reach Klap where it does not.
HAND_OVER_AFTER = 5

#: Factor by which that number grows at most, so that a triggerer that stays cut off starts few workers.
HAND_OVER_LESS_OFTEN = 4

#: What to do about a failed job.
FAILED_JOB_ADVICE: Mapping[type[Task] | type[Export], str] = {
    Task: "Fix the video or its address, and start a new run: Airflow's Trigger again with this config keeps the "
    "other settings. Clearing this run sends the same video once more, and pays for it again.",
    Export: "To have it made, and pay for it, once more, clear the task that ordered it and what follows.",
}

T = TypeVar("T")
JobT = TypeVar("JobT", Task, Export)


@dataclass(frozen=True)
class PollState:
    """
    A wait in progress.

    :param started_at: when the job was submitted, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; nothing extends it.
    :param schedule: when to poll.
    :param unknown_since: since when Klap has reported an unknown status; None if the status is known.
    :param failures: failed polls in a row.
    :param handovers: how often in a row the triggerer has handed over to a worker without a good poll of its own.
    :param seen: what the latest poll of a list saw, as a hash; None before the first one.
    :param seen_since: since when each poll of the list saw the same, in seconds since the epoch.
    :param ready_at: when a poll first found that the task is ready, in seconds since the epoch; None before, and for
        other jobs.
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
        """Whether so many polls in a row have failed that a worker should poll."""
        return self.failures >= HAND_OVER_AFTER * self._patience

    @property
    def seconds_before_hand_over(self) -> float:
        """Seconds to wait before a worker takes over from a triggerer that cannot poll at all: none the first time."""
        return HAND_OVER_AFTER * self._patience * self.schedule.interval if self.handovers else 0.0

    @property
    def _patience(self) -> int:
        return min(1 << min(self.handovers, 10), HAND_OVER_LESS_OFTEN)

    def handed_over(self) -> PollState:
        """Return the state for the worker that takes over."""
        return replace(self, failures=0, handovers=self.handovers + 1)

    @property
    def of_list(self) -> dict[str, Any]:
        """What a wait for a list must remember, so that another process can continue it: the fields that are set."""
        fields = {"seen": self.seen, "seen_since": self.seen_since, "ready_at": self.ready_at}
        return {name: value for name, value in fields.items() if value is not None}

    def with_list(self, remembered: Mapping[str, Any]) -> PollState:
        """Return the state with the fields of :attr:`of_list` as they were remembered."""
        return replace(
            self,
            seen=remembered.get("seen"),
            seen_since=remembered.get("seen_since"),
            ready_at=remembered.get("ready_at"),
        )


@dataclass(frozen=True)
class Done(Generic[T]):
    """What was waited for is there: ``value`` is Klap's answer that shows it."""

    value: T


@dataclass(frozen=True)
class PollAgain:
    """Poll again after ``seconds``, and decide on the result with ``state``."""

    seconds: float
    state: PollState


class Target(Protocol[T]):
    """Something to wait for. A dataclass of ids, so that it can be rebuilt in a triggerer."""

    #: The kind of job, for metrics.
    job: ClassVar[str]

    #: When to poll, unless the connection or the sensor sets it.
    schedule: ClassVar[PollSchedule]

    @classmethod
    def from_ids(cls, ids: Mapping[str, Any]) -> Self:
        """Return the target that was stored as these ids; ids that this version does not know are ignored."""

    def call(self) -> Call[T]:
        """Return the API call that polls it."""

    def decide(self, result: T | KlapError, state: PollState, *, now: float) -> Done[T] | PollAgain:
        """Decide what a result means; raise a :class:`~klap_provider.errors.KlapError` where the wait is over."""

    def following(
        self, done: Done[Any], state: PollState, *, now: float, is_first: bool = False
    ) -> tuple[Target[Any], PollState] | None:
        """
        Return what to wait for next, and with which state; None if the wait is over.

        :param is_first: whether this was the first poll of the wait, so that the job may have ended long ago.
        """

    def xcom(self, done: Done[T]) -> Any:
        """Return what the wait's task returns."""


class _Stored:
    def following(
        self, done: Done[Any], state: PollState, *, now: float, is_first: bool = False
    ) -> tuple[Target[Any], PollState] | None:
        """Return None: the wait is over."""
        return None

    @classmethod
    def from_ids(cls, ids: Mapping[str, Any]) -> Self:
        """Return the target that was stored as these ids; ids that this version does not know are ignored."""
        return cls(**{field.name: ids[field.name] for field in fields(cls) if field.name in ids})  # type: ignore[arg-type]  # every target is a dataclass


@dataclass(frozen=True)
class TaskTarget(_Stored):
    """
    A task, until it is ready. If it made a folder, a :class:`ReadyTask` follows.

    :param most: see :class:`ShortsTarget`.
    :param wanted: see :class:`ShortsTarget`.
    """

    job: ClassVar[str] = "task"
    schedule: ClassVar[PollSchedule] = poll_schedule.TASKS

    klap_task_id: str
    most: int | None = None
    wanted: Sequence[str] | None = None

    def __str__(self) -> str:
        return f"task {self.klap_task_id}"

    def call(self) -> Call[Task]:
        """``GET /tasks/{task_id}``."""
        return calls.get_task(self.klap_task_id)

    def decide(self, result: Task | KlapError, state: PollState, *, now: float) -> Done[Task] | PollAgain:
        """See :func:`decide_job`."""
        return decide_job(result, state, now=now)

    def following(
        self, done: Done[Task], state: PollState, *, now: float, is_first: bool = False
    ) -> tuple[ReadyTask, PollState] | None:
        """Return the list of the task's shorts; None for a task that made one project."""
        task = done.value
        if not task.has_folder:
            return None
        ready_at = now if state.ready_at is None else state.ready_at
        submitted_at = state.started_at
        if task.created_at is not None:
            submitted_at = min(submitted_at, task.created_at.timestamp())
        shorts = ShortsTarget(
            task.output_id,
            most=self.most,
            wanted=self.wanted,
            interval=min(LIST_INTERVAL, max(LEAST_LIST_INTERVAL, LIST_SHARE * (ready_at - submitted_at))),
            may_be_settled=is_first,
        )
        return ReadyTask(task, shorts, ready_at), replace(state, ready_at=ready_at, unknown_since=None, failures=0)

    def xcom(self, done: Done[Task]) -> TaskReady:
        """Return the task's ids; ``output_id`` is the folder of the shorts."""
        task = done.value
        return {"klap_task_id": task.id, "output_type": task.output_type, "output_id": task.output_id}


@dataclass(frozen=True)
class ExportTarget(_Stored):
    """An export, until it is ready."""

    job: ClassVar[str] = "export"
    schedule: ClassVar[PollSchedule] = poll_schedule.EXPORTS

    export_id: str
    project_id: str
    folder_id: str | None = None

    def __str__(self) -> str:
        return f"export {self.export_id} of project {self.project_id}"

    def call(self) -> Call[Export]:
        """``GET /projects/…/exports/{export_id}``."""
        return calls.get_export(self.export_id, project_id=self.project_id, folder_id=self.folder_id)

    def decide(self, result: Export | KlapError, state: PollState, *, now: float) -> Done[Export] | PollAgain:
        """See :func:`decide_job`."""
        return decide_job(result, state, now=now)

    def among(self, listed: Mapping[str, Export]) -> Export | None:
        """
        Return this export from a list of its folder's exports by id, if the list shows a state that counts as a poll.

        An unknown status, or ``ready`` without a video, is left to the export's own GET.
        """
        export = listed.get(self.export_id)
        if export is None or export.project_id not in (None, self.project_id):
            return None
        sound = export.status in (JobStatus.PROCESSING, JobStatus.ERROR) or (
            export.status == JobStatus.READY and export.output
        )
        return export if sound else None

    def xcom(self, done: Done[Export]) -> ExportReady:
        """Return the export's ids and the address of its video, if that is public."""
        return {
            "export_id": done.value.id,
            "project_id": self.project_id,
            "folder_id": self.folder_id,
            "src_url": public_address(done.value.src_url),
        }


@dataclass(frozen=True)
class ShortsTarget(_Stored):
    """
    What a task made, until it is there: the shorts in a folder, or the one project of a video-to-video task.

    Just after a task is ready, its list can be empty, or the call fail, for some minutes, and Klap may fill it
    gradually. So a list counts when it has all shorts that there can be, or when polls with ``interval`` seconds
    between the first and the last of them saw the same shorts with the same scores, or when it still has what the wait
    for the task saw. At the deadline it counts as it is.

    :param most: how many shorts Klap makes at most; None: not known.
    :param wanted: ids of the shorts that are needed; the others may be missing. None: all are needed.
    :param interval: see above.
    :param listed: ids of the shorts that the wait for the task saw. None: not known.
    :param may_be_settled: whether a list also counts if Klap made its newest short more than ten minutes ago.
    """

    job: ClassVar[str] = "list"
    schedule: ClassVar[PollSchedule] = poll_schedule.LISTS

    folder_id: str | None = None
    project_id: str | None = None
    most: int | None = None
    wanted: Sequence[str] | None = None
    interval: float = 0.0
    listed: Sequence[str] | None = None
    may_be_settled: bool = False

    def __str__(self) -> str:
        return f"folder {self.folder_id}" if self.project_id is None else f"project {self.project_id}"

    def call(self) -> Call[list[Project]]:
        """``GET /projects/{folder_id}``, or ``/projects/{project_id}`` as a list of one."""
        if self.project_id is None:
            return calls.list_projects(str(self.folder_id))
        project = calls.get_project(self.project_id)
        return replace(project, parse=lambda document: [project.parse(document)])  # type: ignore[arg-type,return-value]  # of a list

    def decide(
        self, result: list[Project] | KlapError, state: PollState, *, now: float
    ) -> Done[list[Project]] | PollAgain:
        """
        Decide what a list means.

        :raises KlapError: ``result`` itself, where waiting does not help or has not helped until the deadline.
        :raises KlapNoShortsError: the list was still empty at the deadline.
        """
        if isinstance(result, KlapError):
            if now >= state.deadline or not (result.transient or isinstance(result, KlapNotFoundError)):
                raise result
            return _again(str(result), _failed(result, state), now=now, asked=result.retry_after)
        if result:
            return self._complete(result, replace(state, failures=0), now=now)
        was_empty = self.listed is not None and not self.listed and state.seen is None
        if was_empty or now >= state.deadline:
            raise KlapNoShortsError(
                f"Klap made no shorts of this video: the folder {self.folder_id} is still empty "
                f"{LIST_TIMEOUT if was_empty else now - state.started_at:.0f} s after "
                f"{'the task was ready' if was_empty else 'the first poll'}. A video without speech yields none. "
                "With allow_empty this counts as a success."
            )
        return _again("the folder is empty", replace(state, failures=0), now=now)

    def _complete(self, shorts: list[Project], state: PollState, *, now: float) -> Done[list[Project]] | PollAgain:
        seen = hashlib.sha256(repr(sorted((short.id, short.virality_score) for short in shorts)).encode()).hexdigest()
        since = state.seen_since if state.seen == seen and state.seen_since is not None else now
        agrees = now - since >= self.interval or now >= state.deadline
        if agrees or self._is_full(shorts) or (self.may_be_settled and _are_settled(shorts, now)):
            return Done(shorts)
        state = replace(state, seen=seen, seen_since=since)
        return PollAgain(min(since + self.interval, state.deadline) - now, state)

    def _is_full(self, shorts: list[Project]) -> bool:
        ids = {short.id for short in shorts}
        if self.project_id is not None or any(known and ids >= set(known) for known in (self.wanted, self.listed)):
            return True
        scored = all(short.virality_score is not None for short in shorts)
        return scored and self.most is not None and len(shorts) >= self.most

    def xcom(self, done: Done[list[Project]]) -> None:
        """Return nothing: the operator that waited lists the shorts itself."""


@dataclass(frozen=True)
class ReadyTask(_Stored):
    """
    A task that is ready, until the list of its shorts counts.

    It never fails, because the task is ready. What the list could not tell, the operator that lists the shorts finds
    out. Airflow does not store it: another process polls the task first.

    :param shorts: the list.
    :param ready_at: when a poll first found that the task is ready, in seconds since the epoch.
    """

    job: ClassVar[str] = "task"
    schedule: ClassVar[PollSchedule] = poll_schedule.LISTS

    task: Task
    shorts: ShortsTarget
    ready_at: float

    def __str__(self) -> str:
        return f"{self.shorts} of task {self.task.id}"

    def call(self) -> Call[list[Project]]:
        """``GET /projects/{folder_id}``."""
        return self.shorts.call()

    def decide(
        self, result: list[Project] | KlapError, state: PollState, *, now: float
    ) -> Done[list[Project] | None] | PollAgain:
        """Decide what a list means: ``Done(None)`` where it cannot be read, or the wait's own deadline has passed."""
        interval = min(state.schedule.interval, self.schedule.interval)
        of_list = replace(
            state,
            started_at=self.ready_at,
            deadline=self.ready_at + LIST_TIMEOUT,
            schedule=poll_schedule.PollSchedule(interval, first=0),
        )
        try:
            decision = self.shorts.decide(result, of_list, now=now)
        except KlapNoShortsError:
            return Done([])
        except KlapError:
            return Done(None)
        if isinstance(decision, Done):
            return Done(decision.value)
        if now >= state.deadline:
            return Done(None)
        kept = replace(decision.state, started_at=state.started_at, deadline=state.deadline, schedule=state.schedule)
        return PollAgain(min(decision.seconds, state.deadline - now), kept)

    def xcom(self, done: Done[list[Project] | None]) -> TaskReady:
        """Return the ids of the task, and of the shorts that its list has."""
        ready = TaskTarget(self.task.id).xcom(Done(self.task))
        if done.value is not None:
            ready["listed_ids"] = [short.id for short in done.value]
        return ready


def _are_settled(shorts: Sequence[Project], now: float) -> bool:
    """Return whether Klap made the newest short so long ago that no more will come."""
    return all(short.created_at and now - short.created_at.timestamp() >= LIST_SETTLED for short in shorts)


def list_interval(poll_interval: float | None) -> float:
    """
    Return the seconds between two polls of a list that have to agree: a minute, or less where jobs are polled faster.

    :param poll_interval: seconds between two polls of a job, as the connection sets them; None: Klap's own.
    """
    return LIST_INTERVAL if poll_interval is None else min(LIST_INTERVAL, 2 * poll_interval)


def decide_job(result: JobT | KlapError, state: PollState, *, now: float) -> Done[JobT] | PollAgain:
    """
    Decide what the result of a poll of a task or an export means.

    :param result: the task or export as Klap answered, or the error that the request ended with.
    :param now: seconds since the epoch.
    :raises KlapJobFailedError: the job ended with ``error``.
    :raises KlapUnknownStatusError: the status has been unknown for two minutes.
    :raises KlapTimeoutError: the deadline has passed.
    :raises KlapError: ``result`` itself, if it is not transient.
    """
    if isinstance(result, KlapError):
        if not result.transient:
            raise result
        return _again(f"the last poll failed: {result}", _failed(result, state), now=now, asked=result.retry_after)
    what = f"Klap {type(result).__name__.lower()} {result.id}"
    if result.status == JobStatus.READY and result.output:
        return Done(result)
    if result.status == JobStatus.ERROR:
        raise KlapJobFailedError(
            f"{what} failed: {result.failure.rstrip('.')}. {FAILED_JOB_ADVICE[type(result)]}",
            error_code=result.error_code,
        )
    if result.status == JobStatus.READY:
        what = f"{what} has no {type(result).output_field} yet, and"
    unknown_since = state.unknown_since
    if result.status in (JobStatus.PROCESSING, JobStatus.READY):
        unknown_since = None
    elif unknown_since is None:
        unknown_since = now
    elif now - unknown_since >= UNKNOWN_GRACE:
        raise KlapUnknownStatusError(
            f"{what} has reported the status {result.status!r} for {now - unknown_since:.0f} s. The API has "
            f"{', '.join(s.value for s in JobStatus)} and no other. Look at it in Klap; clear this task to continue "
            "the wait."
        )
    return _again(f"{what} is {result.status!r}", replace(state, unknown_since=unknown_since, failures=0), now=now)


def _failed(failure: KlapError, state: PollState) -> PollState:
    if isinstance(failure, KlapRateLimitError):  # Klap itself has answered: a worker would get the same answer
        return state
    return replace(state, failures=state.failures + 1)


def _again(what: str, state: PollState, *, now: float, asked: float | None = None) -> PollAgain:
    if now >= state.deadline:
        raise KlapTimeoutError(
            f"Gave up {now - state.started_at:.0f} s after the job was submitted "
            f"(timeout {state.deadline - state.started_at:.0f} s); {what}. Klap may still finish it: to wait "
            "longer, raise the timeout and clear this task. Clearing it does not pay again."
        )
    seconds = max(state.schedule.delay(now - state.started_at), asked or 0.0)
    return PollAgain(min(seconds, state.deadline - now), state)
