"""The page about metrics and the code name the same."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from klap_provider.api import calls
from klap_provider.rules.cost import Prices
from klap_provider.rules.polling import ExportTarget, TaskTarget
from klap_provider.telemetry import metrics

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table with this first column's name."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_page_has_every_metric_and_no_other_and_says_of_each_what_it_is() -> None:
    told = [
        metrics.Metric(words(name)[0], kind, unit, tuple(words(tags))) for name, kind, unit, tags, _ in rows("name")
    ]
    assert told == list(metrics.METRICS)
    assert all(when for *_, when in rows("name"))


def test_every_metric_of_the_module_is_in_its_list() -> None:
    assert [each for each in vars(metrics).values() if isinstance(each, metrics.Metric)] == list(metrics.METRICS)


def test_the_page_has_every_tag_with_its_values() -> None:
    told = {words(tag)[0]: words(values) for tag, values in rows("tag")}
    assert list(told) == list(dict.fromkeys(tag for metric in metrics.METRICS for tag in metric.tags))
    endpoints = [
        name
        for name, made in inspect.getmembers(calls, inspect.isfunction)
        if "Call[" in str(made.__annotations__.get("return"))
    ]
    assert sorted(told["endpoint"]) == sorted([*endpoints, "other"])
    assert told["job"] == [TaskTarget.job, ExportTarget.job]
    assert told["item"] == [name for name in Prices._fields if name != "second_hand"]


def test_every_call_is_named_for_the_function_that_makes_it() -> None:
    source = inspect.getsource(calls)
    assert re.findall(r"^def (\w+)\([^)]*\) -> Call\[", source, re.M) == re.findall(r'name="(\w+)"', source)
