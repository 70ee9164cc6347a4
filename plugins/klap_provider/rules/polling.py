"""
Decide what the result of a poll means. Pure. :mod:`klap_provider.rules.poll_schedule` decides when to poll.

Sensors, triggers and workers pass each result to :meth:`Target.decide`, so that every mode decides the same.
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

#: Seconds for which an unknown status counts as transient.
UNKNOWN_GRACE = 120.0

#: Maximum seconds for a poll that starts at the deadline or later.
LAST_POLL = 15.0

#: Seconds between two polls of a list of shorts that must agree: a share of the time that the task took, within bounds.
LIST_SHARE = 0.1
MIN_LIST_INTERVAL = 1.0
MAX_LIST_INTERVAL = 60.0

#: Seconds after a task is ready until its list of shorts is accepted as it is.
LIST_TIMEOUT = 300.0

#: Seconds after which Klap adds no more shorts to a list.
LIST_FINAL_AFTER = 600.0

#: Failed polls in a row after which the triggerer hands over to a worker, which may be able to reach Klap.
HAND_OVER_AFTER = 5

#: Maximum factor by which that number grows, so that a triggerer without a connection to Klap starts few workers.
MAX_HAND_OVER_FACTOR = 4

#: By type of job, the action after its failure.
FAILED_JOB_ADVICE: Mapping[type[Task] | type[Export], str] = {
    Task: "Fix the video or its address, and start a new run. 'Trigger again with this config' in Airflow keeps the "
    "other settings. Clearing this run submits the same video again and pays for it again.",
    Export: "To export the short again and pay for it again, clear the task 'export' and the tasks after it.",
}

T = TypeVar("T")
JobT = TypeVar("JobT", Task, Export)


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
        return self.failures >= self._max_failures

    @property
    def seconds_before_hand_over(self) -> float:
        """Seconds before a triggerer that cannot poll at all hands over to a worker: 0 for the first handover."""
        return self._max_failures * self.schedule.interval if self.handovers else 0.0

    @property
    def _max_failures(self) -> int:
        return HAND_OVER_AFTER * min(1 << min(self.handovers, 10), MAX_HAND_OVER_FACTOR)

    def handed_over(self) -> PollState:
        """Return the state for the worker that takes over."""
        return replace(self, failures=0, handovers=self.handovers + 1)

    @property
    def of_list(self) -> dict[str, Any]:
        """The fields of a wait for a list that are stored, so that another process can continue the wait."""
        fields = {"seen": self.seen, "seen_since": self.seen_since, "ready_at": self.ready_at}
        return {name: value for name, value in fields.items() if value is not None}

    def with_list(self, remembered: Mapping[str, Any]) -> PollState:
        """Return the state with the stored fields of :attr:`of_list`."""
        return replace(
            self,
            seen=remembered.get("seen"),
            seen_since=remembered.get("seen_since"),
            ready_at=remembered.get("ready_at"),
        )


@dataclass(frozen=True)
class Done(Generic[T]):
    """The wait is over. ``value`` is Klap's response."""

    value: T


@dataclass(frozen=True)
class PollAgain:
    """Poll again after ``seconds``, with ``state``."""

    seconds: float
    state: PollState


class Target(Protocol[T]):
    """A job to wait for. A dataclass of ids, so that a triggerer can rebuild it."""

    #: Type of the job, for metrics.
    job: ClassVar[str]

    #: Default schedule, if neither the connection nor the sensor sets one.
    schedule: ClassVar[PollSchedule]

    @classmethod
    def from_ids(cls, ids: Mapping[str, Any]) -> Self:
        """Return the target with these ids. Ids that this version does not know are ignored."""

    def call(self) -> Call[T]:
        """Return the API call that polls the job."""

    def decide(self, result: T | KlapError, state: PollState, *, now: float) -> Done[T] | PollAgain:
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

    def xcom(self, done: Done[T]) -> Any:
        """Return the value that the waiting task returns."""


class _Stored:
    def following(
        self, done: Done[Any], state: PollState, *, now: float, is_first: bool = False
    ) -> tuple[Target[Any], PollState] | None:
        """Return None: the wait is over."""
        return None

    @classmethod
    def from_ids(cls, ids: Mapping[str, Any]) -> Self:
        """Return the target with these ids. Ids that this version does not know are ignored."""
        return cls(**{field.name: ids[field.name] for field in fields(cls) if field.name in ids})  # type: ignore[arg-type]  # every target is a dataclass


@dataclass(frozen=True)
class TaskTarget(_Stored):
    """
    A task, until it is ready. If it made a folder of shorts, a :class:`ReadyTask` follows.

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
            interval=min(MAX_LIST_INTERVAL, max(MIN_LIST_INTERVAL, LIST_SHARE * (ready_at - submitted_at))),
            accept_old=is_first,
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
        Return this export from a list of exports, if its entry can replace a poll.

        For an unknown status, or ``ready`` without a video, the export itself must be polled.

        :param listed: exports by id.
        """
        export = listed.get(self.export_id)
        if export is None or export.project_id not in (None, self.project_id):
            return None
        is_usable = export.status in (JobStatus.PROCESSING, JobStatus.ERROR) or (
            export.status == JobStatus.READY and export.output
        )
        return export if is_usable else None

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
    The list of the shorts in a folder, or the project of a video-to-video task, until the list is complete.

    For some minutes after a task is ready, the list can be empty or incomplete, or the call can fail. The list is
    accepted when one of these is true:

    - It has the maximum number of shorts, each with a score, or all ``wanted`` or ``listed`` shorts.
    - All polls of the last ``interval`` seconds returned the same shorts with the same scores.
    - ``accept_old`` is set, and Klap created all its shorts more than ten minutes ago.
    - The deadline has passed.

    :param most: maximum number of shorts that Klap generates; None: not known.
    :param wanted: ids of the shorts that the run needs; None: all.
    :param interval: seconds, see above.
    :param listed: ids of the shorts that the wait for the task returned; None: not known.
    :param accept_old: see above.
    """

    job: ClassVar[str] = "list"
    schedule: ClassVar[PollSchedule] = poll_schedule.LISTS

    folder_id: str | None = None
    project_id: str | None = None
    most: int | None = None
    wanted: Sequence[str] | None = None
    interval: float = 0.0
    listed: Sequence[str] | None = None
    accept_old: bool = False

    def __str__(self) -> str:
        return f"folder {self.folder_id}" if self.project_id is None else f"project {self.project_id}"

    def call(self) -> Call[list[Project]]:
        """``GET /projects/{folder_id}``, or ``/projects/{project_id}`` as a list of one."""
        if self.project_id is None:
            return calls.list_projects(str(self.folder_id))
        project = calls.get_project(self.project_id)
        return replace(project, parse=lambda document: [project.parse(document)])  # type: ignore[arg-type,return-value]  # the call now returns a list

    def decide(
        self, result: list[Project] | KlapError, state: PollState, *, now: float
    ) -> Done[list[Project]] | PollAgain:
        """
        Decide whether a list is complete.

        :raises KlapError: ``result`` itself, if it is not transient or the deadline has passed.
        :raises KlapNoShortsError: the list was still empty at the deadline.
        """
        if isinstance(result, KlapError):
            if now >= state.deadline or not (result.transient or isinstance(result, KlapNotFoundError)):
                raise result
            return _again(str(result), _failed(result, state), now=now, retry_after=result.retry_after)
        if result:
            return self._complete(result, replace(state, failures=0), now=now)
        was_empty = self.listed is not None and not self.listed and state.seen is None
        if was_empty or now >= state.deadline:
            raise KlapNoShortsError(
                f"Klap generated no shorts from this video: the folder {self.folder_id} is still empty "
                f"{LIST_TIMEOUT if was_empty else now - state.started_at:.0f} s after "
                f"{'the task was ready' if was_empty else 'the first poll'}. Klap needs speech in the video. Use "
                "another video, or set allow_empty so that the run succeeds without shorts."
            )
        return _again("the folder is empty", replace(state, failures=0), now=now)

    def _complete(self, shorts: list[Project], state: PollState, *, now: float) -> Done[list[Project]] | PollAgain:
        seen = hashlib.sha256(repr(sorted((short.id, short.virality_score) for short in shorts)).encode()).hexdigest()
        since = state.seen_since if state.seen == seen and state.seen_since is not None else now
        agrees = now - since >= self.interval or now >= state.deadline
        if agrees or self._is_full(shorts) or (self.accept_old and _are_old(shorts, now)):
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
        """Return nothing: the waiting operator lists the shorts itself."""


@dataclass(frozen=True)
class ReadyTask(_Stored):
    """
    A ready task, until the list of its shorts is complete.

    This wait never fails, because the task is ready. If the list cannot be read, the operator that lists the shorts
    reads it again. The target is not stored: another process polls the task first.

    :param shorts: the list.
    :param ready_at: when a poll first found the task ready, in seconds since the epoch.
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
        """Decide whether the list is complete; ``Done(None)`` if it cannot be read before the deadline of the wait."""
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
        state = replace(decision.state, started_at=state.started_at, deadline=state.deadline, schedule=state.schedule)
        return PollAgain(min(decision.seconds, state.deadline - now), state)

    def xcom(self, done: Done[list[Project] | None]) -> TaskReady:
        """Return the ids of the task and of its shorts."""
        ready = TaskTarget(self.task.id).xcom(Done(self.task))
        if done.value is not None:
            ready["listed_ids"] = [short.id for short in done.value]
        return ready


def _are_old(shorts: Sequence[Project], now: float) -> bool:
    return all(short.created_at and now - short.created_at.timestamp() >= LIST_FINAL_AFTER for short in shorts)


def list_interval(poll_interval: float | None) -> float:
    """
    Return the seconds between two polls of a list that must agree: a minute, or less if the poll interval is short.

    :param poll_interval: poll interval of the connection in seconds; None: not set.
    """
    return MAX_LIST_INTERVAL if poll_interval is None else min(MAX_LIST_INTERVAL, 2 * poll_interval)


def decide_job(result: JobT | KlapError, state: PollState, *, now: float) -> Done[JobT] | PollAgain:
    """
    Decide what the result of a poll of a task or an export means.

    :param result: the task or the export, or the error of the request.
    :param now: seconds since the epoch.
    :raises KlapJobFailedError: the job ended with the status ``error``.
    :raises KlapUnknownStatusError: the status has been unknown for two minutes.
    :raises KlapTimeoutError: the deadline has passed.
    :raises KlapError: ``result`` itself, if it is not transient.
    """
    if isinstance(result, KlapError):
        if not result.transient:
            raise result
        state = _failed(result, state)
        return _again(f"the last poll failed: {result}", state, now=now, retry_after=result.retry_after)
    what = f"Klap {type(result).__name__.lower()} {result.id}"
    if result.status == JobStatus.READY and result.output:
        return Done(result)
    if result.status == JobStatus.ERROR:
        raise KlapJobFailedError(
            f"{what} failed: {result.failure.rstrip('.')}. {FAILED_JOB_ADVICE[type(result)]}",
            error_code=result.error_code,
        )
    unknown_since = state.unknown_since
    if result.status in (JobStatus.PROCESSING, JobStatus.READY):
        unknown_since = None
    elif unknown_since is None:
        unknown_since = now
    elif now - unknown_since >= UNKNOWN_GRACE:
        raise KlapUnknownStatusError(
            f"{what} has had the unknown status {result.status!r} for {now - unknown_since:.0f} s. Known are "
            f"{', '.join(s.value for s in JobStatus)}. Look at the job in the Klap app. To continue the wait, clear "
            "this task."
        )
    status = f"{what} is {result.status!r}"
    if result.status == JobStatus.READY:
        status = f"{status}, but has no {type(result).output_field} yet"
    return _again(status, replace(state, unknown_since=unknown_since, failures=0), now=now)


def _failed(failure: KlapError, state: PollState) -> PollState:
    if isinstance(failure, KlapRateLimitError):  # a worker would get the same response
        return state
    return replace(state, failures=state.failures + 1)


def _again(what: str, state: PollState, *, now: float, retry_after: float | None = None) -> PollAgain:
    if now >= state.deadline:
        raise KlapTimeoutError(
            f"Gave up {now - state.started_at:.0f} s after the job was submitted "
            f"(timeout {state.deadline - state.started_at:.0f} s); {what.rstrip('.')}. Klap may still finish the job. "
            "To wait longer, raise the timeout in the Dag file and clear this task: task_timeout or export_timeout of "
            "the function that makes the Dag, or timeout of the sensor or operator. Nothing is paid again."
        )
    seconds = max(state.schedule.delay(now - state.started_at), retry_after or 0.0)
    return PollAgain(min(seconds, state.deadline - now), state)
