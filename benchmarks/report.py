"""Results of benchmarks, written to ``results.md`` and to the tables in ``docs/evidence/performance.md``."""

from __future__ import annotations

import os
import platform
import re
import statistics
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HERE = Path(__file__).parent
GUIDE = HERE.parent / "docs" / "evidence" / "performance.md"

#: Packages that affect the figures.
PACKAGES = (
    "apache-airflow",
    "apache-airflow-providers-http",
    "apache-airflow-providers-dbt-cloud",
    "aiohttp",
    "requests",
    "pydantic",
)


@dataclass(frozen=True)
class Report:
    """
    Output of a command.

    :param command: the command line.
    :param results: the file with all results.
    :param prefix: prefix of its markers in the guide for machine and bars.
    """

    command: str
    results: Path
    prefix: str = ""


BENCH = Report("make bench", HERE / "results.md")
SCALE = Report("make bench-scale", HERE / "scale.md", "scale-")


@dataclass(frozen=True)
class Bar:
    """
    A figure and its target.

    :param what: name of the figure.
    :param figure: the measured value.
    :param limit: the maximum, or the minimum.
    :param unit: unit of both.
    :param at_least: the limit is a minimum.
    """

    what: str
    figure: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Section:
    """
    Results of a benchmark.

    :param name: its name on the command line and in the markers of ``docs/evidence/performance.md``.
    :param method: how it was measured.
    :param plots: SVG by file name.
    :param further: further tables.
    """

    name: str
    title: str
    method: str
    table: Table
    bars: Sequence[Bar]
    plots: dict[str, str] = field(default_factory=dict)
    further: Sequence[Table] = ()

    def tables_and_plots(self) -> str:
        """Return tables and plots."""
        tables = map(str, [self.table, *self.further])
        return "\n\n".join([*tables, *(f"![{self.title}](../../benchmarks/{file})" for file in self.plots)])

    def __str__(self) -> str:
        return "\n\n".join([f"## {self.title}", self.method, *map(str, [self.table, *self.further])]) + "\n"


def number(value: float) -> str:
    """Return a figure with at least three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Iterable[float]) -> str:
    """Return the median, and the minimum and maximum in brackets."""
    found = sorted(values)
    if len(found) == 1:
        return number(found[0])
    return f"{number(statistics.median(found))} ({number(found[0])}–{number(found[-1])})"


def bars_table(sections: Sequence[Section]) -> Table:
    """Return all figures with their targets."""
    rows = []
    for bar in (bar for section in sections for bar in section.bars):
        limit = f"{'at least' if bar.at_least else 'at most'} {number(bar.limit)}{bar.unit}"
        verdict = "met" if bar.met else "**not met**"
        rows.append([bar.what, f"{number(bar.figure)}{bar.unit}", limit, verdict])
    return Table(("what", "figure", "target", ""), rows)


def machine() -> str:
    """Return a description of the machine and the packages."""
    about = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", about.read_text()) if about.exists() else None
    versions = ", ".join(f"{package.removeprefix('apache-')} {version(package)}" for package in PACKAGES)
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {psutil.cpu_count()} cores "
        f"({model[1] if model else platform.processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} at the end, "
        f"Python {platform.python_version()}, {versions}."
    )


def write(report: Report, sections: Sequence[Section], minutes: float) -> None:
    """Write the results, the plots and the tables of the guide."""
    bars = bars_table(sections)
    report.results.write_text(
        f"# Results\n\nWritten by `{report.command}` and explained in "
        "[docs/evidence/performance.md](../docs/evidence/performance.md). Figures are medians, with the minimum and "
        "maximum of all rounds in brackets. Contenders alternate.\n\n"
        f"{machine()} It took {minutes:.0f} minutes.\n\n## Targets\n\n{bars}\n\n" + "\n".join(map(str, sections))
    )
    guide = {f"{report.prefix}machine": machine(), f"{report.prefix}bars": str(bars)}
    write_guide({**guide, **{section.name: section.tables_and_plots() for section in sections}})
    write_plots(sections)


def update(report: Report, sections: Sequence[Section]) -> None:
    """Replace these sections and their targets in the results and in the guide, and keep all others."""
    results = report.results.read_text()
    note = f"Measured separately from the other sections: {machine()}"
    for section in sections:
        before, title, rest = results.partition(f"## {section.title}\n")
        _, following, after = rest.partition("\n## ")
        results = before + (f"{section}\n{note}\n{following}{after}" if title else f"{section}\n{note}\n")
        write_guide({section.name: f"{section.tables_and_plots()}\n\n{note}"})
    before, _, rest = results.partition("## Targets\n\n")
    old, _, after = rest.partition("\n\n")
    bars = with_rows(old, bars_table(sections))
    report.results.write_text(f"{before}## Targets\n\n{bars}\n\n{after}")
    write_guide({f"{report.prefix}bars": bars})
    write_plots(sections)


def with_rows(table: str, rows: Table) -> str:
    """Return a table with these rows. Each replaces the one of the same name. New ones follow the last of these."""
    lines, names = table.splitlines(), [row[0] for row in rows.rows]
    places = [at for at, line in enumerate(lines) if line.split(" | ")[0].removeprefix("| ") in names]
    at = places[-1] + 1 if places else len(lines)
    kept_before = [line for number, line in enumerate(lines[:at]) if number not in places]
    return "\n".join([*kept_before, *str(rows).splitlines()[2:], *lines[at:]])


def write_guide(texts: Mapping[str, str]) -> None:
    """Replace texts in the guide, by the name of their marker."""
    guide = GUIDE.read_text()
    for name, text in texts.items():
        before, marker, rest = guide.partition(f"<!-- bench: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        guide = f"{before}{marker}{text}\n{end}{after}"
    GUIDE.write_text(guide)


def write_plots(sections: Sequence[Section]) -> None:
    """Write the plots of these sections."""
    for section in sections:
        for file, svg in section.plots.items():
            (HERE / file).write_text(svg)
