"""A team's storage: files that appear whole or not at all, and faults said in terms of the field that led to them."""

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

from klap_provider.airflow_internals.tasks import silent_backend
from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapError, KlapInputError, KlapLookUpError, KlapStorageError
from klap_provider.rules.allowlist import OBJECT_STORES

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a part of a large upload: what is held in memory. S3 takes 10,000 parts, so 160 GB.
BLOCK_SIZE = 16 * 1024 * 1024

#: Bytes of a list at most: as many videos as Airflow maps a task over take a tenth of it.
LONGEST_LIST = 5_000_000

#: Name of the file with which a destination is checked.
WRITE_CHECK = ".klap-write-check"

#: HTTP statuses that no other try changes.
NOT_THERE, REFUSED = (404,), (401, 403)


def folder_at(destination: str, subfolder: str | None = None) -> ObjectStoragePath:
    """
    Return the folder to deliver to. Nothing is asked of the storage yet.

    :param destination: a path or URL such as ``s3://aws_default@bucket/shorts``.
    :param subfolder: one more level below it.
    :raises KlapInputError: the destination is a relative path, of a kind that is not known, or names a connection
        that Airflow does not have.
    """
    if destination.startswith("/"):
        destination = f"file://{destination}"
    scheme, _, rest = destination.partition("://")
    if not rest or (scheme == "file" and not rest.startswith("/")):
        raise KlapInputError(
            f"destination is {without_secrets(repr(destination))}; it takes an absolute path or a URL such as "
            "s3://conn_id@bucket/path."
        )
    folder = path_at("destination", destination)
    if ".." in (subfolder or "").split("/"):
        raise KlapInputError(f"subfolder is {subfolder!r}; it takes a folder below the destination.")
    return folder / subfolder if subfolder else folder


def path_at(field: str, url: str) -> ObjectStoragePath:
    """
    Return the place of a URL, with the file system that its connection leads to.

    :param field: the parameter that the URL comes from, for messages.
    :raises KlapInputError: the URL's scheme, or its connection, is none that Airflow has.
    :raises KlapLookUpError: Airflow cannot say just now what the connection is.
    """
    shown = without_secrets(url)
    if url.startswith("file://"):
        # Known to Airflow beforehand: to look it up, it would load all storage that there is a provider for, which
        # with Amazon's is a third of a second.
        attach("file", fs=LocalFileSystem())
    try:
        path = ObjectStoragePath(url)
        if ":" in (path.conn_id or ""):
            raise KlapInputError(
                f"{field} is {shown!r}, and was given with a password in it. Put the password into an Airflow "
                "connection, and write the id of that connection before the @."
            )
        if path.conn_id:
            # The providers would go on without it, with whatever credentials the machine has.
            Connection.get(path.conn_id)
        path.fs  # noqa: B018  # resolves the scheme now, so that an unknown one is named here
    except AirflowNotFoundException as missing:
        if path.conn_id and (silent := silent_backend(path.conn_id)):
            raise KlapLookUpError(path.conn_id, silent) from missing
        raise KlapInputError(
            f"{field} is {shown!r}, and there is no Airflow connection {path.conn_id!r}. Create it, or name another "
            "one before the @."
        ) from missing
    except (ValueError, ImportError) as unknown:
        raise KlapInputError(
            f"{field} is {shown!r}: {said(unknown)}. Install the Airflow provider of that storage, such as "
            "apache-airflow-providers-amazon[s3fs] for s3."
        ) from unknown
    return path


@contextmanager
def storage_faults(field: str, url: str, *, paid: bool = False) -> Iterator[None]:
    """
    Say which field leads to the storage that fails.

    :param paid: whether it is too late to stop without a loss: then even what is missing or refused, and so for a
        person to mend, is tried again.
    :raises KlapStorageError: instead of what the storage's library raised.
    """
    url = without_secrets(url)
    try:
        yield
    except KlapError:
        raise
    except Exception as failure:
        status = _status(failure)
        if status in NOT_THERE:
            raise KlapStorageError(
                f"{field}: {url} is not there ({said(failure)}). Check its bucket and path.", transient=paid
            ) from failure
        if status in REFUSED:
            raise KlapStorageError(
                f"{field}: {url} was refused ({said(failure)}). Check the credentials, and what they may do there.",
                transient=paid,
            ) from failure
        raise KlapStorageError(f"{field}: {url} failed ({said(failure)}).", transient=True) from failure


def _status(failure: BaseException | None) -> int | None:
    """
    Return the HTTP status that a storage failed with, or that its own exception stands for; None if there is none.

    adlfs raises a RuntimeError from Azure's own exception, gcsfs an OSError for a 403, and Google's library, for
    credentials that are no longer good, one that says that it is not ``retryable``.
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


def said(failure: Exception) -> str:
    """Return a failure of a storage's library in words, without what is secret of the addresses in them."""
    return without_secrets(" ".join(f"{type(failure).__name__}: {failure}".split()))[:300]


def asset_uri(destination: str) -> str:
    """Return a destination as the URI of an asset: without connection, in ASCII, and no longer than Airflow takes."""
    folder = folder_at(destination)
    return f"{folder.protocol}://{quote(folder.path.rstrip('/'))}"[:1500]


def check_destination(destination: str) -> None:
    """
    Write a small file to a destination, so that an error of a later delivery is known before anything is paid.

    Only the right to write is needed, as for a delivery. The file is deleted again; where that is not allowed, it
    stays, and the next check overwrites it: its name is always :data:`WRITE_CHECK`.

    :raises KlapInputError: the destination makes no sense.
    :raises KlapStorageError: it cannot be written to.
    """
    check = folder_at(destination) / WRITE_CHECK
    with storage_faults("destination", destination):
        with atomic_file(check) as sink:
            sink.write(b"Written by Airflow's Klap provider to check that it can write here. You can delete it.\n")
        with contextlib.suppress(Exception):  # not allowed, or another check has just deleted it
            check.fs.rm_file(check.path)


def size_of(path: ObjectStoragePath) -> int | None:
    """Return the size of a file in bytes, or None if it is not there."""
    try:
        return int(path.fs.info(path.path)["size"])
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Writer:
    """
    The try of a task instance that writes files.

    :param task_instance: the ids of its Dag, run and task, and its map index.
    :param try_number: from 1.
    """

    task_instance: str
    try_number: int

    @property
    def prefix(self) -> str:
        """How the names of partial files of this task instance begin."""
        return f".klap-{hashlib.sha256(self.task_instance.encode()).hexdigest()[:20]}-"


def part_name(name: str, writer: Writer | None) -> str:
    """
    Return the name of the partial file that a file has until it is complete.

    The name belongs to the try that writes it, so that no other run, task or try touches the file.

    :param writer: None outside a task; the name is then unique.
    """
    if writer is None:
        return f".klap-{uuid.uuid4().hex}.part"
    return f"{writer.prefix}{writer.try_number}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.part"


@contextmanager
def atomic_file(path: ObjectStoragePath, writer: Writer | None = None) -> Iterator[IO[bytes]]:
    """
    Write a file that appears under its name only when the block ends well.

    :param writer: the try that writes it; None outside a task.
    """
    with _uploaded(path) if path.protocol in OBJECT_STORES else _moved(path, writer) as sink:
        yield sink


@contextmanager
def _uploaded(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """Upload to an object store, where a file is there when its upload is ended, or not at all."""
    sink = path.fs.open(path.path, "wb", block_size=BLOCK_SIZE)
    try:
        yield sink
        sink.close()
    except BaseException:
        with contextlib.suppress(Exception):  # the storage may be what failed
            sink.discard()
        sink.closed = True  # or fsspec would end the upload of half a file, at the latest when it collects the garbage
        raise


@contextmanager
def _moved(path: ObjectStoragePath, writer: Writer | None) -> Iterator[IO[bytes]]:
    """
    Write to a partial file beside the file, and move it at the end, when it is on the disk: otherwise a machine that
    goes off just then could come back with an empty file under the final name.

    What earlier tries of the same task instance left in the folder is removed first. An earlier try that still runs,
    though Airflow has given it up, then fails at its own move. What others left stays: they may be at work.
    """
    fs, folder = path.fs, path.parent.path
    fs.makedirs(folder, exist_ok=True)
    if writer is not None:
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
    for leftover in fs.ls(folder, detail=False):  # not glob: the folder's own name may have its special characters
        name = leftover.rpartition("/")[2]
        number = name.removeprefix(writer.prefix).partition("-")[0]
        if name.startswith(writer.prefix) and number.isdecimal() and int(number) < writer.try_number:
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(leftover)


def _to_disk(path: str) -> None:
    """Flush a file, or the list of files of a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as failure:
        if failure.errno not in (errno.EINVAL, errno.ENOTSUP):  # a mounted share may not know this of folders
            raise
    finally:
        os.close(number)


def text_at(field: str, path: str) -> str:
    """
    Return the text of a file. No error has any of it.

    :param field: the parameter that the path comes from, for messages.
    :param path: absolute, or any URL of Airflow's object storage.
    :raises KlapInputError: there is no such file or kind of storage, or it is no text, or far too long for a list.
    :raises KlapStorageError: the storage refuses or fails.
    """
    file = path_at(field, f"file://{path}" if path.startswith("/") else path)
    with storage_faults(field, path):
        path = without_secrets(path)
        try:
            with file.fs.open(file.path, "rb") as opened:
                content: bytes = opened.read(LONGEST_LIST + 1)
        except FileNotFoundError:
            raise KlapInputError(f"Nothing was started. {field}: there is no file {path}.") from None
        except IsADirectoryError:
            raise KlapInputError(f"Nothing was started. {field}: {path} is a folder.") from None
    if len(content) > LONGEST_LIST:
        raise KlapInputError(f"Nothing was started. {field}: {path} has more than {LONGEST_LIST} bytes.")
    # Spreadsheets put a mark at the beginning, and call UTF-16 "Unicode text".
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise KlapInputError(
            f"Nothing was started. {field}: {path} is no text in UTF-8 or UTF-16. In a spreadsheet, save it as "
            '"CSV UTF-8".'
        ) from None
