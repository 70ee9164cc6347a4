"""What the benchmarks promise without a clock, and that each has its place in the guide."""

from __future__ import annotations

import pytest

from benchmarks import noticing, report
from benchmarks.__main__ import ALL


def test_the_pace_keeps_the_promises_of_the_noticing_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing, "JOBS", 2000)
    assert not [bar for bar in noticing.run().bars if not bar.met]


@pytest.mark.parametrize(("shorts", "most"), [(10, 75), (50, 200)])
def test_a_run_at_klaps_own_lengths_takes_few_calls(shorts: int, most: int) -> None:
    beside = 3 + shorts  # the submission, the list of shorts, that of exports, and each export
    assert noticing.looks_of_a_run(shorts) + beside <= most


def test_every_benchmark_has_its_table_in_the_guide() -> None:
    guide = report.GUIDE.read_text()
    for name in ("machine", "bars", "scale-machine", "scale-bars", *ALL):
        assert guide.count(f"<!-- bench: {name} -->\n") == 1


def test_a_bar_says_whether_it_is_met() -> None:
    assert report.Bar("time", 1, 1).met
    assert not report.Bar("time", 1.01, 1).met
    assert report.Bar("speed", 1.01, 1, at_least=True).met
    assert not report.Bar("speed", 0.99, 1, at_least=True).met
