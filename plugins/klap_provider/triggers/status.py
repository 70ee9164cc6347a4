"""Triggers that wait for a job of Klap. They only send GETs."""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from klap_provider.airflow_internals.tasks import push_result
from klap_provider.errors import KlapError, KlapJobError, KlapNoShortsError
from klap_provider.rules.job_targets import ExportTarget, TaskTarget
from klap_provider.rules.list_complete import ShortsTarget
from klap_provider.rules.polling import LAST_POLL, Done, PollAgain, PollState, Target
from klap_provider.telemetry import metrics

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from klap_provider.hooks.async_client import KlapAsyncClient


class KlapTrigger(BaseTrigger):
    """
    Poll a job until it is ready. Then resume the task, or end it here with ``end_from_trigger``.

    :mod:`klap_provider.rules.polling` decides what the result of a poll means. If the job failed or the deadline
    passed, the task is resumed, polls again and fails on the worker, with the same exceptions, retries and callbacks as
    in every other mode.

    A worker also takes over after five failed polls in a row, because it may reach Klap, and after any other failure of
    the trigger. If the job still runs, the worker defers the task again. If the triggerer still cannot reach Klap, it
    hands over after every 20 polls.

    Airflow stores these arguments, and a new version must read those of the earlier one. Unknown arguments are ignored,
    and missing ones have defaults.

    :param klap_conn_id: the Airflow connection, of type ``klap``.
    :param target: ids of the job, see the subclasses.
    :param next_poll: when to poll next, in seconds since the epoch. Default: now.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection.
    :param end_from_trigger: write the XCom and end the task from the triggerer, without a worker. Default false.
    :param state: the state of the wait, see :meth:`~klap_provider.rules.polling.PollState.to_kwargs`.
    """

    target_type: ClassVar[type[Target[Any]]]

    def __init__(
        self,
        *,
        klap_conn_id: str,
        target: dict[str, Any],
        next_poll: float | None = None,
        on_behalf_of: str | None = None,
        end_from_trigger: bool = False,
        **state: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # airflow.triggers.base is not typed
        self.klap_conn_id = klap_conn_id
        self.target = self.target_type.from_ids(target)
        self.state = PollState.from_kwargs(state, self.target_type.schedule)
        self.next_poll = time.time() if next_poll is None else next_poll
        self.on_behalf_of = on_behalf_of
        self.end_from_trigger = end_from_trigger

    @classmethod
    def waiting(cls, target: Target[Any], again: PollAgain, *, klap_conn_id: str, **options: Any) -> KlapTrigger:
        """
        Return the trigger that continues a wait that began on a worker.

        :param options: ``on_behalf_of`` and ``end_from_trigger``.
        """
        return cls(
            klap_conn_id=klap_conn_id,
            target=asdict(target),  # type: ignore[call-overload]  # every target is a dataclass
            next_poll=time.time() + again.seconds,
            **again.state.to_kwargs(),
            **options,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which have no secrets."""
        return f"klap_provider.triggers.{type(self).__name__}", {
            "klap_conn_id": self.klap_conn_id,
            "target": asdict(self.target),  # type: ignore[call-overload]  # every target is a dataclass
            **self.state.to_kwargs(),
            "next_poll": self.next_poll,
            "on_behalf_of": self.on_behalf_of,
            "end_from_trigger": self.end_from_trigger,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the success of the task, or the fields of the state with which a worker continues."""
        now = time.time()
        pause = self.next_poll - now
        if pause < 0:  # after a restart of the triggerer, thousands of polls may be due
            spread = random.uniform(0, self.state.schedule.interval)  # noqa: S311  # not for security
            pause = min(spread, self.state.deadline - now)
        try:
            event = await self._wait(pause)
        except Exception:
            # If raised, Airflow would end the task without another poll, and skip it if soft_fail is set.
            self.log.exception("The trigger for %s failed. A worker continues the wait", self.target)
            await self._hand_over(at_least=self.state.schedule.interval)
            event = None
        state = self.state
        fields = {"unknown_since": state.unknown_since, "handovers": state.handovers, **state.of_list}
        yield event or TriggerEvent(fields)

    async def _wait(self, pause: float) -> TriggerEvent | None:
        """
        Poll until the wait is over. Return the event of a task that ends here, or None if a worker continues.

        :param pause: seconds until the first poll.
        """
        client_class, target = await _client_class(), self.target
        async with client_class(self.klap_conn_id, on_behalf_of=self.on_behalf_of, target=target) as client:
            await asyncio.sleep(pause)
            while True:
                result: Any
                age = 0.0
                try:
                    # Includes reading the connection and the queue of all polls. Not wait_for, which creates a task
                    # for each poll.
                    async with timeout(max(self.state.deadline - time.time(), LAST_POLL)):
                        result, age = await client.poll(self.state.schedule.interval)
                except asyncio.TimeoutError:
                    self.log.info("The deadline of %s passed during a poll", self.target)
                    return None
                except KlapError as failure:
                    result = failure
                try:
                    decision = target.decide(result, self.state, now=time.time())
                except (KlapJobError, KlapNoShortsError) as failure:
                    self.log.info("The wait for %s is over: %s", self.target, failure)
                    return None
                except KlapError as failure:
                    self.log.info("A worker polls %s, because a poll of the triggerer failed: %s", self.target, failure)
                    await self._hand_over()
                    return None
                if isinstance(decision, Done):
                    following = target.following(decision, self.state, now=time.time())
                    if following is None:
                        self.log.info("%s is ready", self.target)
                        return await self._end(target.xcom(decision))
                    if self.state.ready_at is None:
                        self._record_wait_time()
                    target, self.state = following
                    client.target = target
                    continue
                self._log_changes(result, decision.state)
                self.state = decision.state
                if not isinstance(result, KlapError):
                    self.state = replace(self.state, handovers=0)
                elif self.state.hands_over:
                    self.log.info(
                        "A worker polls %s, because %d polls in a row failed", self.target, self.state.failures
                    )
                    self.state = self.state.handed_over()
                    return None
                await asyncio.sleep(max(0.0, decision.seconds - age))

    def _log_changes(self, result: Any, state: PollState) -> None:
        """Log what has changed since the last poll."""
        if isinstance(result, KlapError):
            if not self.state.failures and state.failures:
                self.log.info("%s: %s", self.target, result)
        elif self.state.failures:
            self.log.info("%s: polls succeed again", self.target)
        elif state.seen != self.state.seen:
            self.log.info("%s: the list of shorts may be incomplete. It is polled again", self.target)
        elif state.unknown_since != self.state.unknown_since:
            self.log.info("%s has the status %r", self.target, result.status)

    async def _hand_over(self, *, at_least: float = 0.0) -> None:
        """Let a worker take over, after a longer pause each time if a worker took over just before."""
        seconds = max(at_least, self.state.seconds_before_hand_over)
        await asyncio.sleep(max(0.0, min(seconds, self.state.deadline - time.time())))
        self.state = self.state.handed_over()

    def _record_wait_time(self) -> None:
        metrics.time(metrics.WAIT, time.time() - self.state.started_at, job=self.target.job)

    async def _end(self, result: Any) -> TriggerEvent | None:
        if not self.end_from_trigger or self.task_instance is None:  # None in dag.test()
            return None
        try:
            await push_result(self.task_instance, result)
        except Exception:
            self.log.exception("The XCom of %s could not be written. A worker writes it", self.target)
            return None
        if self.state.ready_at is None:
            self._record_wait_time()
        return TaskSuccessEvent()


_client: type[KlapAsyncClient] | None = None


async def _client_class() -> type[KlapAsyncClient]:
    """
    Return the client's class. The first wait loads it in a thread, because requests and aiohttp take about a second.

    A thread for each wait would block the event loop when thousands of them start.
    """
    global _client
    if _client is None:
        module = await asyncio.to_thread(importlib.import_module, "klap_provider.hooks.async_client")
        _client = module.KlapAsyncClient
    return _client


class TaskStatusTrigger(KlapTrigger):
    """Wait for a task, and for the list of its shorts. ``target``: the fields of its :class:`TaskTarget`."""

    target_type = TaskTarget


class ExportStatusTrigger(KlapTrigger):
    """Wait for an export. ``target``: ``{"export_id": str, "project_id": str, "folder_id": str | None}``."""

    target_type = ExportTarget


class ShortsListTrigger(KlapTrigger):
    """Wait for a folder to have shorts, or for a project. ``target``: the fields of its :class:`ShortsTarget`."""

    target_type = ShortsTarget
