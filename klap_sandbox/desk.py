"""The desk: takes paid jobs in, sees them done in the background, and holds everything the sandbox knows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from klap_sandbox.faults import FaultBook, JobFate, LateList, ListedLate
from klap_sandbox.ffmpeg import FfmpegError
from klap_sandbox.plan import plan_shorts, plan_whole
from klap_sandbox.schemas import ExportRequest, VideoToShorts, VideoToVideo
from klap_sandbox.source import SourceError
from klap_sandbox.store import READY, Export, Failure, Job, Project, Store, Task, new_id
from klap_sandbox.studio import OWN_MARK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from klap_sandbox.faults import Fault
    from klap_sandbox.gate import LoggedRequest
    from klap_sandbox.settings import Settings
    from klap_sandbox.shelf import Shelf
    from klap_sandbox.store import Folder
    from klap_sandbox.studio import Studio

    Work = Callable[[], Awaitable[None]]

LOGGED = 20_000
"""So many of the latest requests are remembered."""
LOOK_SECONDS = 2.0
"""So long a POST may wait for the length of its video; what is not known by then is found out later."""

_log = logging.getLogger(__name__)


class Desk:
    """
    The state of the sandbox.

    :param shelf: where it keeps its jobs; None: it forgets them when it ends.
    """

    def __init__(self, studio: Studio, settings: Settings, shelf: Shelf | None = None) -> None:
        self.studio = studio
        self.settings = self.settings_at_start = settings
        self._shelf = shelf
        self.store = shelf.load() if shelf else Store()
        self.book = FaultBook()
        self.log: deque[LoggedRequest] = deque(maxlen=LOGGED)
        self._working: set[asyncio.Task[None]] = set()

    def shows(self, job: Job, user: str | None) -> bool:
        """Whether a request that acts for this user, or for none, may see a job and what came of it."""
        return job.on_behalf_of == user or (user is None and self.settings.user_header == "optional")

    def lists(self, folder: Folder) -> bool:
        """Whether the shorts of a folder are listed yet; asking counts as a look."""
        task, now = folder.task, time.time()
        if task.status(now) != READY or now < task.finished_at + self.settings.list_seconds:
            return False
        late, task.late_looks = task.late_looks, max(0, task.late_looks - 1)
        return not late

    def filled(self, folder: Folder) -> list[Project]:
        """Those shorts of a folder that its list has by now."""
        shorts, seconds = folder.projects, self.settings.fill_seconds
        filling = time.time() - folder.task.finished_at - self.settings.list_seconds
        if filling >= seconds:
            return shorts
        return shorts[: 1 + int((len(shorts) - 1) * max(0.0, filling) / seconds)]

    async def is_too_long(self, source_url: str) -> bool:
        """Whether a video is known, within a moment, to be too long."""
        try:
            source = await asyncio.wait_for(self.studio.measure(source_url), LOOK_SECONDS)
        except Exception:  # the task will say what it is
            return False
        return source.seconds > self.settings.max_source_seconds

    def resume(self) -> None:
        """Start again with the jobs that were in work when the last sandbox with this shelf ended."""
        for task in self.store.tasks.values():
            if task.done_at is None:
                self._begin(task, partial(self._do_task, task))
        for export in self.store.exports.values():
            if export.done_at is None:
                self._begin(export, partial(self._do_export, export))

    def take_task(self, request: VideoToVideo, on_behalf_of: str | None) -> Task:
        """Accept a task and begin with it."""
        now, shorts = time.time(), isinstance(request, VideoToShorts)
        task = Task(
            created_at=now,
            ready_at=now + self.settings.task_seconds,
            on_behalf_of=on_behalf_of,
            type="video-to-shorts" if shorts else "video-to-video",
            request=request,
            output_id=new_id(8 if shorts else 12),
        )
        self._discard(self.store.add_task(task))
        self._save()
        self._begin(task, partial(self._do_task, task))
        return task

    def take_export(
        self, request: ExportRequest, project: Project, folder_id: str | None, on_behalf_of: str | None
    ) -> Export:
        """Accept an export and begin with it."""
        now = time.time()
        export = Export(
            created_at=now,
            ready_at=now + self.settings.export_seconds,
            on_behalf_of=on_behalf_of,
            project=project,
            folder_id=folder_id,
            request=request,
        )
        self._discard(self.store.add_export(export))
        self._save()
        self._begin(export, partial(self._do_export, export))
        return export

    def reset(self) -> None:
        """Forget all jobs, faults, users, and what was logged."""
        self._stop()
        self._discard(self.store.exports.values())
        self.store = Store()
        self._save()
        self.book.faults.clear()
        self.log.clear()

    async def close(self) -> None:
        """Stop all work, and wait until it has stopped."""
        working = list(self._working)
        self._stop()
        await asyncio.gather(*working, return_exceptions=True)
        self._save()
        await self.studio.close()

    async def _do_task(self, task: Task) -> None:
        source = await self.studio.measure(task.request.source_video_url)
        if source.seconds > self.settings.max_source_seconds:
            allowed = f"{self.settings.max_source_seconds:.0f} s"
            raise SourceError("video_too_long", f"{task.request.source_video_url} is longer than {allowed}.")
        if not isinstance(task.request, VideoToShorts):
            shorts = [plan_whole(task.request, source.seconds)]
        elif source.has_audio or self.settings.silent_videos == "shorts":
            shorts = plan_shorts(task.request, source.seconds)
        else:
            shorts = []
        self.store.finish_task(task, shorts, time.time())

    async def _do_export(self, export: Export) -> None:
        project = export.project
        mark = export.request.watermark or (OWN_MARK if self.settings.own_mark == "there" else None)
        rendered = await self.studio.render(project.task.request, project.short, mark, export.render_id)
        export.file, export.remark = rendered.file, rendered.remark

    def _begin(self, job: Job, work: Work) -> None:
        working = asyncio.create_task(_see_through(job, work, self._save))
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    def _save(self) -> None:
        if self._shelf:
            self._shelf.save(self.store)

    def _discard(self, exports: Iterable[Export]) -> None:
        for export in exports:
            self.studio.discard(export.render_id)

    def _stop(self) -> None:
        for working in self._working:
            working.cancel()


async def _see_through(job: Job, work: Work, save: Callable[[], None]) -> None:
    try:
        await work()
    except SourceError as problem:
        job.failure = Failure(problem.code, str(problem))
    except FfmpegError as problem:
        _log.error("Job %s failed: %s", job.id, problem)
        job.failure = Failure("processing_failed", "The video could not be processed.")
    except Exception:
        _log.exception("Job %s failed", job.id)
        job.failure = Failure("processing_failed", "Something went wrong in the sandbox itself; its log says what.")
    job.done_at = time.time()
    save()


def doom(job: Job, fault: Fault | None) -> None:
    """Give a job the fate that the fault on its request holds for it, if any."""
    if isinstance(fault, JobFate):
        job.fate = fault
    elif isinstance(fault, LateList) and isinstance(job, Task):
        job.late_looks = fault.looks
    elif isinstance(fault, ListedLate) and isinstance(job, Export):
        job.listed_at = time.time() + fault.seconds
