"""Calculate the size of a video from its aspect ratio. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klap_provider.errors import KlapInputError

#: Sizes by aspect ratio, in pixels.
ASPECT_RATIOS = {"9:16": (1080, 1920), "4:5": (1080, 1350), "1:1": (1080, 1080), "16:9": (1920, 1080)}


def size_of(aspect_ratio: Any, given: Any = None) -> Any:
    """
    Return the fields of :class:`~klap_provider.api.requests.Dimensions` for an aspect ratio.

    :param aspect_ratio: a key of :data:`ASPECT_RATIOS`.
    :param given: fields that are set already. From one side, the other one is calculated. Invalid values are returned
        unchanged, so that the model reports them.
    :raises KlapInputError: the aspect ratio is not supported.
    """
    if not isinstance(aspect_ratio, str) or aspect_ratio not in ASPECT_RATIOS:
        known = ", ".join(ASPECT_RATIOS)
        raise KlapInputError(f"Nothing was sent to Klap. aspect_ratio is {aspect_ratio!r}; it must be one of {known}.")
    if not isinstance(given or {}, Mapping):
        return given
    width, height = ASPECT_RATIOS[aspect_ratio]
    size = {"width": None, "height": None, **(given or {})}
    if size["width"] is None:
        size["width"] = width if size["height"] is None else _other_side(size["height"], width / height)
    if size["height"] is None:
        size["height"] = _other_side(size["width"], height / width)
    return size


def _other_side(side: Any, ratio: float) -> Any:
    """Return the other side as an even number; the given side unchanged if it is not a number."""
    try:
        return 2 * round(int(side) * ratio / 2)
    except (TypeError, ValueError, OverflowError):
        return side
