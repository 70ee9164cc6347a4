"""The jobs that sensors and triggers wait for: tasks and exports. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from klap_provider.api import calls
from klap_provider.api.redaction import public_address
from klap_provider.api.responses import JobStatus
from klap_provider.rules import poll_schedule
from klap_provider.rules.list_complete import ReadyTask, ShortsTarget, list_interval, task_ready
from klap_provider.rules.polling import Target, decide_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Export, Task
    from klap_provider.errors import KlapError
    from klap_provider.rules.poll_schedule import PollSchedule
    from klap_provider.rules.polling import Done, PollAgain, PollState
    from klap_provider.xcoms import ExportReady, TaskReady


@dataclass(frozen=True)
class TaskTarget(Target["Task"]):
    """A task, until it is ready. If it made a folder of shorts, a :class:`ReadyTask` follows, with these parameters."""

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
        """See :func:`~klap_provider.rules.polling.decide_job`."""
        advice = (
            "Fix the video or its address, and start a new run. 'Trigger again with this config' in Airflow keeps the "
            "other settings. Clearing this run submits the same video again and pays for it again."
        )
        return decide_job(result, state, now=now, advice=advice)

    def following(
        self, done: Done[Task], state: PollState, *, now: float, is_first: bool = False
    ) -> tuple[ReadyTask, PollState] | None:
        """Return the list of the task's shorts; None for a task that made one project."""
        task = done.value
        if not task.has_folder:
            return None
        ready_at = now if state.ready_at is None else state.ready_at
        shorts = ShortsTarget(
            task.output_id,
            most=self.most,
            wanted=self.wanted,
            interval=list_interval(state.schedule.interval),
            accept_old=is_first,
        )
        return ReadyTask(task, shorts, ready_at), replace(state, ready_at=ready_at, unknown_since=None, failures=0)

    def xcom(self, done: Done[Task]) -> TaskReady:
        """Return the ids of the task."""
        return task_ready(done.value)


@dataclass(frozen=True)
class ExportTarget(Target["Export"]):
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
        """See :func:`~klap_provider.rules.polling.decide_job`."""
        advice = "To export the short again and pay for it again, clear the task 'export' and the tasks after it."
        return decide_job(result, state, now=now, advice=advice)

    def among(self, listed: Mapping[str, Export]) -> Export | None:
        """Return this export from a list by id; None if the export itself must be polled to decide."""
        export = listed.get(self.export_id)
        if export is None or export.project_id not in (None, self.project_id):
            return None
        is_final = export.status == JobStatus.ERROR or (export.status == JobStatus.READY and export.output)
        return export if is_final or export.status == JobStatus.PROCESSING else None

    def xcom(self, done: Done[Export]) -> ExportReady:
        """Return the export's ids and the address of its video, if that is public."""
        return {
            "export_id": done.value.id,
            "project_id": self.project_id,
            "folder_id": self.folder_id,
            "src_url": public_address(done.value.src_url),
        }
