"""What the sandbox remembers: tasks, projects, exports, managed users, and the ledger of paid requests.

A job's state is a function of the time, of how far its work has come, and of the fate a fault gave it.
Everything here is touched by the event loop's thread alone.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from klap_sandbox.faults import JobError, JobFate, Stuck, UnknownStatus

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.plan import Short
    from klap_sandbox.schemas import ExportRequest, VideoToVideo

PROCESSING, READY, ERROR = "processing", "ready", "error"
MOST_BYTES = 256 * 1024**2
"""About so much memory may be held by jobs; a job, each of its projects, and each byte of its body add to it."""
JOB_WEIGHT, PROJECT_WEIGHT, COPIES = 2_000, 2_000, 8
MOST_USERS = 100_000
_ALPHABET = string.ascii_letters + string.digits


def new_id(length: int) -> str:
    """A random id of letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


@dataclass(frozen=True)
class Failure:
    """Why a job ended in ``error``."""

    code: str
    message: str


@dataclass(kw_only=True, eq=False)
class Job:
    """Work that was paid for: a task or an export. Times are seconds since the epoch."""

    created_at: float
    ready_at: float
    on_behalf_of: str | None
    id: str = field(default_factory=lambda: new_id(16))
    done_at: float | None = None
    failure: Failure | None = None
    fate: JobFate | None = None

    def status(self, now: float) -> str:
        """The status word at this time."""
        if isinstance(self.fate, UnknownStatus):
            return self.fate.word
        if isinstance(self.fate, Stuck) or now < self.ready_at:
            return PROCESSING
        if isinstance(self.fate, JobError):
            return ERROR
        if self.done_at is None:
            return PROCESSING
        return ERROR if self.failure else READY

    @property
    def finished_at(self) -> float:
        """Since when it has been ready, if it is."""
        return max(self.ready_at, self.done_at or 0.0)

    def error(self) -> Failure | None:
        """What to tell about a status of ``error``."""
        if isinstance(self.fate, JobError):
            return Failure(self.fate.error_code, self.fate.message)
        return self.failure


@dataclass(kw_only=True, eq=False)
class Task(Job):
    """A video to make something of: a folder of shorts, or one project."""

    type: Literal["video-to-shorts", "video-to-video"]
    request: VideoToVideo
    output_id: str
    late_looks: int = 0


@dataclass(kw_only=True, eq=False)
class Project:
    """A short in a folder, or the one project of a video-to-video task (then without a folder)."""

    task: Task
    folder_id: str | None
    short: Short
    created_at: float
    id: str = field(default_factory=lambda: new_id(12))


@dataclass(kw_only=True, eq=False)
class Folder:
    """The shorts of one task."""

    task: Task
    projects: list[Project]


@dataclass(kw_only=True, eq=False)
class Export(Job):
    """A project being made into a file."""

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


class Store:
    """Everything known, by id. The oldest jobs are forgotten when there are too many."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.folders: dict[str, Folder] = {}
        self.projects: dict[str, Project] = {}
        self.exports: dict[str, Export] = {}
        self.renders: dict[str, Export] = {}
        self.users: dict[str, None] = {}
        self.ledger: dict[str, LedgerEntry] = {}
        self._weights: dict[str, int] = {}

    def add_user(self, user_id: str) -> None:
        """Remember a managed user."""
        self.users[user_id] = None
        if len(self.users) > MOST_USERS:
            del self.users[next(iter(self.users))]

    def add_task(self, task: Task) -> list[Export]:
        """Remember a task, with its folder or the id of its project, and enter it in the ledger.

        :returns: the exports that were forgotten for it.
        """
        self.tasks[task.id] = task
        if task.type == "video-to-shorts":
            self.folders[task.output_id] = Folder(task=task, projects=[])
        return self._enter("task", task, task.request, None)

    def add_export(self, export: Export) -> list[Export]:
        """Remember an export and enter it in the ledger.

        :returns: the exports that were forgotten for it.
        """
        self.exports[export.id] = export
        self.renders[export.render_id] = export
        return self._enter("export", export, export.request, export)

    def finish_task(self, task: Task, shorts: list[Short], now: float) -> None:
        """Give a task its result: these shorts in its folder, or the one project."""
        if task.id not in self.tasks:
            return
        folder = self.folders.get(task.output_id)
        if folder is None:
            projects = [Project(task=task, folder_id=None, short=shorts[0], created_at=now, id=task.output_id)]
        else:
            projects = [Project(task=task, folder_id=task.output_id, short=short, created_at=now) for short in shorts]
            folder.projects = projects
        self.projects |= {project.id: project for project in projects}
        self._weights[task.id] += PROJECT_WEIGHT * len(projects)

    def change_folder(self, folder: Folder, *, grow: int, shrink: int, rescore: bool, now: float) -> None:
        """Change the shorts of a folder: take the best away, turn the scores around, add better ones."""
        folder.projects.sort(key=lambda project: -(project.short.score or 0))
        for project in folder.projects[:shrink]:
            del self.projects[project.id]
        del folder.projects[:shrink]
        if rescore:
            scores = [project.short.score for project in folder.projects]
            for project, score in zip(folder.projects, reversed(scores), strict=True):
                project.short = replace(project.short, score=score)
        for number in range(grow if folder.projects else 0):
            like = folder.projects[0]
            short = replace(like.short, name=f"{like.short.name}, once more", score=100 - number)
            new = Project(task=folder.task, folder_id=like.folder_id, short=short, created_at=now)
            self.projects[new.id] = new
            folder.projects.append(new)

    def _enter(
        self,
        kind: Literal["task", "export"],
        job: Job,
        body: VideoToVideo | ExportRequest,
        export: Export | None,
    ) -> list[Export]:
        sent = body.model_dump(mode="json", exclude_unset=True)
        self.ledger[job.id] = LedgerEntry(
            kind=kind,
            id=job.id,
            at=job.created_at,
            body=sent,
            folder_id=export.folder_id if export else None,
            project_id=export.project.id if export else None,
            on_behalf_of=job.on_behalf_of,
        )
        self._weights[job.id] = JOB_WEIGHT + COPIES * len(str(sent))
        return self._forget_the_oldest()

    def _forget_the_oldest(self) -> list[Export]:
        exports = []
        while sum(self._weights.values()) > MOST_BYTES and len(self._weights) > 1:
            oldest = next(iter(self._weights))
            del self._weights[oldest], self.ledger[oldest]
            if task := self.tasks.pop(oldest, None):
                folder = self.folders.pop(task.output_id, None)
                for project_id in [project.id for project in folder.projects] if folder else [task.output_id]:
                    self.projects.pop(project_id, None)
            else:
                export = self.exports.pop(oldest)
                del self.renders[export.render_id]
                exports.append(export)
        return exports
