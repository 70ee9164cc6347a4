"""At most one process holds a claim, in every order of the processes' steps, also if claims are written twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.rules.claim import Claim
from tests.support.interleavings import PausedError, Replay

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Number of steps that a process has done when it has written its claim, read the door, and closed the door.
CLAIMED, READ, CLOSED = 1, 2, 3


def acquired(process: int, seen: tuple[Any, ...]) -> tuple[Any, ...] | bool:
    """Return the next step of a process that has seen some results, or whether it holds the claim."""
    try:
        return Claim(Replay(seen, has_list=False), "log.0", f"process {process}").acquire()
    except PausedError as paused:
        step: tuple[Any, ...] = paused.args[0]
        return step


def holders(processes: int, late: tuple[int, ...]) -> Iterator[list[int]]:
    """
    Return who holds the claim at the end of each order of the steps.

    :param late: a second copy of the first process's claim takes effect when it has done one of these numbers of steps.
    """
    start = ({}, ((),) * processes, False)
    stack: list[tuple[dict[str, Any], tuple[tuple[Any, ...], ...], bool]] = [start]
    while stack:
        rows, progress, is_copied = stack.pop()
        steps = [acquired(process, seen) for process, seen in enumerate(progress)]
        if all(isinstance(step, bool) for step in steps):
            yield [process for process, step in enumerate(steps) if step is True]
        for process, step in enumerate(steps):
            if isinstance(step, bool):
                continue
            kind, key, *value = step
            after = {**rows, key: json.loads(value[0])} if kind == "set" else rows
            outcome = json.dumps(rows[key]) if kind == "get" and key in rows else None
            others = progress[:process], progress[process + 1 :]
            stack.append((after, (*others[0], (*progress[process], outcome), *others[1]), is_copied))
        if not is_copied and len(progress[0]) in late:
            stack.append(({**rows, "claim.log.0": "process 0"}, progress, True))


@pytest.mark.parametrize("late", [(), (CLAIMED,)])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_at_most_one_process_holds_a_claim(processes: int, late: tuple[int, ...]) -> None:
    orders = list(holders(processes, late))
    assert any(orders)
    assert max(map(len, orders)) == 1


@pytest.mark.parametrize("late", [READ, CLOSED])
def test_a_late_write_of_a_claim_is_the_remaining_risk(late: int) -> None:
    assert [0, 1] in holders(2, (late,))
