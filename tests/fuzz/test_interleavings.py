"""Longer searches than tests/unit/test_interleavings.py. They take minutes and a gigabyte of memory."""

from __future__ import annotations

import pytest

from klap_provider.rules import attempt_log
from tests.support.interleavings import KINDS, Search, check, runs_of, start_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_log, "PATIENCE", ())


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_pay_once_in_every_order_with_two_faults(kind: str) -> None:
    assert check(Search(runs_of(kind, 2), has_list=kind.startswith("export"), most_faults=2, start=start_of(kind))) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_three_runs_pay_once_in_every_order_with_a_fault(kind: str) -> None:
    runs = tuple(run._replace(tries=1) for run in runs_of(kind, 3))
    assert check(Search(runs, has_list=kind.startswith("export"), most_faults=1, start=start_of(kind))) > 1
