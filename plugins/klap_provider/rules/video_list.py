"""Read lists of videos, find duplicates, and name the run of each video. Pure."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from klap_provider.api.addresses import canonical, repaired, youtube_id
from klap_provider.api.redaction import shown, writable
from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

URL = "source_video_url"

#: Maximum number of entries that an error message names.
NAMED = 20

#: Fields that do not change the request to Klap, so the run of a video with other values is the same run.
LABELS = (URL, "name", "destination", "reuse")

#: Values of a boolean field that can also be empty, for the default.
YES_OR_NO = {"yes": True, "no": False}

#: Separators of a CSV file, and the first line that tells spreadsheets which one is used.
SEPARATORS = (",", ";", "\t")
_SEPARATOR_HINT = re.compile(r"\"?sep=([,;\t])\"?[ ]*(?:\r\n?|\n)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")

_KINDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_RULES = {
    "minimum": "at least",
    "exclusiveMinimum": "greater than",
    "maximum": "at most",
    "multipleOf": "a multiple of",
    "minLength": "minimum length",
    "maxLength": "maximum length",
    "pattern": "matching",
}

SLUG_LENGTH = 40
LABEL_LENGTH = 100


@dataclass(frozen=True)
class Row:
    """
    An entry of a list.

    :param line: line in the list, from 1.
    :param source_video_url: address of the video.
    :param settings: values of form fields for this video alone.
    """

    line: int
    source_video_url: str
    settings: dict[str, Any] = field(default_factory=dict)


def read_lines(lines: Iterable[str]) -> list[Row]:
    """Return the entries of a list with one URL per line. Blank lines and lines that begin with ``#`` are ignored."""
    rows = (Row(number, repaired(line)) for number, line in enumerate(lines, 1))
    return [row for row in rows if row.source_video_url and not row.source_video_url.startswith("#")]


def read_csv(text: str, form: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """
    Return the entries of a CSV file with a header line and a column ``source_video_url`` or ``url``.

    Every other column has the name of a form field. A cell that is not empty overrides that field. Empty columns
    without a name are ignored, and so is a first line such as ``sep=;``, which tells spreadsheets the separator.

    :param text: cells separated by commas, semicolons or tabs.
    :param form: JSON schemas of the fields, by name.
    :raises KlapInputError: a column or a line is wrong; the message names it.
    """
    table = _table(text)
    columns: list[str] = []
    rows = []
    for number, line in _lines(table):
        cells = [cell.strip() for cell in line]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if not columns:
            columns = _columns(_without_empty_end(cells), form)
            continue
        if any(cell and (column >= len(columns) or not columns[column]) for column, cell in enumerate(cells)):
            raise KlapInputError(
                f"Nothing was started. Line {number} of the list has {len(_without_empty_end(cells))} cells, but the "
                f"header names {sum(map(bool, columns))} columns. Put cells that contain the separator into double "
                "quotes."
            )
        given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
        url = repaired(given.pop(URL, ""))
        settings = {name: _typed(cell, form[name], table.dialect.delimiter) for name, cell in given.items()}
        rows.append(Row(number, url, settings))
    return rows


def _lines(table: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file, each with its first line number, because a cell may span several lines."""
    try:
        number = table.line_num + 1
        for line in table:
            yield number, line
            number = table.line_num + 1
    except csv.Error as error:
        raise KlapInputError(f"Nothing was started. Line {table.line_num} of the list is not CSV: {error}.") from None


def _table(text: str) -> Any:
    """Return a reader for the rows of a CSV file."""
    text = text.lstrip("\ufeff")
    hint = _SEPARATOR_HINT.match(text)
    delimiter = hint[1] if hint else _delimiter(text)
    table = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True)
    if hint:
        next(table)
    return table


def _delimiter(text: str) -> str:
    """Return the separator with which the header has a column for the addresses; a comma if none has."""
    header = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    for delimiter in SEPARATORS:
        with contextlib.suppress(csv.Error):
            [cells] = csv.reader([header], delimiter=delimiter, skipinitialspace=True)
            if any(_is_url(cell.strip()) for cell in cells):
                return delimiter
    return SEPARATORS[0]


def _is_url(name: str) -> bool:
    return name.lower() in (URL, "url")


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def _columns(header: Sequence[str], form: Mapping[str, Any]) -> list[str]:
    """Return the field names of the columns. No error repeats the header, because the file may not be a list."""
    columns = [URL if _is_url(name) else name.lower() for name in header]
    if columns.count(URL) != 1:
        raise KlapInputError(f"Nothing was started. The header of the list needs one column {URL}.")
    if unknown := [str(number) for number, name in enumerate(columns, 1) if name and name not in form]:
        raise KlapInputError(
            f"Nothing was started. Column {', '.join(unknown)} of the list is not a field of the trigger form. The "
            f"fields are: {', '.join(form)}."
        )
    if twice := [name for number, name in enumerate(columns) if name and name in columns[:number]]:
        raise KlapInputError(f"Nothing was started. The header of the list has the column {twice[0]} twice.")
    return columns


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Return a description of the valid values of a field, for an error that does not repeat the given value."""
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    words = [" or ".join(_KINDS.get(kind, kind) for kind in types if kind != "null")]
    words += [f"{word} {schema[rule]}" for rule, word in _RULES.items() if rule in schema]
    if choices := [str(choice) for choice in schema.get("enum", []) if choice is not None]:
        words.append(f"one of {', '.join(choices[:NAMED])}{', …' if len(choices) > NAMED else ''}")
    return ", ".join(words)


def _typed(cell: str, schema: Mapping[str, Any], delimiter: str) -> Any:
    """
    Return the value of a cell: text if the field takes text, otherwise JSON such as ``true``, ``null`` or ``0.5``.

    ``0,5`` is a number, too, unless cells are separated by commas.
    """
    if "string" in schema.get("type", ()):
        return cell
    number = cell.replace(",", ".") if delimiter != "," and _DECIMAL_COMMA.fullmatch(cell) else cell
    try:
        return json.loads(number.lower())
    except (ValueError, RecursionError):
        return cell  # the validation of the field reports it


def set_fields(fields: Mapping[str, Any], form: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return the fields of a batch that are not empty. For the others, the defaults of the triggered Dag apply.

    :param form: JSON schemas of the triggered Dag's fields, by name.
    """
    return {
        name: YES_OR_NO.get(value, value) if form[name].get("type") == "boolean" and isinstance(value, str) else value
        for name, value in fields.items()
        if value not in (None, "")
    }


def run_id(url: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """
    Return the id of the run for a video and its settings, such as ``klap__my-talk__0f3a9c1b2d4e``.

    The same video with the same settings has the same run id in every list, so that it is not paid for twice. Only
    settings that differ from the defaults count, so that a new field in a later version changes no id. Name and
    destination do not count.

    :param settings: values of form fields, by name.
    :param defaults: defaults of the form, by name.
    """
    own = {name: _plain(value) for name, value in settings.items() if name not in LABELS}
    own = {name: value for name, value in own.items() if value != _plain(defaults.get(name))}
    identity = json.dumps([canonical(url), own], sort_keys=True)
    return f"klap__{_slug(url)}__{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _plain(value: Any) -> Any:
    """Return a value normalized: None and an empty text are the same, and so are 80 and 80.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value == "" else value


def _slug(url: str) -> str:
    """Return a readable name of the video, in the characters that Airflow allows in a run id."""
    url = repaired(url)
    name = youtube_id(url) or PurePosixPath(unquote(urlsplit(url).path)).stem
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", ascii_name)[:SLUG_LENGTH].strip("-") or "video"


def label(url: str, name: str | None = None) -> str:
    """Return a short label of the video: its name, or else its address without scheme and secrets."""
    if name:
        return writable(name)[:LABEL_LENGTH]
    if video := youtube_id(repaired(url)):
        return f"youtu.be/{video}"
    return writable(unquote(shown(url).partition("://")[2]))[:LABEL_LENGTH]
