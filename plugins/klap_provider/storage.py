"""A team's storage: files that appear whole or not at all, and faults said in terms of the field that led to them."""

from __future__ import annotations

import contextlib
import os
import uuid
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from klap_provider.errors import KlapError, KlapInputError, KlapStorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a part of a large upload: what is held in memory. S3 takes 10,000 parts, so 160 GB.
BLOCK_SIZE = 16 * 1024 * 1024

#: Storage without folders. Making one there would make a bucket, out of a mistyped name.
OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl"})


def folder_at(destination: str | None, subfolder: str | None = None) -> ObjectStoragePath:
    """
    Return the folder to deliver to. Nothing is asked of the storage yet.

    :param destination: a path or URL such as ``s3://aws_default@bucket/shorts``. Empty: ``klap_shorts`` in Airflow's
        home on this machine.
    :param subfolder: one more level below it.
    :raises KlapInputError: the destination is a relative path, of a kind that is not known, or names a connection
        that Airflow does not have.
    """
    if not destination:
        home = os.environ.get("AIRFLOW_HOME") or os.path.expanduser("~/airflow")
        destination = f"file://{os.path.join(os.path.abspath(home), 'klap_shorts')}"
    if destination.startswith("/"):
        destination = f"file://{destination}"
    scheme, _, rest = destination.partition("://")
    if not rest or (scheme == "file" and not rest.startswith("/")):
        raise KlapInputError(
            f"destination is {destination!r}; it takes an absolute path or a URL such as s3://conn_id@bucket/path."
        )
    folder = path_at("destination", destination)
    return folder / subfolder if subfolder else folder


def path_at(field: str, url: str) -> ObjectStoragePath:
    """
    Return the place of a URL, with the file system that its connection leads to.

    :param field: the parameter that the URL comes from, for messages.
    :raises KlapInputError: the URL's scheme, or its connection, is none that Airflow has.
    """
    try:
        path = ObjectStoragePath(url)
        if path.conn_id:
            # The providers would go on without it, with whatever credentials the machine has.
            Connection.get(path.conn_id)
        path.fs  # noqa: B018  # resolves the scheme now, so that an unknown one is named here
    except AirflowNotFoundException as missing:
        raise KlapInputError(
            f"{field} is {url!r}, and there is no Airflow connection {path.conn_id!r}. Create it, or name another one "
            "before the @."
        ) from missing
    except (ValueError, ImportError) as unknown:
        raise KlapInputError(
            f"{field} is {url!r}: {unknown}. Install the Airflow provider of that storage, such as "
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
    try:
        yield
    except KlapError:
        raise
    except FileNotFoundError as missing:
        raise KlapStorageError(
            f"{field}: {url} is not there ({_said(missing)}). Check its bucket and path.", passing=paid
        ) from missing
    except PermissionError as refused:
        raise KlapStorageError(
            f"{field}: {url} was refused ({_said(refused)}). Check the credentials, and what they may do there.",
            passing=paid,
        ) from refused
    except Exception as failure:
        raise KlapStorageError(f"{field}: {url} failed ({_said(failure)}).", passing=True) from failure


def _said(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"[:300]


def asset_uri(destination: str | None) -> str:
    """Return a destination as the URI of an asset: without connection, in ASCII, and no longer than Airflow takes."""
    folder = folder_at(destination)
    return f"{folder.protocol}://{quote(folder.path.rstrip('/'))}"[:1500]


def check_destination(destination: str) -> None:
    """
    Deliver a tiny file to a destination and remove it, so that what delivery would fail with is known before.

    :raises KlapInputError: the destination makes no sense.
    :raises KlapStorageError: it cannot be written to.
    """
    probe = folder_at(destination) / f"klap-probe-{uuid.uuid4().hex}"
    with storage_faults("destination", destination):
        _make_folder(probe)
        with _moved_when_whole(probe) as sink:
            sink.write(b"Made by Airflow's Klap provider to see that it can write here, and removed at once.\n")
        probe.fs.rm_file(probe.path)


def size_of(path: ObjectStoragePath) -> int | None:
    """Return the size of a file in bytes, or None if it is not there."""
    try:
        return int(path.fs.info(path.path)["size"])
    except FileNotFoundError:
        return None


@contextmanager
def whole_file(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """
    Write a file that appears under its name only when the block ends well.

    The bytes go to ``.<name>.<random>.part`` beside it, which is moved at the end. What a killed earlier try left
    there is removed first, so that a try that is still alive, though given up by Airflow, fails at its own move.
    """
    _make_folder(path)
    _remove_leftovers(path)
    with _moved_when_whole(path) as sink:
        yield sink


def _make_folder(path: ObjectStoragePath) -> None:
    if path.protocol not in OBJECT_STORES:
        path.fs.makedirs(path.parent.path, exist_ok=True)


def _remove_leftovers(path: ObjectStoragePath) -> None:
    try:
        found = path.fs.ls(path.parent.path, detail=False)  # not glob: the folder's name may have special characters
    except FileNotFoundError:  # a folder of an object store, as long as nothing is in it
        return
    for leftover in found:
        name = leftover.rpartition("/")[2]
        if name.startswith(f".{path.name}.") and name.endswith(".part"):
            with contextlib.suppress(FileNotFoundError):
                path.fs.rm_file(leftover)


@contextmanager
def _moved_when_whole(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    fs, part = path.fs, f"{path.parent.path.rstrip('/')}/.{path.name}.{uuid.uuid4().hex[:8]}.part"
    sink = fs.open(part, "wb", block_size=BLOCK_SIZE)
    try:
        yield sink
        sink.close()
        if path.protocol in OBJECT_STORES:
            fs.cp_file(part, path.path)  # what mv does after it has asked, one by one, what the two are
            fs.rm_file(part)
        else:
            fs.mv(part, path.path)
    except BaseException:
        _give_up(sink)
        with contextlib.suppress(Exception):
            fs.rm_file(part)
        raise


def _give_up(sink: IO[bytes]) -> None:
    """Close a file that is not to be; that of an object store without sending and committing the rest of it."""
    with contextlib.suppress(Exception):
        sink.discard()  # type: ignore[attr-defined]  # those of fsspec's object stores have it
        sink.closed = True  # type: ignore[misc]  # or close would upload what discard threw away
    with contextlib.suppress(Exception):
        sink.close()
