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
    output_id: str | None = None
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
    """Everything known, by id."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.folders: dict[str, Folder] = {}
        self.projects: dict[str, Project] = {}
        self.exports: dict[str, Export] = {}
        self.renders: dict[str, Export] = {}
        self.users: set[str] = set()
        self.ledger: list[LedgerEntry] = []

    def add_task(self, task: Task) -> None:
        """Remember a task and enter it in the ledger."""
        self.tasks[task.id] = task
        self._enter("task", task, task.request, None)

    def add_export(self, export: Export) -> None:
        """Remember an export and enter it in the ledger."""
        self.exports[export.id] = export
        self.renders[export.render_id] = export
        self._enter("export", export, export.request, export.project)

    def finish_task(self, task: Task, shorts: list[Short], now: float) -> None:
        """Give a task its result: a folder of these shorts, or the one project."""
        folder_id = new_id(8) if task.type == "video-to-shorts" else None
        projects = [Project(task=task, folder_id=folder_id, short=short, created_at=now) for short in shorts]
        self.projects |= {project.id: project for project in projects}
        if folder_id:
            self.folders[folder_id] = Folder(task=task, projects=projects)
        task.output_id = folder_id or projects[0].id

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
        project: Project | None,
    ) -> None:
        self.ledger.append(
            LedgerEntry(
                kind=kind,
                id=job.id,
                at=job.created_at,
                body=body.model_dump(mode="json", exclude_unset=True),
                folder_id=project.folder_id if project else None,
                project_id=project.id if project else None,
                on_behalf_of=job.on_behalf_of,
            )
        )
