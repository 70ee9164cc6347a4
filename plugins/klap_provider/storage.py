"""Files in a team's storage that appear whole or not at all, on anything Airflow's ``ObjectStoragePath`` reaches."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from airflow.sdk import ObjectStoragePath

from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def folder_at(destination: str | None, subfolder: str | None = None) -> ObjectStoragePath:
    """
    Return the folder to deliver to.

    :param destination: a path or URL such as ``s3://aws_default@bucket/shorts``. Empty: ``klap_shorts`` in Airflow's
        home on this machine.
    :param subfolder: one more level below it.
    :raises KlapInputError: the destination is a relative path or of a kind that is not known.
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
    try:
        folder = ObjectStoragePath(destination)
        folder.fs  # noqa: B018  # resolves the scheme now, so that an unknown one is named here
    except (ValueError, ImportError) as unknown:
        raise KlapInputError(
            f"destination is {destination!r}: {unknown}. Install the Airflow provider of that storage, such as "
            "apache-airflow-providers-amazon[s3fs] for s3."
        ) from unknown
    return folder / subfolder if subfolder else folder


@contextmanager
def whole_file(path: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """
    Write a file that appears under its name only when the block ends well.

    The bytes go to ``.<name>.<random>.part`` beside it, which is moved at the end. What a killed earlier try left
    there is removed first, so that a try that is still alive, though given up by Airflow, fails at its own move.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.iterdir():  # not glob: the folder's own name may have its special characters
        if leftover.name.startswith(f".{path.name}.") and leftover.name.endswith(".part"):
            leftover.unlink(missing_ok=True)
    part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        with part.open("wb") as sink:
            yield sink
        part.move(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
