"""Files appear only when they are complete, on a disk and in object storage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest
from airflow.sdk.io import attach

from klap_provider.errors import KlapError, KlapInputError
from klap_provider.files.signing import signed
from klap_provider.files.storage import Writer, atomic_file, folder_at, part_name, path_at, storage_errors, text_at

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
    with atomic_file(path) as sink:
        sink.write(b"half")
        raise failure


def names(folder: ObjectStoragePath) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_when_it_is_complete(folder: ObjectStoragePath) -> None:
    path = folder / "a.mp4"
    with atomic_file(path) as sink:
        sink.write(b"first ")
        assert not path.exists()
        sink.write(b"second")
        assert not path.exists()
    assert path.read_bytes() == b"first second"
    assert names(folder) == ["a.mp4"]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt(), SystemExit()])
def test_an_unfinished_file_is_removed(folder: ObjectStoragePath, failure: BaseException) -> None:
    with atomic_file(folder / "other.mp4") as sink:
        sink.write(b"other")
    with pytest.raises(type(failure)):
        break_off(folder / "a.mp4", failure)
    assert names(folder) == ["other.mp4"]


def test_an_existing_file_is_replaced_only_by_a_complete_one(folder: ObjectStoragePath) -> None:
    path = folder / "manifest.json"
    with atomic_file(path) as sink:
        sink.write(b"old")
    with atomic_file(path) as sink:
        sink.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(OSError, match="disk full"):
        break_off(path, OSError("disk full"))
    assert path.read_bytes() == b"new"
    assert names(folder) == ["manifest.json"]


def killed(path: ObjectStoragePath, writer: Writer | None) -> str:
    """Leave the partial file of a killed try, and return its name."""
    left = path.parent / part_name(path.name, writer)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"left")
    return left.name


def test_only_leftovers_of_earlier_tries_of_the_task_are_removed(folder: ObjectStoragePath) -> None:
    path = folder / "a.mp4"
    for number in (1, 2):
        killed(path, Writer("videos monday deliver 0", number))
    others = [
        killed(path, Writer("videos monday deliver 0", 4)),  # this writer gives up, and the later one continues
        killed(path, Writer("videos monday deliver 1", 1)),
        killed(path, Writer("videos tuesday deliver 0", 1)),
        killed(path, None),
    ]
    for name in (".a.mp4.0badcafe.part", ".klap-x-y-z.part", "a.mp4.part", "note.txt"):
        (folder / name).write_bytes(b"left")
        others.append(name)
    with atomic_file(path, Writer("videos monday deliver 0", 3)) as sink:
        sink.write(b"whole")
    assert names(folder) == sorted(["a.mp4", *others])


def test_a_file_that_is_written_outside_a_task_removes_nothing(folder: ObjectStoragePath) -> None:
    path = folder / "a.mp4"
    others = [killed(path, Writer("videos monday deliver 0", 1)), killed(path, None)]
    with atomic_file(path) as sink:
        sink.write(b"whole")
    assert names(folder) == sorted(["a.mp4", *others])


@pytest.mark.parametrize("name", ["[clips]", "all*"])
def test_leftovers_are_removed_only_in_their_own_folder(tmp_path: Path, name: str) -> None:
    first, second = (Writer("videos monday deliver 0", number) for number in (1, 2))
    here, elsewhere = folder_at(str(tmp_path / name)) / "a.mp4", folder_at(str(tmp_path / "allc")) / "a.mp4"
    killed(here, first)
    left = killed(elsewhere, first)
    with atomic_file(here, second) as sink:
        sink.write(b"whole")
    assert os.listdir(tmp_path / name) == ["a.mp4"]
    assert os.listdir(tmp_path / "allc") == [left]


def test_the_later_of_two_tries_of_a_task_delivers(tmp_path: Path) -> None:
    path = folder_at(str(tmp_path)) / "a.mp4"
    given_up, current = (atomic_file(path, Writer("videos monday deliver 0", number)) for number in (1, 2))
    given_up.__enter__().write(b"given up")
    current.__enter__().write(b"current")
    with pytest.raises(FileNotFoundError):
        given_up.__exit__(None, None, None)
    current.__exit__(None, None, None)
    assert path.read_bytes() == b"current"
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("ends", ["first", "second"])
def test_two_runs_that_deliver_the_same_file_keep_each_others_parts(tmp_path: Path, ends: str) -> None:
    path = folder_at(str(tmp_path)) / "a.mp4"
    writers = [atomic_file(path, Writer(f"videos {day} deliver 0", 1)) for day in ("monday", "tuesday")]
    for writer in writers:
        writer.__enter__().write(b"whole")
    for writer in writers if ends == "first" else reversed(writers):
        writer.__exit__(None, None, None)
        assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_a_partial_file_fits_beside_a_file_of_the_longest_name(tmp_path: Path) -> None:
    path = folder_at(str(tmp_path)) / f"{'a' * 251}.mp4"
    with atomic_file(path, Writer("d" * 250 + " " + "r" * 250 + " " + "t" * 250 + " 12345", 123456)) as sink:
        sink.write(b"whole")
    assert path.read_bytes() == b"whole"


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
def test_an_invalid_destination_is_named(destination: str) -> None:
    with pytest.raises(KlapInputError, match="destination is") as wrong:
        folder_at(destination)
    assert repr(destination) in str(wrong.value)


@pytest.mark.parametrize(
    "url", ["s3://ada:s3cr3ts3cr3t@media/in", "memory://ada:s3cr3ts3cr3t@media/in", "odd://ada:s3cr3ts3cr3t@media/in"]
)
def test_no_error_repeats_a_password_in_an_address(url: str) -> None:
    for use in (lambda: folder_at(url), lambda: path_at("destination", url), lambda: text_at("list_path", url)):
        with pytest.raises(KlapInputError, match=r"destination|list_path") as wrong:
            use()
        assert "s3cr3t" not in str(wrong.value)
    with pytest.raises(KlapError) as failed, storage_errors("destination", url):
        raise OSError(f"no answer from {url}")
    assert "s3cr3t" not in str(failed.value)


def test_no_error_repeats_a_signature_in_the_address_of_a_list() -> None:
    attach("memory", fs=fsspec.filesystem("memory"))
    with pytest.raises(KlapInputError, match=r"memory://media/in\.csv\S* does not exist") as wrong:
        text_at("list_path", "memory://media/in.csv?sig=s3cr3ts3cr3t")
    assert "s3cr3t" not in str(wrong.value)


def test_the_error_of_a_storage_that_cannot_sign_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    memory.pipe("/media/a.mp4", b"a talk")

    def sign(*_: object, **__: object) -> str:
        raise RuntimeError("https://storage.example.com/a.mp4?X-Amz-Signature=s3cr3t is odd")

    monkeypatch.setattr(type(memory), "sign", sign)
    with pytest.raises(KlapInputError, match=r"the address memory://media/a\.mp4 cannot be signed") as wrong:
        signed("memory://media/a.mp4")
    assert "s3cr3t" not in str(wrong.value)
    memory.rm("/media", recursive=True)
