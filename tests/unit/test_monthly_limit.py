"""What a run reserves of the monthly limits: never beyond them, once per request, and only for the present month."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.errors import KlapSubmitPendingError
from klap_provider.rules.ledger_keys import month_log, pause_entry
from klap_provider.rules.monthly_limit import Limit, MonthlyLimits

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTION = "connection klap_default"
DAG = "dag shorts"
EXPORT = Decimal("0.48")
EACH_LIMIT = pytest.mark.parametrize("dollars", [{"connection": 10}, {"connection": 10, "dag": 10}])


class Rows(dict[str, Any]):
    """A ledger in memory."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Clock:
    """A clock that only runs while a process waits."""

    time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Interrupted(Rows):
    """A ledger that does something else before a step of a process: the process is paused meanwhile."""

    def __init__(self, before: int, do: Callable[[], Any]) -> None:
        super().__init__()
        self.steps, self.before, self.do = 0, before, do

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.before:
            self.do()

    def get(self, key: str, default: Any = None) -> Any:
        self._step()
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._step()
        super().set(key, value)


def limits(
    store: Rows,
    *,
    run: str = "shorts run-1",
    holder: str = "try",
    month: str = "2026-11",
    warns: bool = False,
    **dollars: float,
) -> MonthlyLimits:
    """Return the limits of a run: ``connection=…`` and ``dag=…`` in US dollars."""
    names = {"connection": "klap_default", "dag": "shorts"}
    given = [Limit(kind, names[kind], Decimal(str(most)), warns) for kind, most in dollars.items()]
    return MonthlyLimits(
        store, given, run, f"{run} {holder}", Clock(), datetime.fromisoformat(f"{month}-30T22:00:00+00:00")
    )


def used(store: Rows, month: str = "2026-11", **dollars: float) -> list[float]:
    return [float(total) for _, total in limits(store, month=month, **dollars).used()]


def test_as_many_items_as_fit_are_granted_best_first() -> None:
    store = Rows()
    reserved = limits(store, connection=1).reserve("folder", EXPORT, ["a", "b", "c"])
    assert reserved.items == ["a", "b"]
    assert reserved.refused_by is not None
    assert used(store, connection=1) == [0.96]


def test_a_retry_reserves_nothing_again_but_gets_released_amounts() -> None:
    store = Rows()
    run, other = limits(store, connection=1), limits(store, run="shorts run-2", connection=1)
    other.reserve("folder", EXPORT, ["z"])
    assert run.reserve("folder", EXPORT, ["a", "b"]).items == ["a"]
    assert run.reserve("folder", EXPORT, ["a", "b"]).items == ["a"]
    other.release("folder", ["z"])
    assert run.reserve("folder", EXPORT, ["a", "b"]).items == ["a", "b"]
    assert used(store, connection=1) == [0.96]


def test_the_lower_of_two_limits_decides() -> None:
    store = Rows()
    both = {"connection": 100, "dag": 0.5}
    assert limits(store, **both).reserve("folder", EXPORT, ["a", "b"]).items == ["a"]
    assert used(store, **both) == [0.48, 0.48]
    refused = limits(store, run="shorts run-2", **both).reserve("folder", EXPORT, ["c"])
    assert (refused.items, refused.refused_by and refused.refused_by.scope) == ([], DAG)
    assert used(store, **both) == [0.48, 0.48]


def test_contention_for_one_limit_refunds_the_other() -> None:
    class Crowded(Rows):
        def get(self, key: str, default: Any = None) -> Any:
            return {} if key.startswith(f"door.{month_log('2026-11', DAG)}") else super().get(key, default)

    store, both = Crowded(), {"connection": 10, "dag": 10}
    limits(store, connection=10).reserve("submission", Decimal(4), ["post"])
    with pytest.raises(KlapSubmitPendingError):
        limits(store, **both).reserve("folder", EXPORT, ["a"], instead_of="submission", spent=Decimal(1))
    assert used(store, connection=10) == [1]


def test_the_exports_replace_the_reservation_of_the_submission_once() -> None:
    store = Rows()
    run = limits(store, connection=10)
    run.reserve("submission", Decimal("4.12"), ["post"])  # 1 video, 10 shorts, 1 export
    for _ in range(2):
        run.reserve("folder", EXPORT, ["a", "b"], instead_of="submission", spent=Decimal("1.08"))  # it has 2 shorts
    assert used(store, connection=10) == [2.04]


def test_exports_that_cost_as_much_as_the_submission_reserved_replace_it_once() -> None:
    store = Rows()
    run = limits(store, connection=10)
    run.reserve("submission", Decimal("1.24"), ["post"])  # 1 video, 1 short, 1 export
    for _ in range(2):
        run.reserve("folder", EXPORT, ["a"], instead_of="submission", spent=Decimal("0.76"))
        assert used(store, connection=10) == [1.24]


def test_billed_shorts_beyond_the_reservation_count() -> None:
    store = Rows()
    run = limits(store, connection=1)
    run.reserve("submission", Decimal(1), ["post"])
    assert run.reserve("folder", EXPORT, ["a"], instead_of="submission", spent=Decimal(3)).items == []
    assert used(store, connection=1) == [3]


def test_a_limit_added_after_the_submission_gets_no_refund() -> None:
    store = Rows()
    limits(store, connection=10).reserve("submission", Decimal(4), ["post"])
    both = {"connection": 10, "dag": 10}
    limits(store, **both).reserve("folder", EXPORT, ["a"], instead_of="submission", spent=Decimal(1))
    assert used(store, **both) == [1.48, 0.48]


def test_released_items_are_no_longer_covered() -> None:
    store = Rows()
    run = limits(store, connection=10)
    run.reserve("folder", EXPORT, ["a", "b"])
    for _ in range(2):
        run.release("folder", ["a", "unknown"])
    assert (run.covers("folder", "a"), run.covers("folder", "b")) == (False, True)
    assert used(store, connection=10) == [0.48]


def test_a_reservation_is_for_its_month_only() -> None:
    store = Rows()
    november, december = limits(store, connection=0.5), limits(store, month="2026-12", connection=0.5)
    november.reserve("folder", EXPORT, ["a"])
    assert not december.covers("folder", "a")
    assert december.reserve("folder", EXPORT, ["a"], instead_of="folder", spent=Decimal(0)).items == ["a"]
    assert (used(store, connection=0.5), used(store, "2026-12", connection=0.5)) == ([0.48], [0.48])


def test_a_limit_that_warns_refuses_nothing() -> None:
    store = Rows()
    reserved = limits(store, warns=True, connection=0.5).reserve("folder", EXPORT, ["a", "b"])
    assert (reserved.items, reserved.refused_by) == (["a", "b"], None)
    assert used(store, connection=0.5) == [0.96]


def test_free_exports_need_no_limit() -> None:
    assert limits(Rows(), connection=0).reserve("folder", Decimal(0), ["a"]).items == ["a"]


def test_a_refusal_pauses_watchers_until_the_month_ends() -> None:
    store = Rows()
    run = limits(store, month="2026-12", connection=0)
    run.reserve("folder", EXPORT, ["a"])
    row = store[pause_entry(CONNECTION)]
    assert row["until"] == datetime(2027, 1, 1, tzinfo=timezone.utc).timestamp()
    assert row["reason"] == "The monthly limit of the connection 'klap_default' is reached."
    run.resume()
    assert store[pause_entry(CONNECTION)]["until"] == run.now.timestamp()
    by_hand = {"reason": "holidays", "until": None}
    store[pause_entry(CONNECTION)] = by_hand
    run.resume()
    assert store[pause_entry(CONNECTION)] == by_hand


@pytest.mark.parametrize(
    ("kind", "where"), [("connection", "in the connection 'klap_default'"), ("dag", "in the Dag file of 'shorts'")]
)
def test_the_error_names_the_use_the_end_of_the_month_and_the_setting(kind: str, where: str) -> None:
    run = limits(Rows(), **{kind: 0.5})
    run.reserve("folder", EXPORT, ["a"])
    error = run.error(run.reserve("other", EXPORT, ["b"]), "the export of b", EXPORT)
    name = where.rpartition(" ")[2]
    assert str(error) == (
        f"Nothing was sent to Klap for the export of b. The monthly limit of the {'Dag' if kind == 'dag' else kind} "
        f"{name} is $0.50. In 2026-11, $0.48 of it is paid or reserved, and $0.48 is needed. Clear this task after the "
        f"month ends, on 2026-12-01 at 00:00 UTC. Or raise monthly_limit {where}, and clear this task now."
    )
    assert (error.transient, error.refused) == (False, True)


def test_months_are_in_utc() -> None:
    late = datetime.fromisoformat("2026-11-30T23:30:00-05:00")
    run = MonthlyLimits(Rows(), (), "shorts run", "me", Clock(), late)
    assert (run.month, run.end) == ("2026-12", datetime(2027, 1, 1, tzinfo=timezone.utc))


@EACH_LIMIT
@pytest.mark.parametrize("spent", [Decimal("1.08"), Decimal("3.16")])  # of $4.12, with two exports
def test_a_try_paused_at_any_step_refunds_nothing_twice(dollars: dict[str, float], spent: Decimal) -> None:
    """A retry does all while the first try is paused. Then the first try continues."""

    def complete(run: MonthlyLimits) -> None:
        run.reserve("folder", EXPORT, ["a", "b"], instead_of="submission", spent=spent)
        run.release("folder", ["b"])

    pauses = 0
    while True:
        pauses += 1
        store = Interrupted(0, lambda: None)
        limits(store, **dollars).reserve("submission", Decimal("4.12"), ["post"])
        store.before, store.do = (
            store.steps + pauses,
            partial(complete, limits(store, holder="retry", **dollars)),
        )
        complete(limits(store, **dollars))
        store.do = lambda: None
        assert min(used(store, **dollars)) >= float(spent + EXPORT), pauses
        assert max(used(store, **dollars)) <= 10
        if store.steps < store.before:
            break
    assert pauses > 30


@EACH_LIMIT
@pytest.mark.parametrize("spent", [Decimal("1.08"), Decimal("3.16")])  # of $4.12, with two exports
def test_a_process_that_dies_at_any_step_refunds_nothing_twice(dollars: dict[str, float], spent: Decimal) -> None:
    class DiedError(Exception):
        pass

    def die() -> None:
        raise DiedError

    deaths = 0
    while True:
        deaths += 1
        store = Interrupted(0, die)
        limits(store, **dollars).reserve("submission", Decimal("4.12"), ["post"])
        store.before = store.steps + deaths
        died = False
        for _ in range(2):
            try:
                run = limits(store, **dollars)
                run.reserve("folder", EXPORT, ["a", "b"], instead_of="submission", spent=spent)
                run.release("folder", ["b"])
            except DiedError:
                died = True
        store.do = lambda: None
        assert min(used(store, **dollars)) >= float(spent + EXPORT), deaths
        if not died:
            break
    assert deaths > 20
