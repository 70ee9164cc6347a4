"""The desk: takes paid jobs in, sees them done in the background, and holds everything the sandbox knows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from klap_sandbox.faults import FaultBook, JobFate, LateList, ListedLate
from klap_sandbox.plan import plan_shorts, plan_whole
from klap_sandbox.schemas import ExportRequest, VideoToShorts, VideoToVideo
from klap_sandbox.source import SourceError
from klap_sandbox.store import Export, Failure, Job, Project, Store, Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from klap_sandbox.faults import Fault
    from klap_sandbox.gate import LoggedRequest
    from klap_sandbox.studio import Studio

    Work = Callable[[], Awaitable[None]]

LOGGED = 20_000
"""So many of the latest requests are remembered."""

_log = logging.getLogger(__name__)


class Desk:
    """The state of the sandbox.

    :param task_seconds: the least time a task takes.
    :param export_seconds: the least time an export takes.
    """

    def __init__(self, studio: Studio, *, task_seconds: float, export_seconds: float) -> None:
        self.studio = studio
        self.task_seconds = task_seconds
        self.export_seconds = export_seconds
        self.store = Store()
        self.book = FaultBook()
        self.log: deque[LoggedRequest] = deque(maxlen=LOGGED)
        self._working: set[asyncio.Task[None]] = set()

    def take_task(self, request: VideoToVideo, on_behalf_of: str | None) -> Task:
        """Accept a task and begin with it."""
        now = time.time()
        task = Task(
            created_at=now,
            ready_at=now + self.task_seconds,
            on_behalf_of=on_behalf_of,
            type="video-to-shorts" if isinstance(request, VideoToShorts) else "video-to-video",
            request=request,
        )
        self.store.add_task(task)
        self._begin(task, lambda: self._do_task(task))
        return task

    def take_export(self, request: ExportRequest, project: Project, on_behalf_of: str | None) -> Export:
        """Accept an export and begin with it."""
        now = time.time()
        export = Export(
            created_at=now,
            ready_at=now + self.export_seconds,
            on_behalf_of=on_behalf_of,
            project=project,
            request=request,
        )
        self.store.add_export(export)
        self._begin(export, lambda: self._do_export(export))
        return export

    def reset(self) -> None:
        """Forget all jobs, faults, users, and what was logged."""
        self._stop()
        for export in self.store.exports.values():
            self.studio.discard(export.render_id)
        self.store = Store()
        self.book.faults.clear()
        self.log.clear()

    async def close(self) -> None:
        """Stop all work, and wait until it has stopped."""
        working = list(self._working)
        self._stop()
        await asyncio.gather(*working, return_exceptions=True)
        await self.studio.close()

    async def _do_task(self, task: Task) -> None:
        length = await self.studio.length(task.request.source_video_url)
        if isinstance(task.request, VideoToShorts):
            shorts = plan_shorts(task.request, length)
        else:
            shorts = [plan_whole(task.request, length)]
        self.store.finish_task(task, shorts, time.time())

    async def _do_export(self, export: Export) -> None:
        project = export.project
        rendered = await self.studio.render(
            project.task.request, project.short, export.request.watermark, export.render_id
        )
        export.file, export.remark = rendered.file, rendered.remark

    def _begin(self, job: Job, work: Work) -> None:
        working = asyncio.create_task(_see_through(job, work))
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    def _stop(self) -> None:
        for working in self._working:
            working.cancel()


async def _see_through(job: Job, work: Work) -> None:
    try:
        await work()
    except SourceError as problem:
        job.failure = Failure(problem.code, str(problem))
    except Exception as problem:
        _log.exception("Job %s failed", job.id)
        job.failure = Failure("processing_failed", str(problem))
    job.done_at = time.time()


def doom(job: Job, fault: Fault | None) -> None:
    """Give a job the fate that the fault on its request holds for it, if any."""
    if isinstance(fault, JobFate):
        job.fate = fault
    elif isinstance(fault, LateList) and isinstance(job, Task):
        job.late_looks = fault.looks
    elif isinstance(fault, ListedLate) and isinstance(job, Export):
        job.listed_at = time.time() + fault.seconds
