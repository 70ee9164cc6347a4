"""Delivered files, read back: any part of them, a little at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klap_provider.errors import KlapMissingFileError
from klap_provider.files.storage import path_at, storage_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import ObjectStoragePath

#: Bytes that are asked of the storage, and held in memory, at a time.
PART_SIZE = 2 * 1024 * 1024

#: What the file systems call that which changes with a file's content, the surest first.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified")


@dataclass(frozen=True)
class StoredFile:
    """
    A file in the team's storage.

    :param path: where it is.
    :param size: bytes.
    :param version: another one as soon as its content is.
    """

    path: ObjectStoragePath
    size: int
    version: str

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Return the bytes from ``start`` to before ``end``, in parts. Between them nothing is held open."""
        for at in range(start, end, PART_SIZE):
            yield self.path.fs.cat_file(self.path.path, start=at, end=min(at + PART_SIZE, end))


def stored_file(url: str) -> StoredFile:
    """
    Return a file, as what a task recorded as its ``path`` names it.

    :raises KlapMissingFileError: it is not there, as far as this machine can see.
    :raises KlapInputError: its kind of storage, or its connection, is not known here.
    :raises KlapStorageError: the storage does not answer, or refuses.
    """
    path = path_at("path", url)
    with storage_faults("path", url):
        try:
            info = path.fs.info(path.path)
        except FileNotFoundError:
            raise KlapMissingFileError(_missing(path), passing=False) from None
    fact = next((info[name] for name in _VERSIONS if info.get(name)), None)
    version = hashlib.sha256(f"{info['size']} {fact}".encode()).hexdigest()[:32]
    return StoredFile(path, int(info["size"]), version)


def _missing(path: ObjectStoragePath) -> str:
    if path.protocol == "file" and not path.fs.isdir(path.parent.path):
        return (
            f"This machine has no folder {path.parent.path}: the file was deleted with it, or lies on the worker that "
            "delivered it, where Airflow's API server cannot see it. A destination in object storage, or in a folder "
            "that both share, is seen from everywhere."
        )
    return f"The file is gone: {path} was delivered, and was deleted or moved since."
