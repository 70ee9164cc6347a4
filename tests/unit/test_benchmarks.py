"""Calculated figures of the benchmarks, and their places in the guide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import report, whole_run
from benchmarks.__main__ import ALL
from benchmarks.stage import Times, poll_delay
from klap_provider.rules.poll_schedule import EXPORTS, TASKS, PollSchedule

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("schedule", "seconds", "polls"), [(TASKS, 30, 1), (TASKS, 480, 15), (EXPORTS, 540, 34)])
def test_polls_at_klaps_own_lengths_are_those_of_the_schedule(
    schedule: PollSchedule, seconds: float, polls: int
) -> None:
    assert whole_run.polls_of(schedule, seconds) == polls


def test_every_benchmark_has_its_table_in_the_guide() -> None:
    guide = report.GUIDE.read_text()
    for name in ("machine", "bars", "scale-machine", "scale-bars", *ALL):
        assert guide.count(f"<!-- bench: {name} -->\n") == 1


def test_a_target_says_whether_it_is_met() -> None:
    assert report.Bar("time", 1, 1).met
    assert not report.Bar("time", 1.01, 1).met
    assert report.Bar("speed", 1.01, 1, at_least=True).met
    assert not report.Bar("speed", 0.99, 1, at_least=True).met


def test_the_targets_of_one_section_replace_those_of_the_same_name() -> None:
    old = "| what | figure |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n| c | 3 |"
    new = report.Table(("what", "figure"), [["b", "5"], ["new", "6"]])
    assert (
        report.with_rows(old, new) == "| what | figure |\n| --- | --- |\n| a | 1 |\n| b | 5 |\n| new | 6 |\n| c | 3 |"
    )
    assert report.with_rows(old, report.Table(("what", "figure"), [["new", "6"]])) == f"{old}\n| new | 6 |"


def test_one_section_is_replaced_in_the_results_and_in_the_guide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, guide = tmp_path / "results.md", tmp_path / "guide.md"
    results.write_text(
        "# Results\n\n## Targets\n\n| what |\n| --- |\n| a |\n\n## 3. Runs\n\nold\n\n## 4. Parsing\n\nkept\n"
    )
    guide.write_text("<!-- bench: runs -->\nold\n<!-- end -->\n<!-- bench: bars -->\nold\n<!-- end -->\nkept\n")
    monkeypatch.setattr(report, "GUIDE", guide)
    monkeypatch.setattr(report, "machine", lambda: "a machine")
    table = report.Table(("figure",), [["7"]])
    section = report.Section("runs", "3. Runs", "method", table, [report.Bar("b", 1, 1)])
    report.update(report.Report("make bench", results), [section])
    assert results.read_text().count("| 7 |") == guide.read_text().count("| 7 |") == 1
    assert "| b | 1 | at most 1 | met |" in results.read_text()
    assert "| b | 1 | at most 1 | met |" in guide.read_text()
    for text in (results.read_text(), guide.read_text()):
        assert "old" not in text
        assert text.endswith("kept\n")


def test_the_poll_delay_is_measured_from_the_end_of_the_job() -> None:
    paid = [{"kind": "task", "id": "t", "at": 0.0}, *({"kind": "export", "id": name, "at": 20.0} for name in "ab")]
    found = [("/tasks/t", 10.0), ("/tasks/t", 14.0), ("/exports", 30.0), ("/p/exports/a", 44.0), ("/p/exports/b", 45.0)]
    calls = [{"method": "GET", "path": path, "at": at} for path, at in found]
    assert poll_delay(paid, calls, Times(12.5, 22.5)) == pytest.approx(1.5 + 2.5)
    assert poll_delay([], [], Times(12.5, 22.5)) == 0
