"""
Two that ask for the same thing, wherever the one of them is held up, and however long: one POST, and its id is kept.

The one stops before one of its steps (a reading or a writing of the ledger, or the sending), the other one goes on to
one of its own, or to its end; then the first one goes on to its end, and then the other one.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from klap_provider.errors import KlapConnectionError, KlapError, KlapSubmitUncertainError
from klap_provider.rules.ledger import Asker, Submission, Work
from klap_provider.rules.lost_answer import SEND_WITHIN, SETTLE
from klap_provider.rules.submitter import Submitter

STOPS = range(16)
EXPORT = Work("export short plain", "https://a.example/talk.mp4", "export of short", 0.48)
TASK = replace(EXPORT, entry="submission dag run task", what="a video")
#: More steps than there are.
LAST = 40


class World:
    """Klap and the ledger, as one after the other sees them."""

    def __init__(self, *, listed: bool) -> None:
        self.now = 1000.0
        self.rows: dict[str, Any] = {}
        self.jobs: list[str] = []
        self.told: list[str] = []
        self.listed = listed

    def asker(self, name: str, work: Work, *, reuse: bool = False) -> Stepwise:
        return Stepwise(self, name, work, reuse=reuse)


class Stepwise:
    """One that asks, in a thread that stops before each of its steps until it is told to go on."""

    def __init__(self, world: World, name: str, work: Work, *, reuse: bool) -> None:
        self.world, self.outcome = world, None
        self.submitter = Submitter(
            store=self,
            work=work,
            asker=Asker(name, 1, 3),
            prepare=lambda _: self.post,
            has_failed=lambda _: False,
            list_jobs=(lambda _: list(world.jobs)) if world.listed else None,
            clock=lambda: world.now,
            tell=world.told.append,
            reuse=reuse,
        )
        self._go, self._stopped, self._ended = threading.Semaphore(0), threading.Semaphore(0), False
        threading.Thread(target=self._run, daemon=True).start()

    def go(self, steps: int) -> None:
        for _ in range(steps):
            if self._ended:
                return
            self._go.release()
            self._stopped.acquire()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self.outcome: Submission | KlapError | None = self.submitter.submit()[0]
        except KlapError as failure:
            self.outcome = failure
        self._ended = True
        self._stopped.release()

    def _step(self) -> None:
        self._stopped.release()
        self._go.acquire()

    def get(self, name: str) -> Any:
        self._step()
        return self.world.rows.get(name)

    def set(self, name: str, value: Any) -> None:
        self._step()
        self.world.rows[name] = value

    def delete(self, name: str) -> None:
        self._step()
        self.world.rows.pop(name, None)

    def post(self, until: float) -> str:
        self._step()
        if self.world.now > until:
            raise KlapConnectionError("too late")
        self.world.jobs.append(f"job-{len(self.world.jobs) + 1}")
        job_id = self.world.jobs[-1]
        self._step()  # the answer is on its way
        return job_id


def settled(world: World, work: Work) -> str | None:
    """Return what everybody gets who asks when all is over; None: a person is asked."""
    world.now += SEND_WITHIN + SETTLE + 1
    later = world.asker("later", work)
    later.go(LAST)
    if isinstance(later.outcome, Submission):
        return later.outcome.job_id
    assert isinstance(later.outcome, KlapSubmitUncertainError), later.outcome
    return None


HELD_UP = pytest.mark.parametrize(
    "held_up", [0.0, SEND_WITHIN - 20, SEND_WITHIN + SETTLE + 1], ids=["not", "40 s", "minutes"]
)
TO = pytest.mark.parametrize("to", [*STOPS, LAST])


def meet(one: Stepwise, other: Stepwise, *, stop: int, to: int, held_up: float) -> None:
    one.go(stop)
    one.world.now += held_up
    other.go(to)
    one.go(LAST)
    other.go(LAST)


@HELD_UP
@TO
def test_two_that_ask_for_an_export_pay_once_and_know_what_it_is(to: int, held_up: float) -> None:
    for stop in STOPS:
        world = World(listed=True)
        meet(world.asker("one", EXPORT), world.asker("other", EXPORT), stop=stop, to=to, held_up=held_up)

        assert world.jobs == [settled(world, EXPORT)], (stop, to)
        assert len([name for name in world.rows if name.startswith("paid ")]) == 1
        assert len(world.rows[EXPORT.entry]["paid"]) == 1
        assert world.told == []


@HELD_UP
@TO
def test_two_that_ask_for_a_submission_pay_once_and_know_what_it_is_or_ask(to: int, held_up: float) -> None:
    for stop in STOPS:
        world = World(listed=False)
        meet(world.asker("one", TASK), world.asker("other", TASK), stop=stop, to=to, held_up=held_up)

        assert len(world.jobs) <= 1, (stop, to)
        found = settled(world, TASK)
        assert [found] == (world.jobs or [None]), (stop, to)


@HELD_UP
@TO
def test_two_runs_that_want_the_same_submission_with_reuse_pay_once(to: int, held_up: float) -> None:
    for stop in STOPS:
        world = World(listed=False)
        works = [replace(TASK, entry=f"submission {name}", request="request 1") for name in ("one", "other")]
        one, other = (world.asker(work.entry, work, reuse=True) for work in works)
        meet(one, other, stop=stop, to=to, held_up=held_up)

        assert len(world.jobs) <= 1, (stop, to)
