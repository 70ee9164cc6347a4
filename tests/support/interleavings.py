"""
Search every order of the steps of runs that make the same paid request at the same time.

A step is a read or a write of the ledger, a read of the clock or of Klap's list, or a POST. The search goes through all
orders of the steps of two and three runs, without faults and with them: a process that dies, a machine that stands
still for minutes, a POST that is refused or does not arrive, and a response that is lost. It follows each state once,
whichever order leads to it. A run is replayed from what it has seen so far, so it needs no thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.errors import KlapConnectionError, KlapError, KlapNoResponseError, KlapSubmitUncertainError
from klap_provider.rules.attempt_log import Submission
from klap_provider.rules.idempotent_submit import IdempotentSubmit
from klap_provider.rules.in_doubt import Listing
from klap_provider.rules.ledger import Attempt, PaidRequest, Requester
from klap_provider.rules.ledger_keys import request_log

if TYPE_CHECKING:
    from collections.abc import Iterator

VIDEO = "https://a.example/talk.mp4"
EXPORT = PaidRequest("export.short", video=VIDEO, what="export of short", price=0.48, fingerprint="plain")
MARKED = replace(EXPORT, fingerprint="marked")
TASK = replace(EXPORT, log="submission.run", what="a video", fingerprint="")
SHARED = request_log("1")
MINUTES = 600.0


class Run(NamedTuple):
    """The task that makes a request, and its number of retries after transient errors."""

    request: PaidRequest
    requester: Requester
    tries: int = 2


class World(NamedTuple):
    """
    The ledger and Klap.

    :param jobs: each with the request that it was made for.
    :param faults: how many there were.
    :param in_doubt: whether one of them hit a POST.
    """

    rows: tuple[tuple[str, str], ...] = ()
    jobs: tuple[tuple[str, str], ...] = ()
    now: float = 1000.0
    faults: int = 0
    in_doubt: bool = False


class Progress(NamedTuple):
    """The results that a run has seen in its current try, its failed tries, and how it ended."""

    seen: tuple[Any, ...] = ()
    tries: int = 0
    end: str | None = None


class State(NamedTuple):
    """The world, and the progress of each run."""

    world: World
    runs: tuple[Progress, ...]


def identity(request: PaidRequest) -> str:
    """Return the identity of a request. One POST is sent per identity."""
    return f"{request.shared_log or request.log} {request.fingerprint}"


class PausedError(BaseException):
    """A replayed run has come to a step that has not happened yet."""


FAILURES = {"refused": KlapConnectionError("refused"), "no response": KlapNoResponseError("no response")}


class Replay:
    """The ledger, the clock and Klap, as a run has seen them so far."""

    def __init__(self, seen: tuple[Any, ...], *, has_list: bool) -> None:
        self._seen = iter(seen)
        self.has_list = has_list

    def _step(self, *step: Any) -> Any:
        for outcome in self._seen:
            if outcome in FAILURES:
                raise FAILURES[outcome]
            return outcome
        raise PausedError(step)

    def get(self, key: str) -> Any:
        row = self._step("get", key)
        return None if row is None else json.loads(row)

    def set(self, key: str, value: Any) -> None:
        self._step("set", key, json.dumps(value))

    def delete(self, key: str) -> None:
        raise AssertionError("no row of a paid request is ever deleted")

    def now(self) -> float:
        return float(self._step("now"))

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"slept for {seconds} s, without patience")

    def prepare(self, paid: int) -> list[str]:
        return list(self._step("list")) if self.has_list else []

    def send(self, until: float) -> str:
        return str(self._step("send", until))

    def find(self) -> Listing | None:
        return Listing(self._step("list"), is_proof=True) if self.has_list else None

    def has_failed(self, job_id: str) -> bool:
        return False


def replay(run: Run, progress: Progress, name: str, *, has_list: bool) -> tuple[Any, ...] | Submission | KlapError:
    """Return the next step of a run, or what its try ends with."""
    seen = Replay(progress.seen, has_list=has_list)
    requester = replace(run.requester, try_number=run.requester.try_number + progress.tries)
    submit = IdempotentSubmit(seen, seen, run.request, requester, f"{name}-{progress.tries}", seen, 70.0)
    try:
        return submit.submit()
    except PausedError as paused:
        step: tuple[Any, ...] = paused.args[0]
        return step
    except KlapError as failure:
        return failure


def outcomes(
    step: tuple[Any, ...], world: World, request: PaidRequest, *, may_fail: bool
) -> Iterator[tuple[Any, World]]:
    """Return what a run may see of a step, each with the world after it."""
    kind, *about = step
    if kind == "get":
        yield dict(world.rows).get(about[0]), world
    elif kind == "set":
        rows = {**dict(world.rows), about[0]: about[1]}
        yield None, world._replace(rows=tuple(sorted(rows.items())))
    elif kind == "now":
        yield world.now, world
    elif kind == "list":
        yield tuple(job for job, _ in world.jobs), world
    elif world.now > about[0]:
        yield "refused", world
    else:
        job = f"job-{len(world.jobs) + 1}"
        made = (*world.jobs, (job, identity(request)))
        yield job, world._replace(jobs=made)
        if may_fail:
            faulty = world._replace(faults=world.faults + 1)
            yield "refused", faulty
            yield "no response", faulty._replace(in_doubt=True)
            yield "no response", faulty._replace(in_doubt=True, jobs=made)


def is_private(step: tuple[Any, ...], may_fail: bool) -> bool:
    """Return whether no step of another run can change what this one sees: no user decides anything meanwhile."""
    return (step[0] == "now" and not may_fail) or (step[0] == "get" and step[1].startswith(("adopt.", "resend.")))


def hits(step: tuple[Any, ...]) -> bool:
    """Return whether a process that dies before this step leaves a POST in doubt."""
    return step[0] == "send" or (step[0] == "set" and (step[1].startswith("paid.") or '"void": true' in step[2]))


def is_needless(end: Submission | KlapError, world: World) -> bool:
    """Return whether a run asks the user about a request whose payment is recorded."""
    if not isinstance(end, KlapSubmitUncertainError) or end.open_decision is None:
        return False
    rows, entry = dict(world.rows), end.open_decision["entry"]
    return Attempt.from_row(entry, json.loads(rows[entry])).payment_key in rows


@dataclass
class Search:
    """All states that the runs can reach."""

    runs: tuple[Run, ...]
    has_list: bool
    most_faults: int = 0
    start: World = field(default_factory=World)
    visited: set[int] = field(default_factory=set)
    replayed: dict[tuple[int, Progress], tuple[Any, ...] | Submission | KlapError] = field(default_factory=dict)

    def ends(self) -> Iterator[State]:
        """Return the states in which every run has ended."""
        stack = [State(self.start, (Progress(),) * len(self.runs))]
        while stack:
            state = stack.pop()
            if hash(state) not in self.visited:  # a hash needs less memory
                self.visited.add(hash(state))
                if all(progress.end for progress in state.runs):
                    yield state
                else:
                    stack.extend(self._successors(state))

    def _successors(self, state: State) -> Iterator[State]:
        may_fail = state.world.faults < self.most_faults
        steps = {who: self._step(who, progress) for who, progress in enumerate(state.runs) if not progress.end}
        # A step that no other run can notice or change need not be tried in every order.
        alone = [who for who, step in steps.items() if not isinstance(step, tuple) or is_private(step, may_fail)]
        for who in alone[:1] or steps:
            run, progress, step = self.runs[who], state.runs[who], steps[who]
            if not isinstance(step, tuple):
                assert not is_needless(step, state.world), (state, step)
                yield self._with(state, who, self._ended(run, progress, step))
                continue
            for seen, world in outcomes(step, state.world, run.request, may_fail=may_fail):
                after = progress._replace(seen=(*progress.seen, seen))
                yield self._with(state._replace(world=world), who, after)
            if may_fail and not alone:
                world = state.world._replace(faults=state.world.faults + 1, in_doubt=state.world.in_doubt or hits(step))
                yield self._with(state._replace(world=world), who, progress._replace(end="died"))
        if may_fail and not alone:
            later = state.world._replace(now=state.world.now + MINUTES, faults=state.world.faults + 1)
            yield state._replace(world=later)

    def _step(self, who: int, progress: Progress) -> tuple[Any, ...] | Submission | KlapError:
        """Return the next step of a run. Many states have a run that has seen the same."""
        if (who, progress) not in self.replayed:
            name = f"run-{who}"
            self.replayed[who, progress] = replay(self.runs[who], progress, name, has_list=self.has_list)
        return self.replayed[who, progress]

    @staticmethod
    def _with(state: State, who: int, progress: Progress) -> State:
        return state._replace(runs=(*state.runs[:who], progress, *state.runs[who + 1 :]))

    @staticmethod
    def _ended(run: Run, progress: Progress, end: Submission | KlapError) -> Progress:
        if isinstance(end, Submission):
            return Progress(end=end.job_id)
        tries = progress.tries + 1
        return Progress(tries=tries, end=None if end.transient and tries < run.tries else type(end).__name__)


def finally_gets(world: World, run: Run, *, has_list: bool) -> tuple[Submission | KlapError, World]:
    """Return the result of a run that makes the request after all others, and the world after it."""
    for _ in range(9):
        world = world._replace(now=world.now + 3600.0)
        progress = Progress()
        while isinstance(step := replay(run, progress, f"later-{world.now:.0f}", has_list=has_list), tuple):
            seen, world = next(outcomes(step, world, run.request, may_fail=False))
            progress = progress._replace(seen=(*progress.seen, seen))
        if isinstance(step, Submission) or not step.transient:
            return step, world
    raise AssertionError(f"still not certain after hours: {step}")


def check(search: Search) -> int:
    """Check every end, and return how many there are."""
    checked: set[tuple[World, tuple[str | None, ...]]] = set()
    for state in search.ends():
        ends = tuple(progress.end for progress in state.runs)
        if (state.world, ends) in checked:
            continue
        checked.add((state.world, ends))
        world = state.world
        for run in search.runs:
            outcome, world = finally_gets(world, run, has_list=search.has_list)
            made = [job for job, request in world.jobs if request == identity(run.request)]
            assert len(made) <= 1, (state, world.jobs)
            if isinstance(outcome, Submission):
                is_reused = run.request.reuse and outcome.job_id in dict(world.jobs)
                assert [outcome.job_id] == made or is_reused, state
            else:
                # The user is asked only if a fault hit a POST.
                assert isinstance(outcome, KlapSubmitUncertainError), (state, outcome)
                assert world.in_doubt, state
                assert not search.has_list, state
        submitted = {end for end in ends if end and end.startswith("job-")}
        assert submitted <= {job for job, _ in world.jobs}
    return len(checked)


def runs_of(kind: str, count: int) -> tuple[Run, ...]:
    requesters = [Requester(f"dag run-{number}", 1, 3) for number in range(count)]
    if kind == "export":
        return tuple(Run(EXPORT, requester) for requester in requesters)
    if kind == "exports with other settings":
        return tuple(Run(MARKED if number % 2 else EXPORT, requester) for number, requester in enumerate(requesters))
    if kind.startswith("reuse"):
        shared = replace(TASK, shared_log=SHARED, reuse=True, reuse_key="reuse.1")
        first = replace(shared, shared_log=None, reuse=False) if "without" in kind else shared
        return tuple(
            Run(replace(first if number == 0 else shared, log=f"submission.{number}"), requester)
            for number, requester in enumerate(requesters)
        )
    # A zombie, Airflow's retry of the same task, and a clear of it.
    zombie = Requester("dag run", 1, 3)
    return tuple(
        Run(TASK, requester)
        for requester in (zombie, replace(zombie, try_number=2), Requester("dag run", 3, 6))[:count]
    )


def start_of(kind: str) -> World:
    """Return the world at the start: a paid or in-doubt request and the decision to send it again, or nothing."""
    if "decision" not in kind:
        return World()
    log = SHARED if kind.startswith("reuse") else TASK.log
    attempt = Attempt(f"{log}.0", "before", -9000.0, Requester("dag before", 1, 3), what="a video", price=0.44)
    rows = {
        attempt.key: attempt.to_row(),
        f"door.{attempt.key}": {"closed_by": "before"},
        f"resend.{attempt.key}": True,
    }
    if kind.startswith("reuse"):
        rows[attempt.payment_key] = attempt.payment("job-0")
    return World(tuple(sorted((key, json.dumps(row)) for key, row in rows.items())))


KINDS = [
    "export",
    "exports with other settings",
    "reuse",
    "reuse, and one run without it",
    "reuse and a decision",
    "zombie and clear",
    "zombie, clear and a decision",
]
