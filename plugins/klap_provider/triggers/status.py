"""Waiting without a worker. A trigger only looks: it never submits, and never cancels."""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from klap_provider.airflow_internals.tasks import leave_result
from klap_provider.errors import KlapError
from klap_provider.rules.pace import Pace, Typical
from klap_provider.rules.polling import LAST_LOOK, ExportTarget, Ready, ShortsTarget, Target, TaskTarget, Wait, Watch
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
    Look until there is something for a worker to decide, or, with ``end_from_trigger``, until the task is done.

    What a look means is decided by :mod:`klap_provider.rules.polling`. When it is over for any other reason than
    success, the task is resumed and looks for itself, so that it fails there: with the same exception, retries and
    callbacks as in every other mode. So it is when the deadline passes in a look, and for whatever goes wrong here.

    :param klap_conn_id: the Airflow connection, of type ``klap``.
    :param target: the ids of what is waited for.
    :param started_at: when the job was submitted, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; a restart of the triggerer does not extend it.
    :param shortest: seconds between looks at least.
    :param longest: seconds between looks at most.
    :param typical: the fields of :class:`~klap_provider.rules.pace.Typical`: how long such jobs take; None: not known.
    :param next_look: when to look next, in seconds since the epoch, as the worker's look decided.
    :param unknown_since: since when Klap has reported a status that is not known, in seconds since the epoch.
    :param running_at: when the job was last known to run, in seconds since the epoch.
    :param seen: what the latest poll of a list saw, as a hash.
    :param seen_since: since when each poll of the list saw the same, in seconds since the epoch.
    :param on_behalf_of: id of the managed user to act for; None: the connection's.
    :param end_from_trigger: finish the task from here: its XCom is written, and no worker is started.
    """

    target_type: ClassVar[type[Target[Any]]]

    def __init__(
        self,
        *,
        klap_conn_id: str,
        target: dict[str, Any],
        started_at: float,
        deadline: float,
        shortest: float,
        longest: float,
        next_look: float,
        typical: dict[str, Any] | None = None,
        unknown_since: float | None = None,
        running_at: float | None = None,
        seen: str | None = None,
        seen_since: float | None = None,
        on_behalf_of: str | None = None,
        end_from_trigger: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # airflow.triggers.base is not typed
        self.klap_conn_id = klap_conn_id
        self.target = self.target_type(**target)
        pace = Pace(shortest, longest, Typical(**typical) if typical else None)
        self.watch = Watch(started_at, deadline, pace, unknown_since, running_at, seen=seen, seen_since=seen_since)
        self.next_look = next_look
        self.on_behalf_of = on_behalf_of
        self.end_from_trigger = end_from_trigger

    @classmethod
    def watching(
        cls,
        target: Target[Any],
        wait: Wait,
        *,
        klap_conn_id: str,
        on_behalf_of: str | None = None,
        end_from_trigger: bool = False,
    ) -> KlapTrigger:
        """Return the trigger that goes on with a watch that began on a worker."""
        watch = wait.watch
        return cls(
            klap_conn_id=klap_conn_id,
            target=asdict(target),  # type: ignore[call-overload]  # every target is a dataclass
            started_at=watch.started_at,
            deadline=watch.deadline,
            shortest=watch.pace.shortest,
            longest=watch.pace.longest,
            typical=asdict(watch.pace.typical) if watch.pace.typical else None,
            next_look=time.time() + wait.seconds,
            unknown_since=watch.unknown_since,
            running_at=watch.running_at,
            seen=watch.seen,
            seen_since=watch.seen_since,
            on_behalf_of=on_behalf_of,
            end_from_trigger=end_from_trigger,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments: ids and times, no secret."""
        return f"klap_provider.triggers.{type(self).__name__}", {
            "klap_conn_id": self.klap_conn_id,
            "target": asdict(self.target),  # type: ignore[call-overload]  # every target is a dataclass
            "started_at": self.watch.started_at,
            "deadline": self.watch.deadline,
            "shortest": self.watch.pace.shortest,
            "longest": self.watch.pace.longest,
            "typical": asdict(self.watch.pace.typical) if self.watch.pace.typical else None,
            "next_look": self.next_look,
            "unknown_since": self.watch.unknown_since,
            "running_at": self.watch.running_at,
            "seen": self.watch.seen,
            "seen_since": self.watch.seen_since,
            "on_behalf_of": self.on_behalf_of,
            "end_from_trigger": self.end_from_trigger,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the task's success, or those fields of the watch that a worker continues with."""
        now = time.time()
        pause = self.next_look - now
        if pause < 0:  # a triggerer was restarted, and with it perhaps thousands of waits
            spread = random.uniform(0, self.watch.pace.shortest)  # noqa: S311  # nothing secret
            pause = min(spread, self.watch.deadline - now)
        try:
            event = await self._watch(pause)
        except Exception:
            # Raised here, it would end the task without a look at the job, and as skipped where soft_fail is set.
            self.log.exception("The wait for %s broke off; a worker goes on with it", self.target)
            await asyncio.sleep(min(self.watch.pace.longest, self.watch.deadline - time.time()))
            event = None
        yield event or TriggerEvent(self._continued())

    def _continued(self) -> dict[str, Any]:
        watch = self.watch
        seen = {} if watch.seen is None else {"seen": watch.seen, "seen_since": watch.seen_since}
        return {"unknown_since": watch.unknown_since, "running_at": watch.running_at, **seen}

    async def _watch(self, pause: float) -> TriggerEvent | None:
        """
        Return the event of a task that ends here, or None for a worker to look.

        :param pause: seconds until the first look.
        """
        failing = False
        async with (await _client_class())(self.klap_conn_id, on_behalf_of=self.on_behalf_of) as client:
            await client.pause(self.target, pause)
            while True:
                look: Any
                try:
                    # With its turn among all that look, and the look-up of the connection. Not wait_for: it makes a
                    # task of each look.
                    async with timeout(max(self.watch.deadline - time.time(), LAST_LOOK)):
                        look = await client.look(self.target)
                except asyncio.TimeoutError:
                    self.log.info("The deadline of %s passed in a look", self.target)
                    return None
                except KlapError as failure:
                    look = failure
                watch = self.watch
                if not watch.shared and client.shares(self.target):
                    watch = replace(watch, shared=True)
                try:
                    verdict = self.target.judge(look, watch, now=time.time())
                except KlapError as over:
                    self.log.info("The wait for %s is over: %s", self.target, over)
                    return None
                if isinstance(verdict, Ready):
                    self.log.info("%s is ready", self.target)
                    return await self._end(verdict)
                if isinstance(look, KlapError) is not failing:
                    failing = not failing
                    self.log.info("%s: %s", self.target, look if failing else "Klap answers again")
                elif verdict.watch.unknown_since != self.watch.unknown_since:
                    self.log.info("%s: %s", self.target, look)
                self.watch = verdict.watch
                await client.pause(self.target, verdict.seconds)

    async def _end(self, ready: Ready[Any]) -> TriggerEvent | None:
        if not self.end_from_trigger or self.task_instance is None:  # dag.test() sets none
            return None
        try:
            await leave_result(self.task_instance, self.target.xcom(ready))
        except Exception:
            self.log.exception("The XCom of %s could not be written; a worker does it", self.target)
            return None
        metrics.time(metrics.WAIT, time.time() - self.watch.started_at, job=self.target.job)
        return TaskSuccessEvent()


_client: type[KlapAsyncClient] | None = None


async def _client_class() -> type[KlapAsyncClient]:
    global _client
    if _client is None:
        # In a thread: loading requests and aiohttp takes about a second, in which the event loop must not stand still.
        _client = (await asyncio.to_thread(importlib.import_module, "klap_provider.hooks.async_client")).KlapAsyncClient
    return _client


class TaskStatusTrigger(KlapTrigger):
    """Wait for a task. ``target``: ``{"klap_task_id": str}``."""

    target_type = TaskTarget


class ExportStatusTrigger(KlapTrigger):
    """Wait for an export. ``target``: ``{"export_id": str, "project_id": str, "folder_id": str | None}``."""

    target_type = ExportTarget


class ShortsListTrigger(KlapTrigger):
    """Wait for a folder to have shorts, or for a project. ``target``: the fields of its :class:`ShortsTarget`."""

    target_type = ShortsTarget
