"""Read and write files in storage. Files appear only when complete, and errors name the field with the path."""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.io import attach
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]  # it has no types

from klap_provider.airflow_internals.tasks import unresponsive_backend
from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapError, KlapInputError, KlapLookUpError, KlapStorageError
from klap_provider.rules.allowlist import OBJECT_STORES

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a part of a large upload, which is held in memory. S3 allows 10,000 parts, so 160 GB.
BLOCK_SIZE = 16 * 1024 * 1024

#: Maximum bytes of a list: ten times the size of the longest list that Airflow can map a task over.
LONGEST_LIST = 5_000_000

#: Name of the file that checks whether a destination is writable.
WRITE_CHECK = ".klap-write-check"


def folder_at(destination: str, subfolder: str | None = None) -> ObjectStoragePath:
    """
    Return the folder of a destination, or one below it. Sends no request to the storage.

    :raises KlapInputError: the destination is a relative path, or its scheme or connection is unknown.
    """
    if destination.startswith("/"):
        destination = f"file://{destination}"
    scheme, _, rest = destination.partition("://")
    if not rest or (scheme == "file" and not rest.startswith("/")):
        raise KlapInputError(
            f"destination is {without_secrets(repr(destination))}; it must be an absolute path or a URL such as "
            "s3://conn_id@bucket/path."
        )
    folder = path_at("destination", destination)
    if ".." in (subfolder or "").split("/"):
        raise KlapInputError(f"subfolder is {subfolder!r}; it must be a folder below the destination.")
    return folder / subfolder if subfolder else folder


def path_at(field: str, url: str) -> ObjectStoragePath:
    """
    Return the path object of a URL, with the file system of its connection.

    :raises KlapInputError: the scheme or the connection is unknown.
    :raises KlapLookUpError: the secrets backend did not answer.
    """
    shown = without_secrets(url)
    if url.startswith("file://"):
        # Without this, Airflow would load the file systems of all providers, which takes a third of a second.
        attach("file", fs=LocalFileSystem())
    try:
        path = ObjectStoragePath(url)
        if ":" in (path.conn_id or ""):
            raise KlapInputError(
                f"{field} is {shown!r} and contains a password. Put the password into an Airflow connection, and write "
                "the id of that connection before the @."
            )
        if path.conn_id:
            # Without a connection, providers would use the credentials of the machine.
            Connection.get(path.conn_id)
        path.fs  # noqa: B018  # resolves the scheme, so that an unknown one is reported here
    except AirflowNotFoundException as missing:
        if path.conn_id and (backend := unresponsive_backend(path.conn_id)):
            raise KlapLookUpError(path.conn_id, backend) from missing
        raise KlapInputError(
            f"{field} is {shown!r}, but there is no Airflow connection {path.conn_id!r}. Create it, or write the id of "
            "another connection before the @."
        ) from missing
    except (ValueError, ImportError) as unknown:
        raise KlapInputError(
            f"{field} is {shown!r}: {describe(unknown)}. Install the Airflow provider of that storage, such as "
            "apache-airflow-providers-amazon[s3fs] for s3."
        ) from unknown
    return path


@contextmanager
def storage_errors(field: str, url: str, *, paid: bool = False) -> Iterator[None]:
    """
    Convert errors of a storage's library into errors that name the field.

    :param paid: whether Klap was paid already. Then missing files and refused access are retried, too, so that the user
        can fix them in time.
    :raises KlapStorageError: the storage failed.
    """
    url = without_secrets(url)
    try:
        yield
    except KlapError:
        raise
    except Exception as failure:
        problem, transient = f"{url} failed ({describe(failure)}).", True
        match _status(failure):
            case 404:
                problem, transient = f"{url} does not exist ({describe(failure)}). Check its bucket and path.", paid
            case 401 | 403:
                advice = "Check the credentials and their permissions."
                problem, transient = f"access to {url} was refused ({describe(failure)}). {advice}", paid
        raise KlapStorageError(f"{field}: {problem}", transient=transient) from failure


def _status(failure: BaseException | None) -> int | None:
    """
    Return the HTTP status that an error of a storage's library has or corresponds to, or None.

    adlfs raises a RuntimeError from Azure's exception, gcsfs an OSError for a 403, and Google's library an error with
    ``retryable=False`` for expired credentials.
    """
    while failure is not None:
        if isinstance(failure, FileNotFoundError):
            return 404
        if isinstance(failure, PermissionError) or str(failure).startswith("Forbidden: "):
            return 403
        for name in ("status_code", "code"):
            if isinstance(status := getattr(failure, name, None), int):
                return status
        if getattr(failure, "retryable", None) is False:
            return 401
        failure = failure.__cause__
    return None


def describe(failure: Exception) -> str:
    """Return the text of an exception, without secrets of the addresses in it."""
    return without_secrets(" ".join(f"{type(failure).__name__}: {failure}".split()))[:300]


def asset_uri(destination: str) -> str:
    """Return the asset URI of a destination: without connection, in ASCII, and at most as long as Airflow allows."""
    folder = folder_at(destination)
    return f"{folder.protocol}://{quote(folder.path.rstrip('/'))}"[:1500]


def check_destination(destination: str) -> None:
    """
    Write a small file to a destination, and delete it if that is allowed, so that errors are found before anything is
    paid. Only write permission is needed, as for a delivery.

    :raises KlapInputError: the destination is invalid.
    :raises KlapStorageError: the destination is not writable.
    """
    check = folder_at(destination) / WRITE_CHECK
    with storage_errors("destination", destination):
        with atomic_file(check) as sink:
            sink.write(b"Written by Airflow's Klap provider to check that it can write here. You can delete it.\n")
        with contextlib.suppress(Exception):  # deleting is not allowed, or another check has deleted the file
            check.fs.rm_file(check.path)


def size_of(path: ObjectStoragePath) -> int | None:
    """Return the size of a file in bytes; None if it does not exist."""
    try:
        return int(path.fs.info(path.path)["size"])
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Writer:
    """The try of a task instance that writes files."""

    task_instance: str
    try_number: int

    @property
    def prefix(self) -> str:
        """Prefix of the names of this task instance's partial files."""
        return f".klap-{hashlib.sha256(self.task_instance.encode()).hexdigest()[:20]}-"


def part_name(name: str, writer: Writer | None) -> str:
    """Return the name of a file while it is incomplete. Only this try writes to it. It is unique outside a task."""
    if writer is None:
        return f".klap-{uuid.uuid4().hex}.part"
    return f"{writer.prefix}{writer.try_number}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.part"


@contextmanager
def atomic_file(path: ObjectStoragePath, writer: Writer | None = None) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when the block ends without an error."""
    with _uploaded(path) if path.protocol in OBJECT_STORES else _moved(path, writer) as sink:
        yield sink


@contextmanager
def _uploaded(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """Upload to an object store, where a file exists only after its upload is complete."""
    sink = path.fs.open(path.path, "wb", block_size=BLOCK_SIZE)
    try:
        yield sink
        sink.close()
    except BaseException:
        with contextlib.suppress(Exception):  # the storage may be what failed
            sink.discard()
        sink.closed = True  # otherwise fsspec would complete the upload of the incomplete file at garbage collection
        raise


@contextmanager
def _moved(path: ObjectStoragePath, writer: Writer | None) -> Iterator[IO[bytes]]:
    """
    Write to a partial file, flush it to the disk, and rename it. Without the flush, a crash of the machine could leave
    an empty file under the final name.
    """
    fs, folder = path.fs, path.parent.path
    fs.makedirs(folder, exist_ok=True)
    if writer is not None:  # if an earlier try still runs, its rename fails; other task instances are left alone
        _remove_earlier(fs, folder, writer)
    part = f"{folder.rstrip('/')}/{part_name(path.name, writer)}"
    try:
        with fs.open(part, "wb") as sink:
            yield sink
        if isinstance(fs, LocalFileSystem):
            _to_disk(part)
        fs.mv(part, path.path)
        if isinstance(fs, LocalFileSystem):
            _to_disk(folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(part)
        raise


def _remove_earlier(fs: Any, folder: str, writer: Writer) -> None:
    for leftover in fs.ls(folder, detail=False):  # not glob, because the folder's name may contain special characters
        name = leftover.rpartition("/")[2]
        number = name.removeprefix(writer.prefix).partition("-")[0]
        if name.startswith(writer.prefix) and number.isdecimal() and int(number) < writer.try_number:
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(leftover)


def _to_disk(path: str) -> None:
    """Flush a file or a folder to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as failure:
        if failure.errno not in (errno.EINVAL, errno.ENOTSUP):  # a mounted share may not support this for folders
            raise
    finally:
        os.close(number)


def text_at(field: str, path: str) -> str:
    """
    Return the content of a list. Errors do not repeat it.

    :raises KlapInputError: the file does not exist, is not text, or is too long; or its scheme is unknown.
    :raises KlapStorageError: the storage refuses access or fails.
    """
    file = path_at(field, f"file://{path}" if path.startswith("/") else path)
    with storage_errors(field, path):
        path = without_secrets(path)
        try:
            with file.fs.open(file.path, "rb") as opened:
                content: bytes = opened.read(LONGEST_LIST + 1)
        except FileNotFoundError:
            raise KlapInputError(f"Nothing was started. {field}: {path} does not exist.") from None
        except IsADirectoryError:
            raise KlapInputError(f"Nothing was started. {field}: {path} is a folder.") from None
    if len(content) > LONGEST_LIST:
        raise KlapInputError(f"Nothing was started. {field}: {path} has more than {LONGEST_LIST} bytes.")
    # Spreadsheets write a byte order mark, and UTF-16 for "Unicode text".
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise KlapInputError(
            f"Nothing was started. {field}: {path} is not text in UTF-8 or UTF-16. In a spreadsheet, save it as "
            '"CSV UTF-8".'
        ) from None
