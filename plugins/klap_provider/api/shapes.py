"""Shapes of clips. Pure."""

from __future__ import annotations

from klap_provider.errors import KlapInputError

#: Sizes by aspect ratio, in pixels.
ASPECT_RATIOS = {"9:16": (1080, 1920), "4:5": (1080, 1350), "1:1": (1080, 1080), "16:9": (1920, 1080)}


def size_of(aspect_ratio: str, *, width: int | None = None, height: int | None = None) -> dict[str, int]:
    """
    Return the fields of :class:`Dimensions` for a shape; where one side is given, the other one follows.

    :raises KlapInputError: there is no such aspect ratio.
    """
    if aspect_ratio not in ASPECT_RATIOS:
        known = ", ".join(ASPECT_RATIOS)
        raise KlapInputError(f"Nothing was sent to Klap. aspect_ratio is {aspect_ratio!r}; it takes one of {known}.")
    wide, high = ASPECT_RATIOS[aspect_ratio]
    if width is None:
        width = wide if height is None else 2 * round(height * wide / high / 2)
    if height is None:
        height = 2 * round(width * high / wide / 2)
    return {"width": width, "height": height}
