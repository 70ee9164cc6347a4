"""Files that appear whole or not at all, on a disk and on another kind of storage."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest
from airflow.sdk.io import attach

from klap_provider.errors import KlapInputError
from klap_provider.files.storage import folder_at, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import ObjectStoragePath


@pytest.fixture(params=["disk", "object storage"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStoragePath]:
    """A folder that does not exist yet."""
    if request.param == "disk":
        yield folder_at(str(tmp_path / "out"), "task1")
        return
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    yield folder_at("memory://bucket/out", "task1")
    memory.rm("/bucket", recursive=True)


def break_off(path: ObjectStoragePath, failure: BaseException) -> None:
    """Begin to write a file, and fail."""
    with whole_file(path) as sink:
        sink.write(b"half")
        raise failure


def names(folder: ObjectStoragePath) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_when_it_is_whole(folder: ObjectStoragePath) -> None:
    path = folder / "a.mp4"
    with whole_file(path) as sink:
        sink.write(b"first ")
        assert not path.exists()
        sink.write(b"second")
        assert not path.exists()
    assert path.read_bytes() == b"first second"
    assert names(folder) == ["a.mp4"]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt(), SystemExit()])
def test_nothing_is_left_of_a_file_that_could_not_be_finished(
    folder: ObjectStoragePath, failure: BaseException
) -> None:
    with whole_file(folder / "other.mp4") as sink:
        sink.write(b"other")
    with pytest.raises(type(failure)):
        break_off(folder / "a.mp4", failure)
    assert names(folder) == ["other.mp4"]


def test_a_file_that_is_there_stays_whole_until_its_successor_is(folder: ObjectStoragePath) -> None:
    path = folder / "manifest.json"
    with whole_file(path) as sink:
        sink.write(b"old")
    with whole_file(path) as sink:
        sink.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(OSError, match="disk full"):
        break_off(path, OSError("disk full"))
    assert path.read_bytes() == b"new"
    assert names(folder) == ["manifest.json"]


@pytest.mark.parametrize("refused", [False, True])
def test_a_large_file_goes_to_the_disk_while_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    sent: list[tuple[int, int]] = []

    def note(number: int, start: int, length: int, advice: int) -> None:
        assert (os.fstat(number).st_size >= start + length, advice) == (True, os.POSIX_FADV_DONTNEED)
        sent.append((start, length))
        if refused:
            raise OSError(errno.EINVAL, "a mounted share")

    monkeypatch.setattr(os, "posix_fadvise", note)
    path = folder_at(str(tmp_path)) / "a.mp4"
    chunk = bytes(3 * 2**20)
    with whole_file(path) as sink:
        for _ in range(13):
            sink.write(chunk)
    assert sent == [(0, 18 * 2**20), (18 * 2**20, 18 * 2**20)]
    assert path.read_bytes() == chunk * 13


def test_leftovers_of_a_killed_try_are_removed_and_nobody_elses(folder: ObjectStoragePath) -> None:
    folder.mkdir(parents=True)
    mine, others = [".a.mp4.0badcafe.part", ".a.mp4.1badcafe.part"], [".b.mp4.0badcafe.part", "a.mp4.part", "note.txt"]
    for name in [*mine, *others]:
        (folder / name).write_bytes(b"left")
    with whole_file(folder / "a.mp4") as sink:
        sink.write(b"whole")
    assert names(folder) == sorted(["a.mp4", *others])


@pytest.mark.parametrize("name", ["[clips]", "all*"])
def test_leftovers_are_removed_in_a_folder_of_any_name_and_in_no_other(tmp_path: Path, name: str) -> None:
    mine, other = tmp_path / name, tmp_path / "allc"
    for folder in (mine, other):
        folder.mkdir()
        (folder / ".a.mp4.0badcafe.part").write_bytes(b"left")
    with whole_file(folder_at(str(mine)) / "a.mp4") as sink:
        sink.write(b"whole")
    assert os.listdir(mine) == ["a.mp4"]
    assert os.listdir(other) == [".a.mp4.0badcafe.part"]


def test_of_two_tries_at_the_same_file_the_later_one_delivers(tmp_path: Path) -> None:
    path = folder_at(str(tmp_path)) / "a.mp4"
    given_up, current = whole_file(path), whole_file(path)
    given_up.__enter__().write(b"given up")
    current.__enter__().write(b"current")
    with pytest.raises(FileNotFoundError):
        given_up.__exit__(None, None, None)
    current.__exit__(None, None, None)
    assert path.read_bytes() == b"current"
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    ("destination", "path"),
    [("/data/clips", "/data/clips"), ("file:///data/clips", "/data/clips"), ("/data/my clips/", "/data/my clips")],
)
@pytest.mark.parametrize("subfolder", [None, "", "task1"])
def test_a_destination_may_be_a_path_or_a_url(destination: str, path: str, subfolder: str | None) -> None:
    folder = folder_at(destination, subfolder)
    assert folder.protocol == "file"
    assert Path(folder.path) == Path(path, subfolder or "")


@pytest.mark.parametrize(
    "destination", ["clips", "./clips", "~/clips", "nope://bucket/clips", "no-such-scheme://x", "file://clips"]
)
def test_a_destination_that_makes_no_sense_is_named(destination: str) -> None:
    with pytest.raises(KlapInputError, match="destination is") as wrong:
        folder_at(destination)
    assert repr(destination) in str(wrong.value)
