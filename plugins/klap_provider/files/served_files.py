"""Read delivered files for the API server."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from klap_provider.api import redaction
from klap_provider.errors import KlapMissingFileError, KlapNotServedError
from klap_provider.files.allowlist import served_address
from klap_provider.files.mp4 import BoxWalk
from klap_provider.files.storage import path_at, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import ObjectStoragePath

#: Bytes that are read from the storage at a time.
PART_SIZE = 2 * 1024 * 1024

#: Bytes at the start of a file that are checked for an MP4 header.
HEAD_SIZE = 16

#: Names of a file's version in the file systems, the most reliable first.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified")


@dataclass(frozen=True)
class StoredFile:
    """A stored file. ``version`` changes with its content."""

    path: ObjectStoragePath
    size: int
    version: str

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` until before ``end``, in parts. The file is not kept open between parts."""
        for at in range(start, end, PART_SIZE):
            yield self._part(at, min(at + PART_SIZE, end))

    def _part(self, start: int, end: int) -> bytes:
        if self.path.protocol != "file":
            part: bytes = self.path.fs.cat_file(self.path.path, start=start, end=end)
            return part
        with _opened(self.path.path) as file:
            return os.pread(file, end - start, start)


def served_video(url: str) -> StoredFile:
    """
    Return a delivered video that the API server may send. Its path is not trusted: any task of any Dag can record one.

    :raises KlapNotServedError: the API server's configuration does not allow the address, or the file is not an MP4.
    :raises KlapStorageError: see :func:`stored_file`.
    """
    file = stored_file(served_address(url))
    head = BoxWalk()
    with storage_errors("path", url):
        head.feed(b"".join(file.read(0, min(HEAD_SIZE, file.size))))
    if file.size < HEAD_SIZE or head.broken or not file.path.name.lower().endswith(".mp4"):
        raise KlapNotServedError(f"{redaction.shown(url)} is not an MP4 file, so the API server does not send it.")
    return file


def stored_file(url: str) -> StoredFile:
    """
    Return a stored file.

    Local symbolic links are not followed, so that a checked path cannot lead elsewhere later.

    :raises KlapMissingFileError: the file does not exist on this machine or in the storage.
    :raises KlapInputError: the scheme or the connection is unknown.
    :raises KlapStorageError: the storage does not answer or refuses access.
    """
    path = path_at("path", url)
    with storage_errors("path", url):
        try:
            info = _local_info(path.path) if path.protocol == "file" else path.fs.info(path.path)
        except FileNotFoundError:
            raise KlapMissingFileError(_missing(path), transient=False) from None
    fact = next((info[name] for name in _VERSIONS if info.get(name)), None)
    version = hashlib.sha256(f"{info['size']} {fact}".encode()).hexdigest()[:32]
    return StoredFile(path, int(info["size"]), version)


def _local_info(path: str) -> dict[str, Any]:
    with _opened(path) as file:
        facts = os.fstat(file)
    return {"size": facts.st_size, "mtime": facts.st_mtime_ns}


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a regular local file without following symbolic links. Any other path raises FileNotFoundError."""
    *folders, name = path.strip("/").split("/")
    at = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        # Without O_NONBLOCK, a named pipe would block until another process writes to it.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    except OSError as failure:
        if failure.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise FileNotFoundError(path) from failure
        raise
    finally:
        os.close(at)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise FileNotFoundError(path)
        yield file
    finally:
        os.close(file)


def _missing(path: ObjectStoragePath) -> str:
    if path.protocol == "file" and not path.fs.isdir(path.parent.path):
        return (
            f"This machine has no folder {path.parent.path}. The folder was deleted, or it is on the worker that "
            "delivered the file. Use a destination in object storage, or a folder that workers and API server share."
        )
    return f"The file {path} was deleted or moved after its delivery. Clear the task 'deliver' to get it again."
