"""Lists of videos: what is in one, which entries are the same video, and what the run of one is called. Pure."""

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

#: How many entries an error message names.
NAMED = 20

#: Fields that change nothing about what Klap is asked to make, and so do not make another run of the same video.
LABELS = (URL, "name", "destination", "reuse")

#: What a form that is empty for "as it is" has for a switch.
YES_OR_NO = {"yes": True, "no": False}

#: What may separate the cells of a table, and how its first line may tell spreadsheets which of them does.
SEPARATORS = (",", ";", "\t")
_SEPARATOR_HINT = re.compile(r"\"?sep=([,;\t])\"?[ ]*(?:\r\n?|\n)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")

_KINDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_RULES = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "multipleOf": "a multiple of",
    "minLength": "characters from",
    "maxLength": "characters up to",
    "pattern": "of the form",
}

SLUG_LENGTH = 40
LABEL_LENGTH = 100


@dataclass(frozen=True)
class Row:
    """
    One entry of a list.

    :param line: its line in the list, from 1.
    :param source_video_url: the video.
    :param settings: fields of the trigger form that are this video's own.
    """

    line: int
    source_video_url: str
    settings: dict[str, Any] = field(default_factory=dict)


def read_lines(lines: Iterable[str]) -> list[Row]:
    """Return the entries of a list with one URL per line; blank lines and those that begin with ``#`` do not count."""
    rows = (Row(number, repaired(line)) for number, line in enumerate(lines, 1))
    return [row for row in rows if row.source_video_url and not row.source_video_url.startswith("#")]


def read_csv(text: str, form: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """
    Return the entries of a table with a header line and a column ``source_video_url``, or ``url``.

    Every other column is named like a field of the trigger form, and overrides it where a cell is not empty. Empty
    columns without a name do not count, nor does a first line such as ``sep=;``, which tells spreadsheets the
    separator.

    :param text: cells separated by a comma, a semicolon or a tab.
    :param form: JSON schemas of the fields, by name.
    :raises KlapInputError: names the column or the line that cannot be right.
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
        if any(cell and (place >= len(columns) or not columns[place]) for place, cell in enumerate(cells)):
            raise KlapInputError(
                f"Nothing was started. Line {number} has {len(_without_empty_end(cells))} cells, and not all of them "
                f"are below one of the {sum(map(bool, columns))} names in the header. Put a cell with the separator in "
                "it into double quotes."
            )
        given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
        url = repaired(given.pop(URL, ""))
        settings = {name: _typed(cell, form[name], table.dialect.delimiter) for name, cell in given.items()}
        rows.append(Row(number, url, settings))
    return rows


def _lines(table: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a table, each with the number of its first one in the text: a cell may have several."""
    try:
        number = table.line_num + 1
        for line in table:
            yield number, line
            number = table.line_num + 1
    except csv.Error as odd:
        raise KlapInputError(f"Nothing was started. Line {table.line_num} is none of a table: {odd}.") from None


def _table(text: str) -> Any:
    """Return a reader for the lines of a table."""
    text = text.lstrip("\ufeff")
    hint = _SEPARATOR_HINT.match(text)
    delimiter = hint[1] if hint else _delimiter(text)
    table = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True)
    if hint:
        next(table)
    return table


def _delimiter(text: str) -> str:
    """Return the separator by which the header of a table has a column for the addresses; a comma if none has."""
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
    """Return the fields that the columns are. No error says what they are called: it may be no list at all."""
    columns = [URL if _is_url(name) else name.lower() for name in header]
    if columns.count(URL) != 1:
        raise KlapInputError(f"Nothing was started. The header of the list needs one column {URL}.")
    if unknown := [str(place) for place, name in enumerate(columns, 1) if name and name not in form]:
        raise KlapInputError(
            f"Nothing was started. Column {', '.join(unknown)} of the list is called like no field of the trigger "
            f"form. There are: {', '.join(form)}."
        )
    if twice := [name for place, name in enumerate(columns) if name and name in columns[:place]]:
        raise KlapInputError(f"Nothing was started. The header of the list has a column twice: {twice[0]}.")
    return columns


def takes(schema: Mapping[str, Any]) -> str:
    """Return what a field takes, for an error that does not say what it was given."""
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    words = [" or ".join(_KINDS.get(kind, kind) for kind in types if kind != "null")]
    words += [f"{word} {schema[rule]}" for rule, word in _RULES.items() if rule in schema]
    if choices := [str(choice) for choice in schema.get("enum", []) if choice is not None]:
        words.append(f"one of {', '.join(choices[:NAMED])}{', …' if len(choices) > NAMED else ''}")
    return ", ".join(words)


def _typed(cell: str, schema: Mapping[str, Any], delimiter: str) -> Any:
    """
    Return a cell as text where the field takes text, and else as what it is in JSON: ``true``, ``null``, ``0.5``.

    Where the cells are not separated by commas, ``0,5`` is a number, too.
    """
    if "string" in schema.get("type", ()):
        return cell
    number = cell.replace(",", ".") if delimiter != "," and _DECIMAL_COMMA.fullmatch(cell) else cell
    try:
        return json.loads(number.lower())
    except (ValueError, RecursionError):
        return cell  # for the field's own check to name


def set_fields(fields: Mapping[str, Any], form: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return what was set of the fields of a batch; those that are empty leave the default of the DAG that makes the runs.

    :param form: JSON schemas of that DAG's fields, by name.
    """
    return {
        name: YES_OR_NO.get(value, value) if form[name].get("type") == "boolean" and isinstance(value, str) else value
        for name, value in fields.items()
        if value not in (None, "")
    }


def run_id(url: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """
    Return the id of the run for a video and its settings, such as ``klap__my-talk__0f3a9c1b2d4e``.

    The same video with the same settings is the same run, in whatever list and whenever: so a run that is there is
    found, and not paid for again. Its settings are those that differ from the defaults, so that a field that a later
    version adds changes no id; name and destination do not count.

    :param settings: fields of the trigger form, by name.
    :param defaults: what the form itself sets, by name.
    """
    own = {name: _plain(value) for name, value in settings.items() if name not in LABELS}
    own = {name: value for name, value in own.items() if value != _plain(defaults.get(name))}
    identity = json.dumps([canonical(url), own], sort_keys=True)
    return f"klap__{_slug(url)}__{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _plain(value: Any) -> Any:
    """Return what a value means: the form makes no difference between nothing and empty, nor between 80 and 80.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value == "" else value


def _slug(url: str) -> str:
    """Return what a run is recognised by, in the characters that Airflow allows in the id of a run."""
    url = repaired(url)
    name = youtube_id(url) or PurePosixPath(unquote(urlsplit(url).path)).stem
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", ascii_name)[:SLUG_LENGTH].strip("-") or "video"


def label(url: str, name: str | None = None) -> str:
    """Return what a person knows the video by: its name, or its address without what only machines read."""
    if name:
        return writable(name)[:LABEL_LENGTH]
    if video := youtube_id(repaired(url)):
        return f"youtu.be/{video}"
    return writable(unquote(shown(url).partition("://")[2]))[:LABEL_LENGTH]
