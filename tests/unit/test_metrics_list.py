"""The docs list every metric, and every call counts under its own name."""

from __future__ import annotations

import inspect
import re

from klap_provider.api import calls
from klap_provider.telemetry import metrics


def test_every_metric_of_the_module_is_in_its_list() -> None:
    assert [each for each in vars(metrics).values() if isinstance(each, metrics.Metric)] == list(metrics.METRICS)


def test_every_call_is_named_for_the_function_that_makes_it() -> None:
    source = inspect.getsource(calls)
    assert re.findall(r"^def (\w+)\([^)]*\) -> Call\[", source, re.M) == re.findall(r'name="(\w+)"', source)
