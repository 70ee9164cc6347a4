"""The sandbox forgets its oldest jobs, users and files before they are too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from klap_sandbox import render, source, store
from klap_sandbox.ffmpeg import Probe
from klap_sandbox.plan import plan_shorts
from klap_sandbox.render import FfmpegStudio
from klap_sandbox.schemas import ExportRequest, VideoToShorts
from klap_sandbox.source import SourceLibrary
from klap_sandbox.store import Export, Store, Task, new_id


def a_task(name: str = "Upload") -> Any:
    request = VideoToShorts(source_video_url="https://example.com/talk.mp4", name=name)
    return Task(
        created_at=0, ready_at=0, on_behalf_of=None, type="video-to-shorts", request=request, output_id=new_id(8)
    )


def done(kept: Store, task: Any) -> None:
    kept.finish_task(task, plan_shorts(task.request, 600), 0)


def test_the_oldest_jobs_are_forgotten_with_all_that_belongs_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_BYTES", 100_000)
    kept = Store()
    tasks = [a_task() for _ in range(50)]
    for task in tasks:
        assert kept.add_task(task) == []
        done(kept, task)
    assert 1 < len(kept.tasks) == len(kept.ledger) == len(kept.folders) < 10
    assert len(kept.projects) == 10 * len(kept.tasks)
    assert list(kept.tasks) == [task.id for task in tasks[-len(kept.tasks) :]]

    [project, *_] = kept.folders[tasks[-1].output_id].projects
    exports = [
        Export(created_at=0, ready_at=0, on_behalf_of=None, project=project, folder_id=None, request=ExportRequest())
        for _ in range(100)
    ]
    forgotten = [old for export in exports for old in kept.add_export(export)]
    assert forgotten == exports[: len(forgotten)]
    assert len(forgotten) + len(kept.exports) == 100
    assert kept.tasks == kept.folders == kept.projects == {}
    assert len(kept.renders) == len(kept.exports) == len(kept.ledger)

    done(kept, tasks[0])
    assert kept.projects == {}, "who is forgotten while at work leaves nothing behind"


def test_a_long_name_weighs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_BYTES", 10_000_000)
    kept = Store()
    for _ in range(50):
        kept.add_task(a_task("x" * 200_000))
    assert len(kept.tasks) < 10


def test_users_are_not_without_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_USERS", 2)
    kept = Store()
    for user in "abc":
        kept.add_user(user)
    assert list(kept.users) == ["b", "c"]


class _Copying:
    """Stands in for ffmpeg: every file is a kilobyte, and a video."""

    async def run(self, *arguments: str) -> None:
        write(Path(arguments[-1]))

    async def probe(self, file: Path) -> Probe:
        return Probe(seconds=60, width=16, height=16, has_audio=False)


class _NoSample:
    """There is no sample."""

    def is_at(self, url: str) -> bool:
        return False


async def _fetch(url: str, file: Path, **_: float) -> None:
    write(file)
    if "broken" in url:
        raise source.SourceError("invalid_url", "It broke off.")


def write(file: Path) -> None:
    file.write_bytes(b"x" * 1000)


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_only_so_many_sources_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "download", _fetch)
    monkeypatch.setattr(source, "MOST_SOURCES", 3)
    library = SourceLibrary(tmp_path, _Copying(), _NoSample())  # type: ignore[arg-type]  # all that it uses
    for number in range(10):
        await library.get(f"https://example.com/{number}")
        with pytest.raises(source.SourceError):
            await library.get(f"https://example.com/broken{number}")
    assert 1 <= len(files_in(tmp_path)) <= 3
    fetched_again = await library.get("https://example.com/0")
    assert fetched_again.file.name in files_in(tmp_path)
    await library.close()


async def test_only_so_many_clips_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "download", _fetch)
    monkeypatch.setattr(render, "MOST_BYTES", 2500)
    studio = FfmpegStudio(tmp_path, _Copying(), _NoSample())  # type: ignore[arg-type]  # all that it uses
    request = a_task().request
    [short, *_] = plan_shorts(request, 600)
    for name in "abcd":
        await studio.render(request, short, None, name)
    studio.discard("a")
    assert files_in(tmp_path) == ["c.mp4", "d.mp4", "source-1"]
    await studio.close()
