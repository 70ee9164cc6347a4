"""Marks tests that reproduce a defect of Airflow. ``docs/evidence/upstream.md`` is made from them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from airflow import __version__
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Callable

#: The oldest supported version.
OLDEST = "3.3.0"


@dataclass(frozen=True)
class Defect:
    """
    A defect of Airflow.

    :param workaround: full name of the function or class that works around it. None: nothing does.
    :param issue: number of the issue at apache/airflow. None: not reported.
    :param since: the oldest supported version that has it.
    :param fixed_in: the oldest known version that does not have it. None: no version is known.
    """

    workaround: str | None
    issue: int | None = None
    since: str = OLDEST
    fixed_in: str | None = None

    def is_in(self, version: str) -> bool:
        """Return whether a version has the defect."""
        until = self.fixed_in
        return Version(self.since) <= Version(version) and (until is None or Version(version) < Version(until))


def defect(workaround: str | None, **facts: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test whose assertions hold if Airflow has the defect. The parameters are those of :class:`Defect`."""
    marked = Defect(workaround, **facts)

    def decorate(reproduce: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(reproduce)
        def test(*args: Any, **kwargs: Any) -> None:
            is_expected = marked.is_in(__version__)
            if Version(__version__) < Version(marked.since):
                pytest.skip("this version is older than the defect, and its private names may differ")
            try:
                reproduce(*args, **kwargs)
            except AssertionError as difference:
                if is_expected:
                    pytest.fail(
                        f"Airflow {__version__} no longer has this defect: set fixed_in, and if no supported version "
                        f"has it, remove the workaround {workaround}\n{difference}"
                    )
            else:
                if not is_expected:
                    pytest.fail(f"Airflow {__version__} has this defect: correct since or fixed_in")

        test.defect = marked  # type: ignore[attr-defined]  # functions take attributes
        return test

    return decorate
