"""Every call has its own metric name."""

from __future__ import annotations

import inspect
import re

from klap_provider.api import calls


def test_every_call_is_named_for_the_function_that_makes_it() -> None:
    source = inspect.getsource(calls)
    assert re.findall(r"^def (\w+)\([^)]*\) -> Call\[", source, re.M) == re.findall(r'name="(\w+)"', source)
