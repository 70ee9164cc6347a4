"""Tasks, projects, exports, managed users, and the ledger of paid requests.

A job's status follows from the time, the progress of its work, and its fault.
Only the event loop's thread uses this module.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from klap_sandbox.faults import JobError, JobFault, Stuck, UnknownStatus

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.plan import Short
    from klap_sandbox.request_bodies import ExportRequest, VideoToVideo

PROCESSING, READY, ERROR = "processing", "ready", "error"
MAX_JOBS = 20_000
_ALPHABET = string.ascii_letters + string.digits


def new_id(length: int) -> str:
    """Return a random id of letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


@dataclass(frozen=True)
class Failure:
    """Why a job ended in ``error``."""

    code: str
    message: str


@dataclass(kw_only=True, eq=False)
class Job:
    """A task or an export. Times are seconds since the epoch.

    :param ready_at: end of the job's minimum duration.
    :param done_at: when its work ended; None = not yet.
    :param key_hash: of the API key that paid for it.
    """

    created_at: float
    ready_at: float
    on_behalf_of: str | None
    id: str = field(default_factory=lambda: new_id(16))
    done_at: float | None = None
    failure: Failure | None = None
    fault: JobFault | None = None
    key_hash: str = ""

    def status(self, now: float) -> str:
        """Return the status at this time."""
        if isinstance(self.fault, UnknownStatus):
            return self.fault.word
        if isinstance(self.fault, Stuck) or now < self.ready_at:
            return PROCESSING
        if isinstance(self.fault, JobError):
            return ERROR
        if self.done_at is None:
            return PROCESSING
        return ERROR if self.failure else READY

    @property
    def finished_at(self) -> float:
        """When a ready job became ready."""
        return max(self.ready_at, self.done_at or 0.0)

    def error(self) -> Failure | None:
        """Return why the status is ``error``."""
        if isinstance(self.fault, JobError):
            return Failure(self.fault.error_code, self.fault.message)
        return self.failure


@dataclass(kw_only=True, eq=False)
class Task(Job):
    """A task.

    :param output_id: id of its folder, or of its one project.
    :param empty_lists: number of list requests that still get an empty list.
    """

    type: Literal["video-to-shorts", "video-to-video"]
    request: VideoToVideo
    output_id: str
    empty_lists: int = 0


@dataclass(kw_only=True, eq=False)
class Project:
    """A short in a folder, or the one project of a video-to-video task, which has no folder."""

    task: Task
    folder_id: str | None
    short: Short
    created_at: float
    id: str = field(default_factory=lambda: new_id(12))


@dataclass(kw_only=True, eq=False)
class Folder:
    """The shorts of a task."""

    task: Task
    projects: list[Project]


@dataclass(kw_only=True, eq=False)
class Export(Job):
    """An export.

    :param file: the finished clip.
    :param remark: what differs from the request.
    :param listed_at: lists have the export from this time on.
    """

    project: Project
    folder_id: str | None
    request: ExportRequest
    render_id: str = field(default_factory=lambda: new_id(16))
    file: Path | None = None
    remark: str | None = None
    listed_at: float = 0.0


@dataclass(frozen=True)
class LedgerEntry:
    """A POST that Klap would bill."""

    kind: Literal["task", "export"]
    id: str
    at: float
    body: dict[str, Any]
    folder_id: str | None
    project_id: str | None
    on_behalf_of: str | None
    key_hash: str = ""


class Store:
    """All jobs and users, by id. Has the latest ``MAX_JOBS`` jobs."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.folders: dict[str, Folder] = {}
        self.projects: dict[str, Project] = {}
        self.exports: dict[str, Export] = {}
        self.renders: dict[str, Export] = {}
        self.users: set[str] = set()
        self.ledger: dict[str, LedgerEntry] = {}

    def add_task(self, task: Task) -> list[Export]:
        """Add a task, its folder, and its ledger entry.

        :returns: old exports that were deleted because the store is full.
        """
        self.tasks[task.id] = task
        if task.type == "video-to-shorts":
            self.folders[task.output_id] = Folder(task=task, projects=[])
        return self._add_to_ledger("task", task, task.request)

    def add_export(self, export: Export) -> list[Export]:
        """Add an export and its ledger entry.

        :returns: old exports that were deleted because the store is full.
        """
        self.exports[export.id] = export
        self.renders[export.render_id] = export
        return self._add_to_ledger(
            "export", export, export.request, folder_id=export.folder_id, project_id=export.project.id
        )

    def finish_task(self, task: Task, shorts: list[Short], now: float) -> None:
        """Add the shorts of a task to its folder, or its one project."""
        if task.id not in self.tasks:
            return
        folder = self.folders.get(task.output_id)
        if folder is None:
            projects = [Project(task=task, folder_id=None, short=shorts[0], created_at=now, id=task.output_id)]
        else:
            projects = [Project(task=task, folder_id=task.output_id, short=short, created_at=now) for short in shorts]
            folder.projects = projects
        self.projects |= {project.id: project for project in projects}

    def change_folder(self, folder: Folder, *, grow: int, shrink: int, rescore: bool, now: float) -> None:
        """Remove the best shorts of a folder, reverse the scores, and add shorts with higher scores."""
        folder.projects.sort(key=lambda project: -(project.short.score or 0))
        for project in folder.projects[:shrink]:
            del self.projects[project.id]
        del folder.projects[:shrink]
        if rescore:
            scores = [project.short.score for project in folder.projects]
            for project, score in zip(folder.projects, reversed(scores), strict=True):
                project.short = replace(project.short, score=score)
        for number in range(grow if folder.projects else 0):
            original = folder.projects[0]
            short = replace(original.short, name=f"{original.short.name}, once more", score=100 - number)
            new = Project(task=folder.task, folder_id=original.folder_id, short=short, created_at=now)
            self.projects[new.id] = new
            folder.projects.append(new)

    def _add_to_ledger(
        self,
        kind: Literal["task", "export"],
        job: Job,
        request: VideoToVideo | ExportRequest,
        *,
        folder_id: str | None = None,
        project_id: str | None = None,
    ) -> list[Export]:
        self.ledger[job.id] = LedgerEntry(
            kind=kind,
            id=job.id,
            at=job.created_at,
            body=request.model_dump(mode="json", exclude_unset=True),
            folder_id=folder_id,
            project_id=project_id,
            on_behalf_of=job.on_behalf_of,
            key_hash=job.key_hash,
        )
        return self._delete_oldest()

    def _delete_oldest(self) -> list[Export]:
        exports = []
        while len(self.ledger) > MAX_JOBS:
            oldest = next(iter(self.ledger))
            del self.ledger[oldest]
            if task := self.tasks.pop(oldest, None):
                folder = self.folders.pop(task.output_id, None)
                for project_id in [project.id for project in folder.projects] if folder else [task.output_id]:
                    self.projects.pop(project_id, None)
            else:
                export = self.exports.pop(oldest)
                del self.renders[export.render_id]
                exports.append(export)
        return exports
