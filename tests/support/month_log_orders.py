"""
Search every order of the steps of processes that reserve parts of the same monthly limit.

A step is a read or a write of the ledger. A process can stop for ever before each step, which is the same as a pause
that does not end. The search ignores time: a process that waits for an entry declares it void when it reads it next.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.errors import KlapSubmitPendingError
from klap_provider.rules.month_log import MonthLog
from tests.support.interleavings import PausedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Progress(NamedTuple):
    """The results that a process has seen, and how it ended: the reserved amount, or the reason for none."""

    seen: tuple[str | None, ...] = ()
    end: Decimal | str | None = None


class State(NamedTuple):
    """The rows of the ledger, and the progress of each process."""

    rows: frozenset[tuple[str, str]]
    processes: tuple[Progress, ...]


class Replay:
    """The ledger and the clock, as a process has seen them so far."""

    def __init__(self, seen: tuple[str | None, ...], *, tick: float = 1.0) -> None:
        self._seen = iter(seen)
        self._tick, self._now = tick, 0.0

    def _step(self, *step: str) -> str | None:
        for outcome in self._seen:
            return outcome
        raise PausedError(step)

    def get(self, key: str) -> Any:
        row = self._step("get", key)
        return None if row is None else json.loads(row)

    def set(self, key: str, value: Any) -> None:
        self._step("set", key, json.dumps(value, sort_keys=True))

    def delete(self, key: str) -> None:
        raise AssertionError("no row of the log is ever deleted")

    def now(self) -> float:
        self._now += self._tick
        return self._now

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class Search:
    """
    All states that processes can come to, each of which wants to reserve an amount.

    :param patient: number of processes that try again after a collision. The others give up.
    """

    wanted: tuple[Decimal, ...]
    limit: Decimal
    patient: int = 1
    deaths: int = 0
    start: Mapping[str, str] = field(default_factory=dict)
    visited: set[State] = field(default_factory=set)
    _steps: dict[tuple[int, Progress], tuple[str, ...] | Decimal | str] = field(default_factory=dict)

    def ends(self) -> Iterator[State]:
        """Return the states in which every process has ended."""
        stack = [State(frozenset(self.start.items()), (Progress(),) * len(self.wanted))]
        while stack:
            state = stack.pop()
            if state in self.visited:
                continue
            self.visited.add(state)
            going = [who for who, process in enumerate(state.processes) if process.end is None]
            if not going:
                yield state
            for who in going:
                stack.extend(self._after(state, who))

    def _after(self, state: State, who: int) -> Iterator[State]:
        process = state.processes[who]
        step = self.step(who, process)
        if not isinstance(step, tuple):
            yield self._with(state, who, Progress(end=step))
            return
        rows = dict(state.rows)
        if step[0] == "set":
            rows[step[1]] = step[2]
        seen = rows.get(step[1]) if step[0] == "get" else None
        after = process._replace(seen=(*process.seen, seen))
        yield self._with(state._replace(rows=frozenset(rows.items())), who, after)
        if sum(each.end == "died" for each in state.processes) < self.deaths:
            yield self._with(state, who, Progress(end="died"))

    def step(self, who: int, process: Progress) -> tuple[str, ...] | Decimal | str:
        """Return the next step of a process, or how it ends."""
        key = (who, process)
        if key not in self._steps:
            self._steps[key] = self._replay(who, process)
        return self._steps[key]

    def _replay(self, who: int, process: Progress) -> tuple[str, ...] | Decimal | str:
        seen = Replay(process.seen, tick=1.0 if who < self.patient else 9.0)
        log = MonthLog(seen, "2026-11", "connection klap_default", f"process-{who}", seen, {})
        wanted = self.wanted[who]
        fits = True

        def amount(total: Decimal) -> Decimal | None:
            nonlocal fits
            fits = total + wanted <= self.limit
            return wanted if fits else None

        try:
            log.append(amount, run=f"run-{who}")
        except PausedError as paused:
            step: tuple[str, ...] = paused.args[0]
            return step
        except KlapSubmitPendingError:
            return "gave up"
        return wanted if fits else "refused"

    @staticmethod
    def _with(state: State, who: int, process: Progress) -> State:
        return state._replace(processes=(*state.processes[:who], process, *state.processes[who + 1 :]))


def granted(state: State) -> Decimal:
    """Return the sum of the reserved amounts."""
    return sum((each.end for each in state.processes if isinstance(each.end, Decimal)), Decimal(0))


def total_of(state: State) -> Decimal:
    """Return the total that a process finds when all others have ended."""

    class Rows(Replay):
        def get(self, key: str) -> Any:
            row = dict(state.rows).get(key)
            return None if row is None else json.loads(row)

    rows = Rows(())
    return MonthLog(rows, "2026-11", "connection klap_default", "later", rows, {}).total()
