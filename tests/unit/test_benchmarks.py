"""Calculated figures of the benchmarks, and their places in the guide."""

from __future__ import annotations

import pytest

from benchmarks import report, whole_run
from benchmarks.__main__ import ALL
from klap_provider.rules.poll_schedule import EXPORTS, TASKS, PollSchedule


@pytest.mark.parametrize(("schedule", "seconds", "polls"), [(TASKS, 30, 1), (TASKS, 480, 15), (EXPORTS, 540, 34)])
def test_polls_at_klaps_own_lengths_are_those_of_the_schedule(
    schedule: PollSchedule, seconds: float, polls: int
) -> None:
    assert whole_run.polls_of(schedule, seconds) == polls


def test_every_benchmark_has_its_table_in_the_guide() -> None:
    guide = report.GUIDE.read_text()
    for name in ("machine", "bars", "scale-machine", "scale-bars", *ALL):
        assert guide.count(f"<!-- bench: {name} -->\n") == 1


def test_a_bar_says_whether_it_is_met() -> None:
    assert report.Bar("time", 1, 1).met
    assert not report.Bar("time", 1.01, 1).met
    assert report.Bar("speed", 1.01, 1, at_least=True).met
    assert not report.Bar("speed", 0.99, 1, at_least=True).met
