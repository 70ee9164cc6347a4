"""
Random walks of runs that make paid requests, with the faults that :mod:`tests.support.interleavings` does not have.

Time passes, writes of the ledger fail or take effect later, workers are killed, stopped or replaced while they
continue, POSTs arrive late, Klap lists jobs late or not at all, jobs fail, users clear runs and decide. A walk is the
same each time that it has the same seed.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from greenlet import greenlet

from klap_provider.errors import (
    KlapChangedError,
    KlapConnectionError,
    KlapError,
    KlapInputError,
    KlapNoResponseError,
    KlapNotFoundError,
    KlapSubmitUncertainError,
)
from klap_provider.rules.attempt_log import Submission
from klap_provider.rules.idempotent_submit import IdempotentSubmit
from klap_provider.rules.in_doubt import Listing
from klap_provider.rules.ledger import Attempt, PaidRequest, Requester

if TYPE_CHECKING:
    from collections.abc import Iterator

VIDEO = "https://a.example/talk.mp4"
EXPORT = PaidRequest("export.short", video=VIDEO, what="an export", price=0.48, fingerprint="plain", account="a")
TASK = PaidRequest("submission.0", video=VIDEO, what="a video", price=0.44)

#: Read timeout in seconds, and seconds after which a POST has no effect any more.
RESPONSE, EFFECT = 70.0, 190.0


class StoreError(Exception):
    """Airflow did not answer."""


class DeathError(BaseException):
    """The worker dies in this step."""


@dataclass
class Job:
    """
    A job at Klap.

    :param identity: what it was requested for.
    :param attempt: id of the attempt that made it.
    :param listed_at: from when on the list shows it.
    """

    id: str
    identity: str
    attempt: str
    listed_at: float
    has_failed: bool = False


@dataclass
class Run:
    """
    A task of a run, which makes one request.

    :param tries: how many further tries there are: by Airflow, and by users who clear the task.
    :param settings: the requested settings; a clear can change them in the scenario "changed settings".
    """

    name: str
    request: PaidRequest
    changes: bool = False
    tries: int = 6
    settings: int = 1

    @property
    def identity(self) -> str:
        """Return the identity of the request. One POST is sent per identity."""
        return f"{self.request.shared_log or self.request.log} {self.request.fingerprint}"


class Process:
    """A try of a run's task: the store, the clock and Klap, as it sees them. Each step switches to the world."""

    def __init__(self, world: World, run: Run, requester: Requester, name: str) -> None:
        self.run, self.identity, self.requester, self.name = run, run.identity, requester, name
        self.has_list = run.request.log.startswith("export.")
        self.has_successor = False
        self.wakes_at = world.now
        self.step: tuple[Any, ...] = ("begin",)
        submit = IdempotentSubmit(self, self, run.request, requester, name, self, RESPONSE)
        self.worker = greenlet(lambda _: self._end_of(submit))

    def _end_of(self, submit: IdempotentSubmit) -> Submission | BaseException:
        try:
            return submit.submit()
        except (KlapError, StoreError, DeathError) as failure:
            return failure

    def _do(self, *step: Any) -> Any:
        outcome = self.worker.parent.switch(step)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def get(self, key: str) -> Any:
        row = self._do("get", key)
        return None if row is None else json.loads(row)

    def set(self, key: str, value: Any) -> None:
        self._do("set", key, json.dumps(value))

    def delete(self, key: str) -> None:
        raise AssertionError("no row of a paid request is ever deleted")

    def now(self) -> float:
        return float(self._do("now"))

    def sleep(self, seconds: float) -> None:
        self._do("sleep", seconds)

    def prepare(self, paid: int) -> list[str]:
        return [job.id for job in self._do("list")] if self.has_list else []

    def send(self, until: float) -> str:
        return str(self._do("send", until))

    def find(self) -> Listing | None:
        if not self.has_list:
            return None
        listed: list[Job] = self._do("list")
        return Listing([job.id for job in listed if not job.has_failed], is_proof=bool(listed))

    def has_failed(self, job_id: str) -> bool:
        return bool(self._do("status", job_id))


@dataclass
class World:
    """
    The ledger, Klap, Airflow and the users.

    :param seed: of the walk.
    :param faults: how many there are at most.
    """

    scenario: str
    seed: int
    faults: int = 6
    now: float = 1000.0
    rows: dict[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    later: list[tuple[float, int, tuple[Any, ...]]] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    started: int = 0
    paid_again: int = 0
    no_list_until: float = 0.0

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.scenario} {self.seed}")  # nothing secret
        self.runs = list(runs_of(self.scenario, self.dice))

    def walk(self) -> None:
        """Let all runs end, then make each request once more without faults, and check what was paid for."""
        for run in self.runs:
            self.start(run, 1, 3)
        self._proceed()
        self.faults = 0
        for run in self.runs:
            outcome = self._repeated(run)
            made = [job.id for job in self.jobs if run.changes or job.identity == run.identity]
            assert outcome.job_id in made, (self.scenario, self.seed, outcome)
        accepted = Counter(job.identity for job in self.jobs if not job.has_failed)
        paid_twice = sum(accepted.values()) - len(accepted)
        assert paid_twice <= self.paid_again, (self.scenario, self.seed, self.jobs)

    def _repeated(self, run: Run) -> Submission:
        for number in range(50, 62):
            self._pass(3600.0)
            run.tries = 0
            process = self.start(run, number, number + 10)
            self._proceed()
            outcome = process.step[1]
            if isinstance(outcome, Submission):
                return outcome
            self.decide(outcome)
        raise AssertionError((self.scenario, self.seed, "does not end", outcome))

    def start(self, run: Run, try_number: int, max_tries: int, *, after: float = 0.0) -> Process:
        """Start a try."""
        self.started += 1
        process = Process(self, run, Requester(run.name, try_number, max_tries), f"p{self.started}")
        process.wakes_at = self.now + after
        self.processes.append(process)
        return process

    def _proceed(self) -> None:
        for _ in range(9000):
            if not self.processes:
                return
            ready = [process for process in self.processes if process.wakes_at <= self.now]
            if not ready:
                times = [*(process.wakes_at for process in self.processes), *(at for at, _, _ in self.later)]
                self._pass(min(times) - self.now)
                continue
            process = self.dice.choice(ready)
            self._pass(self.dice.choice([0, 0, 0, 0.01, 0.1, 0.5]))
            if process.step[0] == "begin" or not self._is_disturbed(process):
                self._step(process)
        raise AssertionError((self.scenario, self.seed, "does not end"))

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        for event in sorted(each for each in self.later if each[0] <= self.now):
            self.later.remove(event)
            kind, *about = event[2]
            if kind == "write":
                self.rows[about[0]] = about[1]
            else:
                self._accept(*about)

    def _is_faulty(self, share: float) -> bool:
        is_faulty = self.faults > 0 and self.dice.random() < share
        self.faults -= is_faulty
        return is_faulty

    def _is_disturbed(self, process: Process) -> bool:
        """Kill the worker, stop it, or let Airflow replace it while it continues."""
        if not self._is_faulty(0.015):
            return False
        fault = self.dice.choice(["killed", "stopped", "replaced", "job fails"])
        if fault == "job fails" and self.jobs:
            self.dice.choice(self.jobs).has_failed = True
            return False
        if fault == "killed":
            self._end(process, DeathError())
            return True
        process.wakes_at = self.now + self.dice.choice([2, 29, 31, 80, 120, 250, 400, 1000])
        if fault == "replaced" and not process.has_successor:
            process.has_successor = True
            self._again(process, after=self.dice.choice([0, 1, 30, 300]))
        return True

    def _step(self, process: Process) -> None:
        kind, *about = process.step
        outcome = (
            None if kind == "begin" else about[0] if kind == "outcome" else getattr(self, f"_{kind}")(process, *about)
        )
        if process.wakes_at > self.now:
            process.step = "outcome", outcome
            return
        step = process.worker.switch(outcome)
        if process.worker.dead:
            self._end(process, step)
        else:
            process.step = step

    def _get(self, process: Process, key: str) -> Any:
        return StoreError() if self._is_faulty(0.01) else self.rows.get(key)

    def _set(self, process: Process, key: str, value: str) -> StoreError | None:
        if not self._is_faulty(0.04):
            self.rows[key] = value
            return None
        # A late second write of a claim is the remaining risk in docs/ledger.md.
        fault = self.dice.choice(["lost", "no response", "late"] + ["repeated"] * (not key.startswith("claim.")))
        if fault in ("no response", "repeated"):
            self.rows[key] = value
        if fault in ("late", "repeated"):
            self._later(self.dice.choice([1, 5, 60, 200, 500]), "write", key, value)
        if fault == "repeated":
            return None
        process.wakes_at = self.now + self.dice.choice([5, 30, 100])
        return StoreError()

    def _later(self, seconds: float, *event: Any) -> None:
        self.later.append((self.now + seconds, len(self.later) + self.started, event))

    def _now(self, process: Process) -> float:
        return self.now

    def _sleep(self, process: Process, seconds: float) -> None:
        process.wakes_at = self.now + seconds

    def _status(self, process: Process, job_id: str) -> bool | KlapError:
        if self._is_faulty(0.03):
            return KlapNoResponseError("no response")
        job = next((job for job in self.jobs if job.id == job_id), None)
        return KlapNotFoundError("unknown", status=404) if job is None else job.has_failed

    def _list(self, process: Process) -> list[Job] | KlapError:
        if self._is_faulty(0.03):
            return KlapNoResponseError("no response")
        if self._is_faulty(0.1):
            self.no_list_until = self.now + self.dice.choice([0, 400, 400])
            return []
        is_down = self.now < self.no_list_until
        return [] if is_down else [job for job in self.jobs if job.listed_at <= self.now]

    def _send(self, process: Process, until: float) -> str | BaseException:
        if self.now > until:
            return KlapConnectionError("too late")
        ends, about = self.now + EFFECT, (process.identity, process.name)
        if not self._is_faulty(0.25):
            process.wakes_at = self.now + self.dice.choice([0, 0, 1, 20, 60])
            return self._accept(*about, ends)
        if self.dice.random() < 0.2:
            return KlapConnectionError("refused")
        if self.dice.random() < 0.4:
            self._accept(*about, ends)
        elif self.dice.random() < 0.6:
            self._later(self.dice.uniform(0, EFFECT), "accept", *about, ends)
        process.wakes_at = self.now + self.dice.choice([0, 20, RESPONSE])
        return DeathError() if self.dice.random() < 0.4 else KlapNoResponseError("no response")

    def _accept(self, identity: str, attempt: str, listed_by: float) -> str:
        is_late = listed_by > self.now and self.dice.random() < 0.5
        listed_at = self.dice.uniform(self.now, listed_by) if is_late else self.now
        self.jobs.append(Job(f"job-{len(self.jobs) + 1}", identity, attempt, listed_at))
        return self.jobs[-1].id

    def _end(self, process: Process, outcome: Submission | BaseException) -> None:
        self.processes.remove(process)
        process.step = "ended", outcome
        if isinstance(outcome, KlapSubmitUncertainError) and outcome.open_decision is not None:
            entry = outcome.open_decision["entry"]
            attempt = Attempt.from_row(entry, json.loads(self.rows[entry]))
            is_sender = attempt.id == process.name
            assert is_sender or attempt.payment_key not in self.rows, (self.scenario, self.seed, outcome)
        if process.has_successor or process.run.tries <= 0:
            return
        if isinstance(outcome, Submission):
            if self._is_faulty(0.1):
                self._again(process, clear=True)
            return
        process.run.tries -= 1
        if isinstance(outcome, KlapError) and not outcome.transient:
            self.decide(outcome)
            self._again(process, clear=True)
        else:
            self._again(process, after=getattr(outcome, "retry_after", None) or 5.0)

    def _again(self, process: Process, *, clear: bool | None = None, after: float = 1.0) -> None:
        requester, run = process.requester, process.run
        is_clear = self.dice.random() < 0.3 if clear is None else clear
        if run.changes and self.dice.random() < 0.4:
            run.settings = 3 - run.settings
            run.request = with_settings(run.request, run.settings)
        self.start(run, requester.try_number + 1, requester.max_tries + 4 * is_clear, after=after)

    def decide(self, stopped: Any) -> None:
        """Decide like a user who has read the error, waited, and checked the Klap app."""
        if getattr(stopped, "open_decision", None) is None or stopped.transient:
            return
        entry = stopped.open_decision["entry"]
        self._pass(600.0)
        if isinstance(stopped, KlapInputError):  # the job that was adopted failed before the run continued with it
            self.rows.pop(f"adopt.{entry}", None)
            self.rows[f"resend.{entry}"] = "true"
        if f"adopt.{entry}" in self.rows or f"resend.{entry}" in self.rows:
            return
        if isinstance(stopped, KlapChangedError):
            made = stopped.open_decision["jobs"] if self.dice.random() < 0.5 else []
            self.paid_again += not made
        else:
            sender = json.loads(self.rows[entry])["id"]
            made = [job.id for job in self.jobs if job.attempt == sender and not job.has_failed]
        decision, value = ("adopt", made[0]) if made else ("resend", True)
        self.rows[f"{decision}.{entry}"] = json.dumps(value)


def runs_of(scenario: str, dice: random.Random) -> Iterator[Run]:
    """Return the runs of a scenario."""
    count = dice.choice([2, 3])
    if scenario == "exports":
        for number in range(count):
            settings, account = dice.choice(["plain", "marked"]), dice.choice("aaaaab")
            yield Run(f"dag run-{number}", replace(EXPORT, fingerprint=settings, account=account))
    elif scenario == "a task":
        yield Run("dag run", TASK)
    elif scenario == "changed settings":
        yield Run("dag run", with_settings(TASK, 1), changes=True)
    elif scenario == "reuse":
        for number in range(count):
            shared = replace(TASK, log=f"submission.{number}", shared_log="request.1", reuse=True, reuse_key="reuse.1")
            yield Run(f"dag run-{number}", shared)
    else:
        for number in range(count):
            mapped = replace(TASK, log=f"submission.{number}", shared_log="request.1")
            changes = scenario == "a mapped task with changed settings"
            yield Run("dag run", with_settings(mapped, 1), changes=changes)


def with_settings(request: PaidRequest, settings: int) -> PaidRequest:
    """Return the request with other settings."""
    shared_log = f"request.{settings}" if request.shared_log else None
    return replace(request, inputs={"settings": settings}, shared_log=shared_log)


SCENARIOS = ["exports", "a task", "changed settings", "reuse", "a mapped task", "a mapped task with changed settings"]
