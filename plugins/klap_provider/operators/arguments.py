"""Check arguments when a Dag is parsed, and read arguments that a template may have rendered as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Callable


def check_now(check: Callable[[], Any]) -> None:
    """Run a check in a constructor, and raise its error as ``ValueError``, as Airflow's operators do."""
    try:
        check()
    except KlapInputError as wrong:
        raise ValueError(str(wrong)) from None


def is_static(value: Any) -> bool:
    """Return whether a constructor argument is final: plain data, without templates or XComs."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, dict):
        return all(map(is_static, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_static, value))
    return value is None or isinstance(value, bool | int | float)


def rendered_number(value: Any) -> int | None:
    """Return a whole number that a template may have rendered as text; None for anything else."""
    try:
        return int(float(value or ""))
    except (TypeError, ValueError, OverflowError):
        return None


def rendered_score(value: Any) -> float | None:
    """Return a virality score that a template may have rendered as text; None if it is no number from 0 to 100."""
    try:
        score = float("" if value is None else value)
    except ValueError:
        return None
    return score if 0 <= score <= 100 else None


def rendered_ids(value: Any) -> list[str] | None:
    """Return ids that a template may have rendered as the text of a JSON list; None for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return [str(each) for each in value] if isinstance(value, list | tuple) else None
