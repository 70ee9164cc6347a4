"""Parsing of the header ``Range``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.ui.byte_ranges import Span, UnsatisfiableError, requested


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", Span(0, 100)),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-19", Span(10, 20)),
        ("bytes=90-999", Span(90, 100)),
        ("bytes=-10", Span(90, 100)),
        ("bytes=-999", Span(0, 100)),
        ("bytes = 5 - 9", Span(5, 10)),
    ],
)
def test_one_range_is_accepted(header: str, span: Span) -> None:
    assert requested(header, 100) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=9-5",
        "bytes=0-1,5-6",
        "lines=0-5",
        "bytes=a-b",
        "bytes=١-٢",
        f"bytes=0-{'9' * 5000}",
    ],
    ids=lambda header: str(header)[:20],
)
def test_an_unsupported_range_is_the_whole_file(header: str | None) -> None:
    assert requested(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_of_the_file_is_refused(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        requested(header, 100)


@given(st.text(), st.integers(0, 1000))
def test_any_range_stays_within_the_file(header: str, size: int) -> None:
    try:
        span = requested(f"bytes={header}", size)
    except UnsatisfiableError:
        return
    assert span is None or 0 <= span.start < span.end <= size
