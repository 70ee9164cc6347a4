"""
Runs that make the same paid request at the same time pay once, in every order of their steps.

``make fuzz`` searches further: with more faults, and with faults for three runs.
"""

from __future__ import annotations

import pytest

from klap_provider.rules import attempt_log
from tests.support.interleavings import KINDS, Search, check, runs_of, start_of


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_log, "PATIENCE", ())


@pytest.mark.parametrize("faults", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_pay_once_in_every_order(kind: str, faults: int) -> None:
    search = Search(runs_of(kind, 2), has_list=kind.startswith("export"), most_faults=faults, start=start_of(kind))
    assert check(search) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_three_runs_pay_once_in_every_order(kind: str) -> None:
    runs = tuple(run._replace(tries=1) for run in runs_of(kind, 3))
    assert check(Search(runs, has_list=kind.startswith("export"), start=start_of(kind))) > 1
