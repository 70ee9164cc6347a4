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
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from klap_provider.api.addresses import canonical, repaired, youtube_id
from klap_provider.api.redaction import shown, writable
from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

URL = "source_video_url"

#: Maximum number of entries that an error message names.
NAMED = 20

#: Fields that do not change the request to Klap, so the run of a video with other values is the same run.
LABELS = (URL, "name", "destination", "reuse")

#: Values of a boolean field that can also be empty, for the default.
YES_OR_NO = {"yes": True, "no": False}

#: Separators of a CSV file.
SEPARATORS = (",", ";", "\t")

#: Rules of a JSON schema that an error names.
_RULES = ("minimum", "exclusiveMinimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern")

SLUG_LENGTH = 40
LABEL_LENGTH = 100


@dataclass(frozen=True)
class Row:
    """An entry of a list: its line (from 1), the video, and the values of form fields for this video alone."""

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

    Every other column has the name of a form field. A cell that is not empty overrides that field.

    :param text: cells separated by commas, semicolons or tabs.
    :param form: JSON schemas of the fields, by name.
    :raises KlapInputError: a column or a line is wrong; the message names it.
    """
    text = text.lstrip("\ufeff")
    table = csv.reader(io.StringIO(text, newline=None), delimiter=_delimiter(text), skipinitialspace=True)
    columns: list[str] = []
    rows = []
    try:
        for line in table:
            cells = [cell.strip() for cell in line]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if columns:
                rows.append(_row(table.line_num, columns, cells, form))
            else:
                columns = _columns(cells, form)
    except csv.Error as error:
        raise KlapInputError(f"Nothing was started. Line {table.line_num} of the list is not CSV: {error}.") from None
    return rows


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


def _row(number: int, columns: Sequence[str], cells: Sequence[str], form: Mapping[str, Mapping[str, Any]]) -> Row:
    given = {name: cell for name, cell in zip_longest(columns, cells, fillvalue="") if cell}
    if "" in given:
        raise KlapInputError(
            f"Nothing was started. Line {number} of the list has a cell in a column without a name. Put cells that "
            "contain the separator into double quotes."
        )
    url = repaired(given.pop(URL, ""))
    return Row(number, url, {name: _typed(cell, form[name]) for name, cell in given.items()})


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Return a description of the valid values of a field, for an error that does not repeat the given value."""
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    words = [" or ".join(kind for kind in types if kind != "null")]
    words += [f"{rule} {schema[rule]}" for rule in _RULES if rule in schema]
    if choices := [str(choice) for choice in schema.get("enum", []) if choice is not None]:
        words.append(f"one of {', '.join(choices[:NAMED])}{', …' if len(choices) > NAMED else ''}")
    return ", ".join(words)


def _typed(cell: str, schema: Mapping[str, Any]) -> Any:
    """Return the value of a cell: text if the field takes text, otherwise JSON such as ``true`` or ``0.5``."""
    if "string" in schema.get("type", ()):
        return cell
    try:
        return json.loads(cell.lower())
    except (ValueError, RecursionError):
        return cell  # the validation of the field reports it


def set_fields(fields: Mapping[str, Any], form: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of a batch that are not empty. For the others, the defaults of the triggered Dag apply."""
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
