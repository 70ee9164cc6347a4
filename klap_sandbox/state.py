"""The sandbox's state, and its jobs, which run in the background."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from klap_sandbox.faults import Fault, JobFault, LateList, ListedLate
from klap_sandbox.ffmpeg import FfmpegError
from klap_sandbox.plan import plan_shorts, plan_whole
from klap_sandbox.rendering import KLAP_WATERMARK
from klap_sandbox.request_bodies import ExportRequest, VideoToShorts, VideoToVideo
from klap_sandbox.request_log import MAX_REQUESTS, LoggedRequest
from klap_sandbox.sources import SourceError
from klap_sandbox.store import READY, Export, Failure, Job, Project, Store, Task, new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from klap_sandbox.faults import AnyFault
    from klap_sandbox.persistence import JobFolder
    from klap_sandbox.rendering import Renderer
    from klap_sandbox.settings import Settings
    from klap_sandbox.store import Folder

    Work = Callable[[], Awaitable[None]]

LENGTH_SECONDS = 2.0
"""Maximum time that a POST waits for the length of its video. Its task checks the length again."""

_log = logging.getLogger(__name__)


class SandboxState:
    """
    Jobs, settings, faults and the request log.

    :param folder: where jobs are kept for the next start; None = they are not kept.
    """

    def __init__(self, renderer: Renderer, settings: Settings, folder: JobFolder | None = None) -> None:
        self.renderer = renderer
        self.settings = self.initial_settings = settings
        self._folder = folder
        self.store = folder.load() if folder else Store()
        self.faults: list[AnyFault] = []
        self.request_log: deque[LoggedRequest] = deque(maxlen=MAX_REQUESTS)
        self._running: set[asyncio.Task[None]] = set()
        self._recent: dict[str, deque[float]] = {}

    def is_within_rate(self, key_hash: str) -> bool:
        """Return whether an API key may make one more request in this second, and count the request if so."""
        limit, now = self.settings.rate_limit, time.monotonic()
        if limit is None:
            return True
        recent = self._recent.setdefault(key_hash, deque())
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= limit:
            return False
        recent.append(now)
        return True

    def has_credits(self, key_hash: str) -> bool:
        """Return whether an API key can pay for one more request."""
        limit = self.settings.credits
        return limit is None or limit > sum(entry.key_hash == key_hash for entry in self.store.ledger.values())

    def is_visible(self, job: Job, user: str | None) -> bool:
        """Return whether a request can see a job.

        :param user: the managed user that the request acts for.
        """
        return job.on_behalf_of == user or (user is None and self.settings.user_header == "optional")

    def project(self, folder_id: str | None, project_id: str, user: str | None) -> Project | None:
        """Return a project whose task is ready.

        :param folder_id: the folder in the request's path; None on the direct path.
        :param user: the managed user that the request acts for.
        """
        project = self.store.projects.get(project_id)
        direct = folder_id is None and self.settings.direct_path == "any"
        if (
            project is None
            or (project.folder_id != folder_id and not direct)
            or not self.is_visible(project.task, user)
            or project.task.status(time.time()) != READY
        ):
            return None
        return project

    def count_list_request(self, folder: Folder) -> bool:
        """Count a request for a folder's shorts, and return whether they are listed yet."""
        task, now = folder.task, time.time()
        if task.status(now) != READY or now < task.finished_at + self.settings.list_seconds:
            return False
        if task.empty_lists:
            task.empty_lists -= 1
            return False
        return True

    def listed_projects(self, folder: Folder) -> list[Project]:
        """Return the shorts of a folder that are listed by now."""
        shorts, seconds = folder.projects, self.settings.fill_seconds
        elapsed = time.time() - folder.task.finished_at - self.settings.list_seconds
        if elapsed >= seconds:
            return shorts
        return shorts[: 1 + int((len(shorts) - 1) * max(0.0, elapsed) / seconds)]

    async def is_too_long(self, source_url: str) -> bool:
        """Return whether a video is too long; False if its length is not known in time."""
        try:
            source = await asyncio.wait_for(self.renderer.measure(source_url), LENGTH_SECONDS)
        except Exception:  # the task reports it
            return False
        return source.seconds > self.settings.max_source_seconds

    def resume_jobs(self) -> None:
        """Start the jobs that an earlier process did not finish."""
        for task in self.store.tasks.values():
            if task.done_at is None:
                self._start(task, partial(self._run_task, task))
        for export in self.store.exports.values():
            if export.done_at is None:
                self._start(export, partial(self._run_export, export))

    def create_task(self, request: VideoToVideo, on_behalf_of: str | None, key_hash: str) -> Task:
        """Create a task and start it."""
        now, shorts = time.time(), isinstance(request, VideoToShorts)
        task = Task(
            created_at=now,
            ready_at=now + self.settings.task_seconds,
            on_behalf_of=on_behalf_of,
            type="video-to-shorts" if shorts else "video-to-video",
            request=request,
            output_id=new_id(8 if shorts else 12),
            key_hash=key_hash,
        )
        self._delete_files(self.store.add_task(task))
        self._save()
        self._start(task, partial(self._run_task, task))
        return task

    def create_export(
        self, request: ExportRequest, project: Project, folder_id: str | None, on_behalf_of: str | None, key_hash: str
    ) -> Export:
        """Create an export and start it."""
        now = time.time()
        export = Export(
            created_at=now,
            ready_at=now + self.settings.export_seconds,
            on_behalf_of=on_behalf_of,
            project=project,
            folder_id=folder_id,
            request=request,
            key_hash=key_hash,
        )
        self._delete_files(self.store.add_export(export))
        self._save()
        self._start(export, partial(self._run_export, export))
        return export

    def reset(self) -> None:
        """Delete all jobs, users, faults and logged requests."""
        self._cancel_jobs()
        self._delete_files(self.store.exports.values())
        self.store = Store()
        self._save()
        self.faults.clear()
        self.request_log.clear()
        self._recent.clear()

    async def close(self) -> None:
        """Cancel all jobs, and wait until they have stopped."""
        running = list(self._running)
        self._cancel_jobs()
        await asyncio.gather(*running, return_exceptions=True)
        self._save()
        await self.renderer.close()

    async def _run_task(self, task: Task) -> None:
        source = await self.renderer.measure(task.request.source_video_url)
        limit = self.settings.max_source_seconds
        if source.seconds > limit:
            raise SourceError("video_too_long", f"{task.request.source_video_url} is longer than {limit:.0f} s.")
        if not isinstance(task.request, VideoToShorts):
            shorts = [plan_whole(task.request, source.seconds)]
        elif source.has_audio or self.settings.silent_videos == "shorts":
            shorts = plan_shorts(task.request, source.seconds)
        else:
            shorts = []
        self.store.finish_task(task, shorts, time.time())

    async def _run_export(self, export: Export) -> None:
        project, watermark = export.project, export.request.watermark
        if watermark is None and self.settings.own_mark == "there":
            watermark = KLAP_WATERMARK
        rendered = await self.renderer.render(project.task.request, project.short, watermark, export.render_id)
        export.file, export.remark = rendered.file, rendered.remark

    def _start(self, job: Job, work: Work) -> None:
        running = asyncio.create_task(self._run(job, work))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, job: Job, work: Work) -> None:
        try:
            await work()
        except SourceError as problem:
            job.failure = Failure(problem.code, str(problem))
        except FfmpegError as problem:
            _log.error("Job %s failed: %s", job.id, problem)
            job.failure = Failure("processing_failed", "The video could not be processed.")
        except Exception:
            _log.exception("Job %s failed", job.id)
            job.failure = Failure("processing_failed", "The sandbox itself failed. See its log.")
        job.done_at = time.time()
        self._save()

    def _save(self) -> None:
        if self._folder:
            self._folder.save(self.store)

    def _delete_files(self, exports: Iterable[Export]) -> None:
        for export in exports:
            self.renderer.delete(export.render_id)

    def _cancel_jobs(self) -> None:
        for running in self._running:
            running.cancel()


def apply_job_fault(job: Job, fault: Fault | None) -> None:
    """Apply the fault of a request to the job that it creates or reads."""
    if isinstance(fault, JobFault):
        job.fault = fault
    elif isinstance(fault, LateList) and isinstance(job, Task):
        job.empty_lists = fault.polls
    elif isinstance(fault, ListedLate) and isinstance(job, Export):
        job.listed_at = time.time() + fault.seconds
