"""The longer searches of tests/unit/test_month_log.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from klap_provider.rules import month_log
from tests.support.month_log_orders import Search, granted, total_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(("amounts", "limit"), [((3, 3), 5), ((3, 3), 6), ((3, 2), 4)])
def test_two_waiting_processes_never_reserve_more_than_the_limit(
    amounts: tuple[int, ...], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_log, "VOID_AFTER", 0.5)
    monkeypatch.setattr(month_log, "PATIENCE", 1.5)
    for state in Search(tuple(map(Decimal, amounts)), Decimal(limit), patient=2, deaths=1).ends():
        assert granted(state) <= total_of(state) <= limit, state
