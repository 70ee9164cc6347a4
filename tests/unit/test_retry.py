"""Which failed requests are sent again, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.errors import (
    KlapAuthError,
    KlapConfigError,
    KlapConnectionError,
    KlapCreditsError,
    KlapError,
    KlapInputError,
    KlapInvalidResponseError,
    KlapNoResponseError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapServerError,
)
from klap_provider.rules.retry import ONCE, Backoff, next_attempt_in

FAILURES: list[tuple[KlapError, bool, bool]] = [
    # the error, whether a GET is retried, and whether a POST is
    (KlapConnectionError("x"), True, True),
    (KlapNoResponseError("x"), True, False),
    (KlapRateLimitError("x", status=429), True, True),
    (KlapRateLimitError("x", status=429, retry_after=2), True, True),
    (KlapServerError("x", status=500), True, False),
    (KlapServerError("x", status=502, retry_after=2), True, False),
    (KlapServerError("x", status=503), True, False),
    (KlapServerError("x", status=503, retry_after=2), True, True),
    (KlapServerError("x", status=503, retry_after=0), True, True),
    (KlapInvalidResponseError("x", status=200), True, False),
    (KlapAuthError("x", status=401), False, False),
    (KlapCreditsError("x", status=402), False, False),
    (KlapNotFoundError("x", status=404), False, False),
    (KlapRejectedError("x", status=422), False, False),
    (KlapConfigError("x"), False, False),
    (KlapInputError("x"), False, False),
]

errors = st.sampled_from([error for error, _, _ in FAILURES]) | st.builds(
    KlapServerError, st.just("x"), status=st.integers(500, 599), retry_after=st.none() | st.floats(0, 1e9)
)
backoffs = st.builds(
    Backoff, attempts=st.integers(1, 10), base=st.floats(0, 100), cap=st.floats(0, 1000, allow_subnormal=False)
)
draws = st.floats(0, 1)


@pytest.mark.parametrize(("error", "get", "post"), FAILURES, ids=lambda value: repr(value)[:40])
def test_a_get_is_retried_if_transient_and_a_post_only_if_refused(error: KlapError, get: bool, post: bool) -> None:
    for repeatable, expected in ((True, get), (False, post)):
        delay = next_attempt_in(error, repeatable=repeatable, attempt=1, backoff=Backoff())
        assert (delay is not None) is expected


def test_there_is_no_attempt_after_the_last() -> None:
    error = KlapConnectionError("x")
    assert next_attempt_in(error, repeatable=True, attempt=3, backoff=Backoff(attempts=4)) is not None
    assert next_attempt_in(error, repeatable=True, attempt=4, backoff=Backoff(attempts=4)) is None
    assert next_attempt_in(error, repeatable=True, attempt=1, backoff=ONCE) is None


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (10_000, 10.0)])
def test_the_expected_delay_doubles_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert Backoff(base=1, cap=10).delay(attempt, draw=lambda: 0.5) == seconds


def test_the_jitter_is_at_most_half_the_delay() -> None:
    backoff = Backoff(base=4, cap=100)
    assert backoff.delay(1, draw=lambda: 0.0) == 2
    assert backoff.delay(1, draw=lambda: 1.0) == 6
    assert len({backoff.delay(1) for _ in range(20)}) > 1


def test_retry_after_is_followed_up_to_the_cap() -> None:
    def delay(retry_after: float) -> float | None:
        error = KlapRateLimitError("x", status=429, retry_after=retry_after)
        return next_attempt_in(error, repeatable=False, attempt=1, backoff=Backoff(base=1, cap=30), draw=lambda: 0.5)

    assert delay(12) == 12
    assert delay(30) == 30
    assert delay(0.1) == 1
    assert delay(30.1) is None


@given(backoff=backoffs, attempt=st.integers(1, 10**6), retry_after=st.none() | st.floats(0, 1e9), draw=draws)
def test_a_delay_is_between_retry_after_and_the_cap(
    backoff: Backoff, attempt: int, retry_after: float | None, draw: float
) -> None:
    delay = backoff.delay(attempt, retry_after=retry_after, draw=lambda: draw)
    assert (retry_after or 0) <= delay <= max(backoff.cap, retry_after or 0)


@given(backoff=backoffs, attempt=st.integers(1, 1000), draw=draws)
def test_a_later_delay_is_not_shorter_with_the_same_jitter(backoff: Backoff, attempt: int, draw: float) -> None:
    assert backoff.delay(attempt, draw=lambda: draw) <= backoff.delay(attempt + 1, draw=lambda: draw)


@given(error=errors, attempt=st.integers(1, 12), backoff=backoffs, draw=draws)
def test_a_post_is_retried_only_if_it_was_refused(
    error: KlapError, attempt: int, backoff: Backoff, draw: float
) -> None:
    delay = next_attempt_in(error, repeatable=False, attempt=attempt, backoff=backoff, draw=lambda: draw)
    if delay is not None:
        assert error.refused
        assert error.transient
        assert attempt < backoff.attempts
        assert (error.retry_after or 0) <= delay <= backoff.cap
