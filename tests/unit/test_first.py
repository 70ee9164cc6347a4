"""Of several that would all do a thing for the first time, one does, and the others wait until it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider.rules.first import LOOK, LOOKS, QUIET, wait_for_turn
from klap_provider.rules.turn import Turn
from tests.unit.test_submitter import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    """Time, the row, and the thing that is to be done, which takes the one that is let in most of a quiet while."""

    TAKES = 0.9 * QUIET

    def __init__(self, *, done: bool = False) -> None:
        self.turn = Turn(MemoryStore(), "event")
        self.now = 0.0
        self.done_at = 0.0 if done else float("inf")
        self.let_in: list[tuple[float, str]] = []
        #: What others do, by when.
        self.plans: list[tuple[float, Callable[[], None]]] = []

    def at(self, seconds: float, plan: Callable[[], None]) -> None:
        self.plans.append((seconds, plan))

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [each for each in self.plans if each[0] <= until]:
            self.plans.remove(each := min(due, key=lambda plan: plan[0]))
            self.now = max(self.now, each[0])
            each[1]()
        self.now = max(self.now, until)

    def is_done(self) -> bool:
        return self.now >= self.done_at

    def come(self, name: str) -> None:
        """Wait, be let in, and have done it a little later."""
        wait_for_turn(self.turn, name, is_done=self.is_done, sleep=self.sleep)
        self.let_in.append((self.now, name))
        self.done_at = min(self.done_at, self.now + self.TAKES)


def test_what_was_done_before_waits_for_nobody_and_writes_nothing() -> None:
    world = World(done=True)
    world.come("a")
    assert (world.let_in, world.turn.whose()) == ([(0.0, "a")], None)


def test_who_is_alone_waits_a_quiet_while() -> None:
    world = World()
    world.come("a")
    assert world.let_in == [(QUIET, "a")]


def test_of_two_that_come_at_once_the_later_one_is_let_in_and_the_other_when_it_is_done() -> None:
    for between in (0.0, 0.5 * QUIET, 0.99 * QUIET):
        world = World()
        world.at(between, lambda world=world: world.come("b"))  # type: ignore[misc]  # a default that binds
        world.come("a")
        (first, b), (second, a) = world.let_in
        assert (b, a) == ("b", "a")
        assert second >= first + world.TAKES


def test_who_comes_while_the_one_that_was_let_in_is_at_it_finds_it_done() -> None:
    world = World()
    world.come("a")
    world.come("b")
    (first, _), (second, _) = world.let_in
    assert second >= first + world.TAKES


def test_one_that_dies_is_not_waited_for_for_ever() -> None:
    world = World()
    world.at(0.5 * QUIET, lambda: world.turn.take("one that dies"))
    world.come("a")
    assert world.let_in == [(QUIET + LOOKS * LOOK, "a")]
