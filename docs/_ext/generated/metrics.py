"""The metrics and their tags."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from generated.markdown import code, markdown_table, require_same, table
from klap_provider.api import calls
from klap_provider.rules.cost import Prices
from klap_provider.rules.job_targets import ExportTarget, TaskTarget
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping


@table
def metrics_list(described: Mapping[str, str]) -> str:
    """Every metric, and when it is sent."""
    require_same(described, [each.name for each in metrics.METRICS])
    rows = [
        [code(each.name), each.kind, each.unit, ", ".join(map(code, each.tags)), described[each.name]]
        for each in metrics.METRICS
    ]
    return markdown_table(("name", "type", "unit", "tags", "sent when"), rows)


@table
def metrics_tags(described: Mapping[str, str]) -> str:
    """Every tag with its values."""
    endpoints = [
        name
        for name, made in inspect.getmembers(calls, inspect.isfunction)
        if "Call[" in str(made.__annotations__.get("return"))
    ]
    values = {
        "endpoint": [*endpoints, "other"],
        "status": ["200", "404", "none", "…"],
        "job": [TaskTarget.job, ExportTarget.job],
        "item": [name for name in Prices._fields if name != "estimated"],
    }
    require_same(described, list(dict.fromkeys(tag for metric in metrics.METRICS for tag in metric.tags)))
    rows = [[code(tag), described[tag], ", ".join(map(code, values[tag]))] for tag in described]
    return markdown_table(("tag", "meaning", "values"), rows)
