"""Reading delivered files from any storage: in parts, and with a version that changes with the content."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from klap_provider.errors import KlapInputError, KlapMissingFileError, KlapStorageError
from klap_provider.files.served_files import PART_SIZE, StoredFile, stored_file
from klap_provider.files.sidecar import read_sidecar, sidecar_of, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StoredFile]]:
    """Return a function that makes a stored file with these fields in its storage's info."""
    attach("memory", fs=fsspec.filesystem("memory"))
    storage = ObjectStoragePath("memory://bucket").fs
    storage.pipe("/bucket/short.mp4", b"video")
    info = storage.info

    def file(**info_fields: Any) -> StoredFile:
        monkeypatch.setattr(storage, "info", lambda path, **more: {**info(path, **more), **info_fields})
        return stored_file("memory://bucket/short.mp4")

    yield file
    storage.rm("/bucket", recursive=True)


def test_a_range_of_a_file_is_read_in_parts(tmp_path: Path) -> None:
    video = os.urandom(2 * PART_SIZE + 7)
    (tmp_path / "short.mp4").write_bytes(video)
    stored = stored_file(f"file://{tmp_path}/short.mp4")
    assert (stored.size, str(stored.path)) == (len(video), f"file://{tmp_path}/short.mp4")
    assert list(stored.read(5, PART_SIZE + 10)) == [video[5 : PART_SIZE + 5], video[PART_SIZE + 5 : PART_SIZE + 10]]
    assert list(stored.read(0, 2 * PART_SIZE)) == [video[:PART_SIZE], video[PART_SIZE : 2 * PART_SIZE]]
    assert b"".join(stored.read(0, len(video))) == video


@pytest.mark.parametrize(
    "name", ["ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "size"]
)
def test_a_file_whose_content_may_have_changed_has_another_version(
    stored: Callable[..., StoredFile], name: str
) -> None:
    assert stored(**{name: 1}).version == stored(**{name: 1}).version != stored(**{name: 2}).version
    assert len(stored(**{name: 1}).version) == 32


def test_a_touched_file_keeps_its_version_if_it_has_an_etag(
    stored: Callable[..., StoredFile],
) -> None:
    assert stored(mtime=1, ETag="a").version == stored(mtime=2, ETag="a").version
    assert stored(mtime=1, ETag=None).version != stored(mtime=2, ETag=None).version


def test_a_missing_file_and_a_missing_folder_have_different_errors(
    tmp_path: Path, stored: Callable[..., StoredFile]
) -> None:
    stored()
    gone = r"^The file .*/nothing\.mp4 was deleted or moved"
    for url, words in (
        (f"file://{tmp_path}/nothing.mp4", gone),
        ("memory://elsewhere/nothing.mp4", gone),
        (f"file://{tmp_path}/nowhere/nothing.mp4", rf"^This machine has no folder {tmp_path}/nowhere\. "),
    ):
        with pytest.raises(KlapMissingFileError, match=words) as missing:
            stored_file(url)
        assert not missing.value.transient


def test_an_unknown_or_failing_storage_is_named_with_its_field(
    stored: Callable[..., StoredFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KlapInputError, match=r"^path is 'nope://bucket/short\.mp4': "):
        stored_file("nope://bucket/short.mp4")
    stored()

    def refused(path: str) -> dict[str, Any]:
        raise PermissionError(path)

    monkeypatch.setattr(ObjectStoragePath("memory://bucket").fs, "info", refused)
    with pytest.raises(KlapStorageError, match=r"^path: access to memory://bucket/short\.mp4 was refused"):
        stored_file("memory://bucket/short.mp4")


def test_the_sidecar_is_readable_text(tmp_path: Path) -> None:
    beside = sidecar_of(ObjectStoragePath(f"file://{tmp_path}/short.mp4"))
    write_json(beside, {"name": "東京", "score": 87})
    assert (tmp_path / "short.json").read_text() == '{\n  "name": "東京",\n  "score": 87\n}\n'
    assert read_sidecar(beside) == json.loads((tmp_path / "short.json").read_text())


@pytest.mark.parametrize("spoiled", [None, b"", b"{", b"[]", b"\xff"])
def test_an_unreadable_sidecar_is_ignored(tmp_path: Path, spoiled: bytes | None) -> None:
    if spoiled is not None:
        (tmp_path / "short.json").write_bytes(spoiled)
    assert read_sidecar(sidecar_of(ObjectStoragePath(f"file://{tmp_path}/short.mp4"))) == {}
