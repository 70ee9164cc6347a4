"""When a job is polled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.rules.poll_schedule import EXPORTS, JITTER, TASKS, PollSchedule


@pytest.mark.parametrize(("schedule", "documented"), [(TASKS, 30), (EXPORTS, 15)])
def test_jobs_are_polled_no_faster_than_klap_documents(schedule: PollSchedule, documented: float) -> None:
    assert schedule.delay(1e6, lambda: 0.0) == documented
    assert schedule.delay(1e6, lambda: 1.0) == documented * (1 + JITTER)


@pytest.mark.parametrize(
    ("waited", "seconds"), [(0, 60), (10, 50), (29, 31), (31, 30), (59, 30), (1e6, 30), (-5, 60), (-1e6, 60)]
)
def test_the_first_poll_comes_when_the_job_can_be_ready(waited: float, seconds: float) -> None:
    assert TASKS.delay(waited, lambda: 0.0) == seconds


@pytest.mark.parametrize(("waited", "seconds"), [(0, 60), (31, 29), (59.5, 0.5), (60, 0), (1e6, 0), (-1e6, 60)])
def test_a_worker_leaves_the_first_poll_of_a_new_job_to_the_triggerer(waited: float, seconds: float) -> None:
    assert TASKS.until_first(waited, lambda: 0.0) == seconds


@pytest.mark.parametrize(("first", "seconds"), [(None, 20), (0, 0), (5, 5), (300, 300)])
def test_the_first_poll_can_be_set(first: float | None, seconds: float) -> None:
    assert PollSchedule(10, first).first_poll == seconds


@given(
    interval=st.floats(0.1, 3600),
    first=st.none() | st.floats(0, 3600),
    waited=st.floats(-1e6, 1e6),
    draw=st.floats(0, 1),
)
def test_polls_are_never_closer_than_the_interval(
    interval: float, first: float | None, waited: float, draw: float
) -> None:
    schedule = PollSchedule(interval, first)
    assert interval <= schedule.delay(waited, lambda: draw) <= max(interval, schedule.first_poll) + interval * JITTER
