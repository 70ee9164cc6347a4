"""
What a look at a job means. :mod:`klap_provider.rules.pace` says when the next one is due. Pure: no clock, no sleep, no
Airflow.

Sensors and triggers hand each look to the same :class:`Target`, so that every mode decides alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from klap_provider.api import calls
from klap_provider.api.answers import Export, JobStatus, Project, Task
from klap_provider.errors import (
    KlapError,
    KlapJobFailedError,
    KlapNoShortsError,
    KlapNotFoundError,
    KlapTimeoutError,
    KlapUnknownStatusError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.api.calls import Call
    from klap_provider.rules.pace import Pace
    from klap_provider.xcoms import ExportReady, TaskReady

#: Seconds for which a status word that is not known is taken for a passing state.
UNKNOWN_GRACE = 120.0

#: Seconds that a look at, or after, the deadline may still take.
LAST_LOOK = 15.0

#: Seconds between two polls of a list of shorts that have to agree; and at least, for tasks that took less.
LIST_INTERVAL, SHORTEST_LIST_INTERVAL = 60.0, 5.0

#: What a person can do about a job that failed.
ONCE_MORE: Mapping[type[Task] | type[Export], str] = {
    Task: "Mend the video or its address, and start a new run: Airflow's Trigger again with this config keeps the "
    "other settings. Clearing this run sends the video that it has sent once more, and pays for it again.",
    Export: "To have it made, and pay for it, once more, clear the task that ordered it and what follows.",
}

T = TypeVar("T")
JobT = TypeVar("JobT", Task, Export)


@dataclass(frozen=True)
class Watch:
    """
    A wait in progress.

    :param started_at: when the job was submitted, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; nothing extends it.
    :param pace: when to look.
    :param unknown_since: since when the status has been a word that the API does not have; None if it is not.
    :param running_at: when the job was last known to run, in seconds since the epoch; None if it never was.
    :param shared: whether a look has told other waits of their jobs, too.
    :param seen: what the latest poll of a list saw, as a hash; None before the first one.
    :param seen_since: since when each poll of the list saw the same, in seconds since the epoch.
    """

    started_at: float
    deadline: float
    pace: Pace
    unknown_since: float | None = None
    running_at: float | None = None
    shared: bool = False
    seen: str | None = None
    seen_since: float | None = None

    def took(self, now: float) -> float | None:
        """Return the seconds that a job took which is ready now: half-way between the last two looks at it."""
        return None if self.running_at is None else round((self.running_at + now) / 2 - self.started_at, 1)


@dataclass(frozen=True)
class Ready(Generic[T]):
    """
    What was waited for is there.

    :param value: the answer that says so.
    :param took: seconds from the submission until it was ready, as far as looks tell; None if nobody looked before.
    """

    value: T
    took: float | None = None


@dataclass(frozen=True)
class Wait:
    """Look again after ``seconds``, and judge that look with ``watch``."""

    seconds: float
    watch: Watch


class Target(Protocol[T]):
    """Something to wait for. A dataclass of ids, so that it can be rebuilt in a triggerer."""

    #: The kind of job, for metrics and for the record of what such jobs took.
    job: ClassVar[str]

    def call(self) -> Call[T]:
        """Return the API call that looks at it."""

    def judge(self, look: T | KlapError, watch: Watch, *, now: float) -> Ready[T] | Wait:
        """Decide what a look means; raises a :class:`~klap_provider.errors.KlapError` where the wait is over."""

    def xcom(self, ready: Ready[T]) -> Any:
        """Return what the wait's task returns."""


@dataclass(frozen=True)
class TaskTarget:
    """A task, until it is ready."""

    job: ClassVar[str] = "task"

    klap_task_id: str

    def __str__(self) -> str:
        return f"task {self.klap_task_id}"

    def call(self) -> Call[Task]:
        """``GET /tasks/{task_id}``."""
        return calls.get_task(self.klap_task_id)

    def judge(self, look: Task | KlapError, watch: Watch, *, now: float) -> Ready[Task] | Wait:
        """See :func:`judge_job`."""
        return judge_job(look, watch, now=now)

    def xcom(self, ready: Ready[Task]) -> TaskReady:
        """Return the task's ids; ``output_id`` is the folder of the shorts."""
        task = ready.value
        return {
            "klap_task_id": task.id,
            "output_type": task.output_type,
            "output_id": task.output_id,
            "took": ready.took,
        }


@dataclass(frozen=True)
class ExportTarget:
    """An export, until it is ready."""

    job: ClassVar[str] = "export"

    export_id: str
    project_id: str
    folder_id: str | None = None

    def __str__(self) -> str:
        return f"export {self.export_id} of project {self.project_id}"

    def call(self) -> Call[Export]:
        """``GET /projects/…/exports/{export_id}``."""
        return calls.get_export(self.export_id, project_id=self.project_id, folder_id=self.folder_id)

    def judge(self, look: Export | KlapError, watch: Watch, *, now: float) -> Ready[Export] | Wait:
        """See :func:`judge_job`."""
        return judge_job(look, watch, now=now)

    def among(self, listed: Mapping[str, Export]) -> Export | None:
        """
        Return this export out of a list of its folder's by id, if what the list says of it will do for a look.

        A word that is not known, or one that is ready without a video, is for the export's own call to say.
        """
        export = listed.get(self.export_id)
        if export is None or export.project_id not in (None, self.project_id):
            return None
        sound = export.status in (JobStatus.PROCESSING, JobStatus.ERROR) or (
            export.status == JobStatus.READY and export.output
        )
        return export if sound else None

    def xcom(self, ready: Ready[Export]) -> ExportReady:
        """Return the export's ids and the public address of its video."""
        return {
            "export_id": ready.value.id,
            "project_id": self.project_id,
            "folder_id": self.folder_id,
            "src_url": ready.value.src_url,
            "took": ready.took,
        }


@dataclass(frozen=True)
class ShortsTarget:
    """
    What a task made, until it is there: the shorts in a folder, or the one project of a video-to-video task.

    Just after a task is ready, its list can be empty, or the call fail, for some minutes, and Klap may fill it
    gradually. So a list counts when it has all shorts that there can be, or when polls with ``interval`` seconds
    between the first and the last of them saw the same shorts with the same scores. At the deadline it counts as it is.

    :param most: how many shorts Klap makes at most; None: not known.
    :param wanted: ids of the shorts that are needed; the others may be missing. None: all are needed.
    :param interval: see above.
    """

    job: ClassVar[str] = "list"

    folder_id: str | None = None
    project_id: str | None = None
    most: int | None = None
    wanted: Sequence[str] | None = None
    interval: float = 0.0

    def __str__(self) -> str:
        return f"folder {self.folder_id}" if self.project_id is None else f"project {self.project_id}"

    def call(self) -> Call[list[Project]]:
        """``GET /projects/{folder_id}``, or ``/projects/{project_id}`` as a list of one."""
        if self.project_id is None:
            return calls.list_projects(str(self.folder_id))
        project = calls.get_project(self.project_id)
        return replace(project, parse=lambda document: [project.parse(document)])  # type: ignore[arg-type,return-value]  # of a list

    def judge(self, look: list[Project] | KlapError, watch: Watch, *, now: float) -> Ready[list[Project]] | Wait:
        """
        Decide what a look at the list means.

        :raises KlapError: ``look`` itself, where waiting does not mend it or has not until the deadline.
        :raises KlapNoShortsError: the list was still empty at the deadline.
        """
        if isinstance(look, KlapError):
            if now >= watch.deadline or not (look.passing or isinstance(look, KlapNotFoundError)):
                raise look
            return _wait(str(look), watch, now=now, asked=look.retry_after)
        if look:
            return self._complete(look, watch, now=now)
        if now >= watch.deadline:
            raise KlapNoShortsError(
                f"Klap made no shorts of this video: the folder {self.folder_id} is still empty "
                f"{now - watch.started_at:.0f} s after the first look. A video without speech yields none. "
                "With allow_empty this counts as a success."
            )
        return _wait("the folder is empty", watch, now=now)

    def _complete(self, shorts: list[Project], watch: Watch, *, now: float) -> Ready[list[Project]] | Wait:
        seen = hashlib.sha256(repr(sorted((short.id, short.virality_score) for short in shorts)).encode()).hexdigest()
        since = watch.seen_since if watch.seen == seen and watch.seen_since is not None else now
        if self._is_full(shorts) or now - since >= self.interval or now >= watch.deadline:
            return Ready(shorts)
        watch = replace(watch, seen=seen, seen_since=since)
        return Wait(min(since + self.interval, watch.deadline) - now, watch)

    def _is_full(self, shorts: list[Project]) -> bool:
        if self.project_id is not None or (self.wanted and {short.id for short in shorts} >= set(self.wanted)):
            return True
        scored = all(short.virality_score is not None for short in shorts)
        return scored and self.most is not None and len(shorts) >= self.most

    def xcom(self, ready: Ready[list[Project]]) -> None:
        """Nothing: the operator that waited lists the shorts itself."""


def list_interval(took: float | None) -> float:
    """
    Return the seconds between two polls of a list that have to agree.

    :param took: seconds that the task took; None: not known.
    """
    return LIST_INTERVAL if took is None else min(LIST_INTERVAL, max(SHORTEST_LIST_INTERVAL, took))


def judge_job(look: JobT | KlapError, watch: Watch, *, now: float) -> Ready[JobT] | Wait:
    """
    Decide what a look at a task or an export means.

    :param look: the task or export as Klap answered, or what the request failed with.
    :param now: seconds since the epoch.
    :raises KlapJobFailedError: the job ended with ``error``.
    :raises KlapUnknownStatusError: the status has been an unknown word for two minutes.
    :raises KlapTimeoutError: the deadline has passed.
    :raises KlapError: ``look`` itself, if it is a failure that waiting does not mend.
    """
    if isinstance(look, KlapError):
        if not look.passing:
            raise look
        return _wait(f"the last look failed: {look}", watch, now=now, asked=look.retry_after)
    what = f"Klap {type(look).__name__.lower()} {look.id}"
    if look.status == JobStatus.READY and look.output:
        return Ready(look, watch.took(now))
    if look.status == JobStatus.ERROR:
        raise KlapJobFailedError(
            f"{what} failed: {look.failure.rstrip('.')}. {ONCE_MORE[type(look)]}",
            error_code=look.error_code,
        )
    unknown_since = watch.unknown_since
    if look.status in (JobStatus.PROCESSING, JobStatus.READY):
        unknown_since = None
    elif unknown_since is None:
        unknown_since = now
    elif now - unknown_since >= UNKNOWN_GRACE:
        raise KlapUnknownStatusError(
            f"{what} has reported the status {look.status!r} for {now - unknown_since:.0f} s. The API has "
            f"{', '.join(s.value for s in JobStatus)} and no other. Look at it in Klap; clear this task to go on "
            "waiting."
        )
    watch = replace(watch, unknown_since=unknown_since, running_at=now)
    return _wait(f"{what} is {look.status!r}", watch, now=now)


def _wait(state: str, watch: Watch, *, now: float, asked: float | None = None) -> Wait:
    if now >= watch.deadline:
        raise KlapTimeoutError(
            f"Gave up {now - watch.started_at:.0f} s after the job was submitted "
            f"(timeout {watch.deadline - watch.started_at:.0f} s); {state}. Klap may still finish it: to wait "
            "longer, raise the timeout and clear this task. Nothing is paid for again by that."
        )
    seconds = max(watch.pace.delay(now - watch.started_at, shared=watch.shared), asked or 0.0)
    return Wait(min(seconds, watch.deadline - now), watch)
