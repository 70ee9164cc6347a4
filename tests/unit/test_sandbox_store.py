"""The sandbox deletes its oldest jobs and files when it has too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from klap_sandbox import rendering, sources, store
from klap_sandbox.ffmpeg import Probe
from klap_sandbox.plan import plan_shorts
from klap_sandbox.rendering import FfmpegRenderer
from klap_sandbox.request_bodies import ExportRequest, VideoToShorts
from klap_sandbox.sources import SourceLibrary
from klap_sandbox.store import Export, Store, Task, new_id


def make_task() -> Any:
    request = VideoToShorts(source_video_url="https://example.com/talk.mp4")
    return Task(
        created_at=0, ready_at=0, on_behalf_of=None, type="video-to-shorts", request=request, output_id=new_id(8)
    )


def finish(jobs: Store, task: Any) -> None:
    jobs.finish_task(task, plan_shorts(task.request, 600), 0)


def test_the_oldest_jobs_are_deleted_with_their_folders_and_shorts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_JOBS", 5)
    jobs = Store()
    tasks = [make_task() for _ in range(50)]
    for task in tasks:
        assert jobs.add_task(task) == []
        finish(jobs, task)
    assert list(jobs.tasks) == list(jobs.ledger) == [task.id for task in tasks[-5:]]
    assert list(jobs.folders) == [task.output_id for task in tasks[-5:]]
    assert len(jobs.projects) == 10 * len(jobs.tasks)

    [project, *_] = jobs.folders[tasks[-1].output_id].projects
    exports = [
        Export(created_at=0, ready_at=0, on_behalf_of=None, project=project, folder_id=None, request=ExportRequest())
        for _ in range(20)
    ]
    deleted = [old for export in exports for old in jobs.add_export(export)]
    assert deleted == exports[:15]
    assert jobs.tasks == jobs.folders == jobs.projects == {}
    assert len(jobs.renders) == len(jobs.exports) == len(jobs.ledger) == 5

    finish(jobs, tasks[0])
    assert jobs.projects == {}, "a task that is deleted before it ends leaves nothing behind"


class _FakeFfmpeg:
    """Writes a kilobyte into each file, and takes each file for a video."""

    async def run(self, *arguments: str) -> None:
        write(Path(arguments[-1]))

    async def probe(self, file: Path) -> Probe:
        return Probe(seconds=60, width=16, height=16, has_audio=False)


class _NoSample:
    def is_at(self, url: str) -> bool:
        return False


async def _download(url: str, file: Path, **_: float) -> None:
    write(file)
    if "broken" in url:
        raise sources.SourceError("invalid_url", "The connection was closed.")


def write(file: Path) -> None:
    file.write_bytes(b"x" * 1000)


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_the_oldest_sources_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "download", _download)
    monkeypatch.setattr(sources, "MAX_SOURCES", 3)
    library = SourceLibrary(tmp_path, _FakeFfmpeg(), _NoSample())  # type: ignore[arg-type]  # all that it uses
    for number in range(10):
        await library.get(f"https://example.com/{number}")
        with pytest.raises(sources.SourceError):
            await library.get(f"https://example.com/broken{number}")
    assert 1 <= len(files_in(tmp_path)) <= 3
    fetched_again = await library.get("https://example.com/0")
    assert fetched_again.file.name in files_in(tmp_path)
    await library.close()


async def test_the_oldest_clips_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "download", _download)
    monkeypatch.setattr(rendering, "MAX_CLIP_BYTES", 2500)
    renderer = FfmpegRenderer(tmp_path, _FakeFfmpeg(), _NoSample())  # type: ignore[arg-type]  # all that it uses
    request = make_task().request
    [short, *_] = plan_shorts(request, 600)
    for name in "abcd":
        await renderer.render(request, short, None, name)
    renderer.delete("a")
    assert files_in(tmp_path) == ["c.mp4", "d.mp4", "source-1"]
    await renderer.close()
