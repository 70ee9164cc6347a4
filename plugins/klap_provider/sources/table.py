"""A table of a database as a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from klap_provider.errors import KlapInputError
from klap_provider.rules.source_runs import Item
from klap_provider.rules.video_list import URL
from klap_provider.sources.items import seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A named value in the statement that reports a run.
_NAMED = re.compile(r"(?<!:):([a-z_]+)")

#: Values that a statement can write to the table.
REPORTED = ("key", "status", "run_id", "error", "cost", "links", "shorts")


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """
    The rows of a query. Each row is an item. A scheduled task checks them.

    :param conn_id: id of the Airflow connection of a database.
    :param query: SQL that selects the rows, the newest first if there is no ``published``.
    :param key: column with an id that never changes. Default ``id``.
    :param address: column with the address of the video. Default ``source_video_url``. Each further column is a form
        field of the run, unless it is empty.
    :param published: column with the time of a row. Default: none.
    :param title: column with a title that the UI shows. Default: none.
    :param report: SQL that writes the result of a run to the database, with the named values ``:key``, ``:status``
        (the run's state), ``:run_id``, ``:error``, ``:cost`` (US dollars), ``:links`` (paths of the shorts, one per
        line) and ``:shorts`` (how many were delivered). Default: nothing is written.
    """

    conn_id: str
    query: str
    key: str = "id"
    address: str = URL
    published: str | None = None
    title: str | None = None
    report: str | None = None

    def __post_init__(self) -> None:
        if unknown := set(_NAMED.findall(self.report or "")) - set(REPORTED):
            raise ValueError(f"report has the unknown value {', '.join(unknown)}; there are: {', '.join(REPORTED)}.")

    @property
    def reports(self) -> bool:
        """Whether the source is told what becomes of the runs."""
        return self.report is not None

    def list(self) -> list[Item]:
        """Return an item for each row that the query selects."""
        names, rows = self._hook().run(self.query, handler=_rows_with_names)
        if missing := {self.key, self.address, self.published, self.title} - {None, *names}:
            raise KlapInputError(
                f"The query of the source has no column {', '.join(sorted(map(str, missing)))}. It has: "
                f"{', '.join(names)}."
            )
        found = (dict(zip(names, row, strict=True)) for row in rows)
        return [self._item(row) for row in found if row[self.key] is not None]

    def tell(self, origin: Any, result: Mapping[str, Any]) -> None:
        """Write the result of a run to the database."""
        hook, values = self._hook(), {"key": origin, **result}
        names = _NAMED.findall(self.report or "")
        statement = _NAMED.sub(lambda _: hook.placeholder, self.report or "")
        hook.run(statement, autocommit=True, parameters=tuple(values.get(name) for name in names))

    def _item(self, row: dict[str, Any]) -> Item:
        key, address = row.pop(self.key), row.pop(self.address)
        title = row.pop(self.title) if self.title else None
        try:
            published = seconds_of(row.pop(self.published)) if self.published else None
            fields = {name: _plain(value) for name, value in row.items() if value not in (None, "")}
        except (ValueError, ArithmeticError) as wrong:  # it must not hold up the other rows
            return Item(id=str(key), title=str(title or address), waits=f"a value of its row is wrong: {wrong}")
        return Item(
            id=str(key),
            conf={URL: address, **fields},
            title=str(title or fields.get("name") or address),
            published=published,
            waits=None if address else "it has no address yet",
            origin=key if isinstance(key, int) else str(key),
        )

    def _hook(self) -> Any:
        return BaseHook.get_hook(self.conn_id)


def _rows_with_names(cursor: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    return [column[0] for column in cursor.description], cursor.fetchall()


def _plain(value: Any) -> Any:
    """Return the value of a column as JSON."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value if isinstance(value, str | int | float | bool) else str(value)
