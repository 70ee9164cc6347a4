"""
The tasks of the Dags that archive, export and restore the ledger.

An archive is written completely before its rows are removed, and the next one is written after that. So only rows of
the last archive can still be in the ledger. The next try removes them first: nothing is lost or archived twice.
Before rows are restored, an empty archive becomes the last one, so that restored rows are not removed.
"""

from __future__ import annotations

import calendar
import logging
import re
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from klap_provider.errors import KlapError, KlapInputError
from klap_provider.files.destination import resolve_destination
from klap_provider.files.storage import atomic_file, folder_at, storage_errors
from klap_provider.hooks.airflow_api import AirflowApi
from klap_provider.operators.base import writer_of
from klap_provider.rules.retention import header, rows_in, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: Folder of the archives, below the destination.
FOLDER = "klap_ledger"
#: Number of rows in an archive.
ROWS_PER_FILE = 10_000
ARCHIVE = re.compile(r"archive-(\d{6})(\.restored)?\.jsonl")


def archive(
    destination: str | None,
    conn_id: str,
    klap_conn_id: str,
    older_than: timedelta,
    forget_after: timedelta | None,
    **context: Any,
) -> dict[str, Any]:
    """Write the rows that nothing needs any more to archives, and remove them from the ledger."""
    now, api = datetime.now(timezone.utc), AirflowApi(conn_id)
    folder = _folder(destination, klap_conn_id)
    which = {"before": (now - older_than).isoformat(), "limit": ROWS_PER_FILE}
    if forget_after is not None:
        which["forget_before"] = (now - forget_after).isoformat()
    with storage_errors("destination", str(folder)):
        files = sorted(filter(ARCHIVE.fullmatch, _names(folder)))
        if files:
            _delete(api, _read(folder / files[-1]))
        number, count, written = (int(files[-1][8:14]) if files else 0), 0, []
        while lines := api.get("ledger/unneeded", **which):
            number += 1
            path = folder / f"archive-{number:06d}.jsonl"
            _write(path, context, [header("archive", now.isoformat()).encode(), lines.encode()])
            written.append(path.name)
            log.info("Wrote %s", path)
            if not (deleted := _delete(api, lines.splitlines())):
                raise KlapError(f"{path} was written, but its rows were not removed. See the log of the API server.")
            count += deleted
    log.info("Moved %d rows of the ledger to %s", count, folder)
    return {"folder": str(folder), "files": written, "rows": count}


def export(destination: str | None, conn_id: str, klap_conn_id: str, **context: Any) -> dict[str, Any]:
    """Write the whole ledger, or its payments, to a file."""
    params, api = context["params"], AirflowApi(conn_id)
    now = datetime.now(timezone.utc)
    folder = _folder(destination, klap_conn_id)
    kind, month, dag = params["format"], params["month"], params["dag"]
    with storage_errors("destination", str(folder)):
        if kind == "archive":
            if month or dag:
                raise KlapInputError(
                    "An archive has the whole ledger. Leave month and dag empty, or choose csv or jsonl."
                )
            path = folder / f"export-{now:%Y-%m-%dT%H%M%SZ}.jsonl"
            _write(path, context, chain([header("export", now.isoformat()).encode()], api.every_row()))
        else:
            name = "-".join(filter(None, ("payments", month or "all", dag)))
            path = folder / f"{name}.{kind}"
            query = {"format": kind, **_days(month), **({"dag_id": dag} if dag else {})}
            _write(path, context, api.stream("payments/export", **query))
    log.info("Wrote %s", path)
    return {"file": str(path)}


def restore(destination: str | None, conn_id: str, klap_conn_id: str, **context: Any) -> dict[str, Any]:
    """Write the rows of all archives and exports that are not in the ledger."""
    api, folder = AirflowApi(conn_id), _folder(destination, klap_conn_id)
    with storage_errors("destination", str(folder)):
        names = [name for name in _names(folder) if re.fullmatch(r"(archive|export)-.*\.jsonl", name)]
        if not names:
            raise KlapInputError(f"{folder} has no file archive-….jsonl or export-….jsonl.")
        # The newest first: of a row that is in several files, the newest version counts.
        names.sort(key=lambda name: (time_of(next(iter(_read(folder / name)), "")), name), reverse=True)
        if archives := sorted(filter(ARCHIVE.fullmatch, names)):
            path = folder / f"{archives[-1][:14]}.restored.jsonl"
            _write(path, context, [header("archive", datetime.now(timezone.utc).isoformat()).encode()])
        restored = {name: api.post("ledger/restore", rows_in(_read(folder / name))) for name in names}
    log.info("Restored %d rows of the ledger", sum(restored.values()))
    return {"folder": str(folder), "files": restored}


def _folder(destination: str | None, klap_conn_id: str) -> ObjectStoragePath:
    if destination is None:
        from klap_provider.hooks.lookup import get_connection

        destination = get_connection(klap_conn_id).destination
    return folder_at(resolve_destination(destination, klap_conn_id=klap_conn_id), FOLDER)


def _names(folder: ObjectStoragePath) -> list[str]:
    try:
        return [path.rpartition("/")[2] for path in folder.fs.ls(folder.path, detail=False)]
    except FileNotFoundError:
        return []


def _read(path: ObjectStoragePath) -> Iterable[str]:
    with path.fs.open(path.path, "rb") as opened:
        for line in opened:
            yield line.decode()


def _write(path: ObjectStoragePath, context: Any, parts: Iterable[bytes]) -> None:
    with atomic_file(path, writer_of(context)) as sink:
        for part in parts:
            sink.write(part)


def _delete(api: AirflowApi, lines: Iterable[str]) -> int:
    return api.post("ledger/delete", rows_in(lines))


def _days(month: str | None) -> dict[str, str]:
    if not month:
        return {"since": "0001-01-01"}
    _, last = calendar.monthrange(int(month[:4]), int(month[5:]))
    return {"since": f"{month}-01", "until": f"{month}-{last:02d}"}
