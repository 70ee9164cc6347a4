"""The log of a monthly limit: concurrent processes never reserve more than the limit, in any order of their steps."""

from __future__ import annotations

import random
import threading
from decimal import Decimal
from typing import Any

import pytest

from klap_provider.rules import month_log
from klap_provider.rules.month_log import MonthLog
from tests.support.month_log_orders import Progress, Search, State, granted, total_of

THREE = Decimal(3)


@pytest.fixture
def voids_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof ignores time: a missing entry is void when it is read next, and a process gives up after two rounds."""
    monkeypatch.setattr(month_log, "VOID_AFTER", 0.5)
    monkeypatch.setattr(month_log, "PATIENCE", 1.5)


@pytest.mark.usefixtures("voids_at_once")
@pytest.mark.parametrize("deaths", [0, 1])
@pytest.mark.parametrize(("amounts", "limit"), [((3, 3), 5), ((3, 3), 6), ((3, 2), 4)])
def test_two_processes_never_reserve_more_than_the_limit_in_any_order(
    amounts: tuple[int, ...], limit: int, deaths: int
) -> None:
    ends = set()
    for state in Search(tuple(map(Decimal, amounts)), Decimal(limit), deaths=deaths).ends():
        assert granted(state) <= limit, state
        assert granted(state) <= total_of(state) <= limit, state
        ends.add(tuple(each.end for each in state.processes))
    assert any(isinstance(end, Decimal) for each in ends for end in each)
    assert len(ends) > 1


@pytest.mark.usefixtures("voids_at_once")
@pytest.mark.parametrize("deaths", [0, 1])
def test_three_processes_never_reserve_more_than_the_limit_in_any_order(deaths: int) -> None:
    ends = set()
    for state in Search((THREE, THREE, Decimal(2)), Decimal(6), patient=0, deaths=deaths).ends():
        assert granted(state) <= total_of(state) <= 6, state
        ends.add(tuple(each.end for each in state.processes))
    assert len(ends) > 1


@pytest.mark.usefixtures("voids_at_once")
def test_a_process_that_is_paused_and_declared_void_reserves_nothing() -> None:
    """The search finds the order in which the slow claim holder writes its entry after it was declared void."""
    voided = 0
    for state in Search((THREE, THREE), Decimal(5)).ends():
        is_void = any(key.startswith("void.") for key, _ in state.rows)
        voided += is_void and any('"amount": "0"' in row for _, row in state.rows)
        assert granted(state) <= total_of(state)
    assert voided


@pytest.mark.usefixtures("voids_at_once")
def test_many_processes_never_reserve_more_than_the_limit_in_random_orders() -> None:
    draw = random.Random(28)  # a reproducible test
    for _ in range(400):
        count = draw.randint(3, 6)
        amounts = tuple(Decimal(draw.randint(1, 4)) for _ in range(count))
        limit = sum(amounts) / 2
        search = Search(amounts, limit, patient=count, deaths=2)
        state = State(frozenset(), (Progress(),) * count)
        while going := [who for who, each in enumerate(state.processes) if each.end is None]:
            # One process runs for a while, while the others pause.
            who = draw.choice(going)
            for _ in range(draw.randint(1, 12)):
                if state.processes[who].end is None:
                    after = list(search._after(state, who))
                    state = after[-1 if draw.random() < 0.01 else 0]
        assert granted(state) <= total_of(state) <= limit, state


def test_an_unclaimed_amount_is_refused_once_it_does_not_fit() -> None:
    store = Rows()
    log = log_of(store, "a")
    assert log.append(fits(3, 5), run="dag run") == 3
    assert log.append(fits(3, 5), run="dag run") == 3
    assert log.append(lambda _: Decimal(-1), run="dag run") == 2
    assert log.append(fits(3, 5), run="dag run") == 5


def test_each_month_and_each_scope_has_its_own_total() -> None:
    store = Rows()
    log_of(store, "a").append(fits(3, 3), run="dag run")
    for other in (log_of(store, "a", month="2026-12"), log_of(store, "a", scope="dag d")):
        assert other.append(fits(3, 3), run="dag run") == 3


def test_one_reservation_takes_ten_requests() -> None:
    store = Rows()
    log_of(store, "a").append(fits(3, 3), run="dag run")
    assert store.requests == 10


def test_an_outdated_end_of_the_log_is_harmless() -> None:
    store = Rows()
    log = log_of(store, "a")
    log.append(fits(1, 9), run="dag run")
    old = dict(store.rows)[log.end_key]
    for _ in range(3):
        log.append(fits(1, 9), run="dag run")
    store.rows[log.end_key] = old
    assert log.total() == 4


def test_an_abandoned_claim_blocks_nobody_for_long() -> None:
    store = Rows()
    log = log_of(store, "a")
    store.rows[f"door.{log.key}.0"] = {"closed_by": "dead"}
    assert log.append(fits(3, 5), run="dag run") == 3
    assert store.rows[f"{log.key}.1"]["total"] == "3"


def test_threads_that_reserve_at_once_use_the_whole_limit_and_no_more() -> None:
    store = Rows(latency=0.0005)
    results: list[bool] = []

    def reserve(name: str) -> None:
        entries: list[Decimal | None] = []

        def amount(total: Decimal) -> Decimal | None:
            entries.append(fits(1, 12)(total))
            return entries[-1]

        log_of(store, name, speed=50).append(amount, run=name)
        results.append(entries[-1] is not None)

    threads = [threading.Thread(target=reserve, args=(str(number),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 20
    assert sum(results) == 12
    assert log_of(store, "later").total() == 12


def fits(amount: int, limit: int) -> Any:
    return lambda total: Decimal(amount) if total + amount <= limit else None


class Rows:
    """A ledger in memory that counts requests."""

    def __init__(self, latency: float = 0) -> None:
        self.rows: dict[str, Any] = {}
        self.requests = 0
        self.latency = latency

    def get(self, key: str) -> Any:
        self._request()
        return self.rows.get(key)

    def set(self, key: str, value: Any) -> None:
        self._request()
        self.rows[key] = value

    def delete(self, key: str) -> None:
        self._request()
        self.rows.pop(key, None)

    def _request(self) -> None:
        self.requests += 1
        if self.latency:
            threading.Event().wait(self.latency * random.uniform(0.5, 1.5))


class Clock:
    """A clock that runs faster, or that only runs while a process sleeps."""

    def __init__(self, speed: float) -> None:
        self.speed, self.time = speed, 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.speed:
            threading.Event().wait(seconds * random.uniform(0.5, 1.5) / self.speed)


def log_of(
    store: Rows, holder: str, *, month: str = "2026-11", scope: str = "connection klap_default", speed: float = 0
) -> MonthLog:
    return MonthLog(store, month, scope, holder, Clock(speed), {"scope": scope})
