"""Shapes of clips. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klap_provider.errors import KlapInputError

#: Sizes by aspect ratio, in pixels.
ASPECT_RATIOS = {"9:16": (1080, 1920), "4:5": (1080, 1350), "1:1": (1080, 1080), "16:9": (1920, 1080)}


def size_of(aspect_ratio: Any, given: Any = None) -> Any:
    """
    Return the fields of :class:`Dimensions` for a shape.

    :param given: those that are known; where it is one side, the other one follows. What is no size is returned as it
        is, for the model to refuse.
    :raises KlapInputError: there is no such aspect ratio.
    """
    if not isinstance(aspect_ratio, str) or aspect_ratio not in ASPECT_RATIOS:
        known = ", ".join(ASPECT_RATIOS)
        raise KlapInputError(f"Nothing was sent to Klap. aspect_ratio is {aspect_ratio!r}; it takes one of {known}.")
    if not isinstance(given or {}, Mapping):
        return given
    wide, high = ASPECT_RATIOS[aspect_ratio]
    size = {"width": None, "height": None, **(given or {})}
    if size["width"] is None:
        size["width"] = wide if size["height"] is None else _beside(size["height"], wide / high)
    if size["height"] is None:
        size["height"] = _beside(size["width"], high / wide)
    return size


def _beside(side: Any, ratio: float) -> Any:
    """Return the even side that goes with another one; that one itself where it is no number."""
    try:
        return 2 * round(int(side) * ratio / 2)
    except (TypeError, ValueError, OverflowError):
        return side
