"""When to look next."""

from __future__ import annotations

import math
import random
import statistics
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.rules.pace import (
    ENOUGH,
    EXPORTS,
    KEPT,
    TASKS,
    Documented,
    Pace,
    Took,
    Typical,
    learned,
    lengths,
    remember,
)

SURE = Typical(240, 0.2, 0.7)
kinds = st.none() | st.builds(
    Typical, st.floats(1, 10_000), st.floats(0.15, 3), st.floats(0.01, 10), may_be_short=st.booleans()
)


def noticed(length: float, pace: Pace, draws: Any) -> tuple[float, int]:
    """Return how long after it was ready a job is noticed, and at how many looks."""
    waited, looks = pace.delay(0, lambda: next(draws)), 1
    while waited < length:
        waited, looks = waited + pace.delay(waited, lambda: next(draws)), looks + 1
    return waited - length, looks


@given(
    kind=kinds,
    shortest=st.floats(0.1, 60),
    longest=st.floats(0.1, 600),
    waited=st.floats(-100, 1e9),
    draw=st.floats(0, 1),
)
def test_a_pace_keeps_within_its_bounds(
    kind: Typical | None, shortest: float, longest: float, waited: float, draw: float
) -> None:
    delay = Pace(shortest, longest, kind).delay(waited, lambda: draw)
    assert min(longest, 0.9 * shortest) <= delay <= longest


@given(kind=kinds, waited=st.floats(0, 1e6), draw=st.floats(0, 1))
def test_chance_shortens_a_delay_and_never_lengthens_it(kind: Typical | None, waited: float, draw: float) -> None:
    pace = Pace(5, 600, kind)
    assert pace.delay(waited, lambda: draw) <= pace.delay(waited, lambda: 0.0) + 1e-6


@given(
    length=st.floats(5, 60), documented=st.sampled_from([TASKS, EXPORTS]), draws=st.lists(st.floats(0, 1), min_size=1)
)
@pytest.mark.parametrize("known", [[], [8.0] * KEPT, [40.0] * KEPT, [5.0, 600.0] * 10], ids=len)
def test_a_job_that_may_be_short_is_noticed_within_a_third_of_its_length_or_five_seconds(
    known: list[float], length: float, documented: Documented, draws: list[float]
) -> None:
    after, looks = noticed(length, Pace(5, 60, learned(documented, known)), cycle(draws))
    assert after <= max(5.0, length / 3) + 0.05
    assert looks <= 10


def test_where_nothing_is_known_of_the_kind_looks_come_after_each_third() -> None:
    pace = Pace(5, 30)
    assert [pace.delay(waited, lambda: 0.0) for waited in (0, 15, 60, 900)] == [5, 5, 20, 30]


def test_a_pace_of_one_interval_is_just_that() -> None:
    for waited in (0, 59, 61, 500, 5000):
        assert Pace(20, 20, SURE).delay(waited, lambda: 0.0) == 20


def test_looks_that_started_together_spread() -> None:
    assert len({Pace(5, 600, SURE).delay(200) for _ in range(20)}) > 1


def test_looks_are_close_when_jobs_usually_become_ready_and_rare_before() -> None:
    pace = Pace(1, 600, SURE)
    assert pace.delay(0) > 100
    assert pace.delay(240) < 10


def test_the_documents_hold_until_there_is_something_better() -> None:
    typical = learned(TASKS)
    assert (typical.median, typical.may_be_short) == (pytest.approx(math.sqrt(120 * 1800)), True)


def test_a_few_jobs_of_four_minutes_make_it_four_minutes() -> None:
    few, many = learned(TASKS, [240.0] * 3), learned(TASKS, [230.0, 250.0] * 20)
    assert 240 < few.median < learned(TASKS).median
    assert many.median == pytest.approx(240, rel=0.05)
    assert many.spread < few.spread < TASKS.spread


def test_the_first_minute_is_spared_once_it_is_known_that_nothing_happens_in_it() -> None:
    assert learned(EXPORTS, [300.0] * (ENOUGH - 1)).may_be_short
    assert not learned(EXPORTS, [300.0] * ENOUGH).may_be_short
    assert learned(EXPORTS, [20.0] * KEPT).may_be_short


def test_looks_that_tell_of_other_jobs_too_are_fewer_but_where_jobs_may_be_short() -> None:
    short, sure = Pace(5, 60, learned(EXPORTS)), Pace(5, 60, learned(EXPORTS, [300.0] * KEPT))

    def longer(pace: Pace, waited: float) -> float:
        return pace.delay(waited, lambda: 0.0, shared=True) / pace.delay(waited, lambda: 0.0)

    assert longer(sure, 230) > 1.2
    assert longer(short, 230) > 1.2
    assert longer(short, 30) == 1


def test_one_odd_length_changes_little() -> None:
    usual = [300.0 + k for k in range(30)]
    with_odd = learned(EXPORTS, [*usual, 86_400.0])
    assert with_odd.median == pytest.approx(learned(EXPORTS, usual).median, rel=0.1)
    assert with_odd.spread < 0.5
    assert not with_odd.may_be_short


@given(st.lists(st.floats(0.001, 1e7), max_size=100))
def test_any_lengths_make_a_pace(known: list[float]) -> None:
    typical = learned(TASKS, known)
    assert math.isfinite(Pace(5, 120, typical).delay(30))
    assert typical.spread >= 0.15


def test_lengths_that_are_nearly_the_same_share_a_plan() -> None:
    assert learned(TASKS, [240.0] * 20) == learned(TASKS, [240.1] * 20)


def test_a_record_keeps_the_last_jobs_alone() -> None:
    row: Any = None
    for number in range(1, 2 * KEPT):
        row = remember(row, [Took(number)])
    assert lengths(row) == [*range(KEPT, 2 * KEPT)]


def test_a_record_prefers_jobs_about_videos_as_long() -> None:
    row = remember(None, [*[Took(100, 15)] * ENOUGH, *[Took(400, 60)] * ENOUGH, Took(9)])
    assert set(lengths(row, 60)) == {400}
    assert set(lengths(row, 20)) == {100}
    assert set(lengths(row, 600)) == set(lengths(row)) == {100, 400, 9}


@pytest.mark.parametrize(
    "row",
    [None, "x", 7, {}, [1, 2], [[]], [["x", None]], [[-1, None]], [[1, "x"]], [[True, None]], [[float("nan"), 1]]],
)
def test_what_cannot_be_read_of_a_record_is_forgotten(row: Any) -> None:
    assert lengths(row) == []
    assert remember(row, [Took(5.04, 12.34)]) == [[5.0, 12.3]]


def test_known_lengths_are_noticed_sooner_than_at_a_fixed_interval_with_as_many_looks() -> None:
    rng = random.Random(1)
    pace, found = Pace(5, 120, learned(TASKS, [240.0 * math.exp(rng.gauss(0, 0.2)) for _ in range(KEPT)])), []
    for _ in range(500):
        found.append((240 * math.exp(rng.gauss(0, 0.2)), rng))
    results = [noticed(length, pace, iter(rng.random, None)) for length, rng in found]
    after, looks = (statistics.mean(each) for each in zip(*results, strict=True))
    assert after < 0.5 * 240 / looks / 2
