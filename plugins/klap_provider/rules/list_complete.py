"""Decide whether Klap's list of the shorts of a task is complete. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from klap_provider.api import calls
from klap_provider.errors import KlapError, KlapNoShortsError, KlapNotFoundError
from klap_provider.rules import poll_schedule
from klap_provider.rules.polling import Done, PollAgain, Target, after_failure, again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Project, Task
    from klap_provider.rules.poll_schedule import PollSchedule
    from klap_provider.rules.polling import PollState
    from klap_provider.xcoms import TaskReady

#: Maximum seconds between two polls of a list that must agree.
MAX_LIST_INTERVAL = 60.0

#: Seconds after a task is ready until its list of shorts is accepted as it is.
LIST_TIMEOUT = 300.0

#: Seconds after which Klap adds no more shorts to a list.
LIST_FINAL_AFTER = 600.0


def list_interval(poll_interval: float | None) -> float:
    """Return the seconds between two polls of a list that must agree: at most a minute, or two poll intervals."""
    return MAX_LIST_INTERVAL if poll_interval is None else min(MAX_LIST_INTERVAL, 2 * poll_interval)


@dataclass(frozen=True)
class ShortsTarget(Target["list[Project]"]):
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
    :param listed: ids of the shorts that the wait for the task returned; None: not known.
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
            return again(str(result), after_failure(result, state), now=now, failure=result)
        state = replace(state, failures=0)
        if result:
            return self._complete(result, state, now=now)
        was_empty = self.listed is not None and not self.listed and state.seen is None
        if was_empty or now >= state.deadline:
            raise KlapNoShortsError(
                f"Klap generated no shorts from this video: the folder {self.folder_id} is still empty "
                f"{LIST_TIMEOUT if was_empty else now - state.started_at:.0f} s after "
                f"{'the task was ready' if was_empty else 'the first poll'}. Klap needs speech in the video. Use "
                "another video, or set allow_empty so that the run succeeds without shorts."
            )
        return again("the folder is empty", state, now=now)

    def _complete(self, shorts: list[Project], state: PollState, *, now: float) -> Done[list[Project]] | PollAgain:
        seen = hashlib.sha256(repr(sorted((short.id, short.virality_score) for short in shorts)).encode()).hexdigest()
        since = state.seen_since if state.seen == seen and state.seen_since is not None else now
        agrees = now - since >= self.interval or now >= state.deadline
        if agrees or self._is_full(shorts) or (self.accept_old and _are_old(shorts, now)):
            return Done(shorts)
        return PollAgain(min(since + self.interval, state.deadline) - now, replace(state, seen=seen, seen_since=since))

    def _is_full(self, shorts: list[Project]) -> bool:
        ids = {short.id for short in shorts}
        if self.project_id is not None or any(known and ids >= set(known) for known in (self.wanted, self.listed)):
            return True
        scored = all(short.virality_score is not None for short in shorts)
        return scored and self.most is not None and len(shorts) >= self.most

    def xcom(self, done: Done[list[Project]]) -> None:
        """Return nothing: the waiting operator lists the shorts itself."""


@dataclass(frozen=True)
class ReadyTask(Target["list[Project] | None"]):
    """
    A ready task, until the list of its shorts is complete.

    This wait never fails, because the task is ready. If the list cannot be read, the operator that lists the shorts
    reads it again. The target is not stored: another process polls the task first.

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
        ready = task_ready(self.task)
        if done.value is not None:
            ready["listed_ids"] = [short.id for short in done.value]
        return ready


def task_ready(task: Task) -> TaskReady:
    """Return the ids of a ready task; ``output_id`` is the folder of the shorts."""
    return {"klap_task_id": task.id, "output_type": task.output_type, "output_id": task.output_id}


def _are_old(shorts: Sequence[Project], now: float) -> bool:
    return all(short.created_at and now - short.created_at.timestamp() >= LIST_FINAL_AFTER for short in shorts)
