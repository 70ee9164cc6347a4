"""The size of a video by its aspect ratio."""

from __future__ import annotations

import pytest

from klap_provider.api.aspect_ratio import ASPECT_RATIOS, size_of
from klap_provider.api.requests import Dimensions, ShortsRequest, build_request
from klap_provider.errors import KlapInputError


@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_each_aspect_ratio_is_in_full_hd(aspect_ratio: str) -> None:
    size = size_of(aspect_ratio)
    wide, high = map(int, aspect_ratio.split(":"))
    assert size["width"] * high == size["height"] * wide
    assert min(size.values()) == 1080
    assert build_request(Dimensions, dict(size)).model_dump() == size


@pytest.mark.parametrize(
    ("aspect_ratio", "given", "size"),
    [
        ("9:16", {"width": 720}, {"width": 720, "height": 1280}),
        ("9:16", {"height": 480}, {"width": 270, "height": 480}),
        ("1:1", {"height": 240}, {"width": 240, "height": 240}),
        ("4:5", {"width": 100}, {"width": 100, "height": 124}),
        ("16:9", {"width": 100}, {"width": 100, "height": 56}),
        ("9:16", {"width": 640, "height": 360}, {"width": 640, "height": 360}),
    ],
)
def test_the_missing_side_is_calculated_and_even(
    aspect_ratio: str, given: dict[str, int], size: dict[str, int]
) -> None:
    assert size_of(aspect_ratio, given) == size
    assert all(side % 2 == 0 for side in size.values())


def test_an_invalid_aspect_ratio_is_named_with_the_valid_ones() -> None:
    with pytest.raises(KlapInputError, match=r"aspect_ratio is '3:2'; it must be one of 9:16, 4:5, 1:1, 16:9"):
        size_of("3:2")


@pytest.mark.parametrize("aspect_ratio", [["9:16"], {"9:16": 1}, 9, 0.5625, True])
def test_an_aspect_ratio_that_is_not_a_text_is_refused(aspect_ratio: object) -> None:
    with pytest.raises(KlapInputError, match="it must be one of"):
        size_of(aspect_ratio)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"height": [1]}, "dimensions.height"),
        ({"width": "wide"}, "dimensions.width"),
        ({"width": float("inf")}, "dimensions.width"),
        ({"height": float("nan")}, "dimensions.height"),
        ({"wdith": 720}, "dimensions.wdith"),
        ("720p", "dimensions"),
        ([720, 1280], "dimensions"),
    ],
)
def test_an_invalid_size_is_named(given: object, names: str) -> None:
    video = {"source_video_url": "https://a.example/v.mp4", "dimensions": size_of("9:16", given)}
    with pytest.raises(KlapInputError, match=names):
        build_request(ShortsRequest, video)


def test_a_side_may_be_a_number_as_text() -> None:
    assert size_of("9:16", {"width": "720"})["height"] == 1280
    assert size_of("9:16", {"height": 480.0})["width"] == 270
