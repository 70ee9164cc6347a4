"""Read back what was delivered: any part of a file, a little at a time."""

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
from klap_provider.files.storage import path_at, storage_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import ObjectStoragePath

#: Bytes that are asked of the storage, and held in memory, at a time.
PART_SIZE = 2 * 1024 * 1024

#: Bytes from the start of a file that show whether it is an MP4.
HEAD_SIZE = 16

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
            yield self._part(at, min(at + PART_SIZE, end))

    def _part(self, start: int, end: int) -> bytes:
        if self.path.protocol != "file":
            part: bytes = self.path.fs.cat_file(self.path.path, start=start, end=end)
            return part
        with _opened(self.path.path) as file:
            return os.pread(file, end - start, start)


def served_video(url: str) -> StoredFile:
    """
    Return a delivered video that the API server may send.

    :param url: the ``path`` that a task recorded. Any task of any Dag can record one, so it proves nothing.
    :raises KlapNotServedError: the API server's configuration does not allow the address, or the file is no MP4.
    :raises KlapStorageError: see :func:`stored_file`.
    """
    file = stored_file(served_address(url))
    head = BoxWalk()
    with storage_faults("path", url):
        head.feed(b"".join(file.read(0, min(HEAD_SIZE, file.size))))
    if file.size < HEAD_SIZE or head.broken or not file.path.name.lower().endswith(".mp4"):
        raise KlapNotServedError(f"{redaction.shown(url)} is no MP4 file, so the API server does not send it.")
    return file


def stored_file(url: str) -> StoredFile:
    """
    Return a file of the team's storage.

    On this machine it follows no symbolic link, so that a path that was checked leads nowhere else afterwards.

    :raises KlapMissingFileError: it is not there, as far as this machine can see.
    :raises KlapInputError: its kind of storage, or its connection, is not known here.
    :raises KlapStorageError: the storage does not answer, or refuses.
    """
    path = path_at("path", url)
    with storage_faults("path", url):
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
    """
    Open a regular file of this machine, from folder to folder.

    :raises FileNotFoundError: it is not there, is no regular file, or a symbolic link is on the way.
    """
    *folders, name = path.strip("/").split("/")
    at = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        # A named pipe would block until somebody writes to it.
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
            f"This machine has no folder {path.parent.path}: the file was deleted with it, or lies on the worker that "
            "delivered it, where Airflow's API server cannot see it. A destination in object storage, or in a folder "
            "that both share, is seen from everywhere."
        )
    return f"The file is gone: {path} was delivered, and was deleted or moved since."
