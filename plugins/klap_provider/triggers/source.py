"""The trigger that polls a watched source without a worker."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from klap_provider.airflow_internals.asset_store import AssetStore
from klap_provider.rules.pace import Pace
from klap_provider.sources.check import SourceCheck
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from klap_provider.rules.source_runs import Source
    from klap_provider.sources.check import Checked

#: Seconds after which the same finding is reported again, because events can get lost.
REPORT_AGAIN = 900.0

#: Seconds after which a poll that hangs is given up.
LONGEST_POLL = 600.0

#: Number of failures in a row after which a task checks the source, so that people are told.
FAILURES = 3

#: What is reported then.
FAILED = ("failed",)

#: Maximum seconds between two polls of a source that fails.
LONGEST_PAUSE = 3600.0


class SourceTrigger(BaseEventTrigger):
    """
    Poll a source, and report when a task has something to do. The event says nothing else: the task checks again.

    It never ends: Airflow would start it again at once.

    :param asset: name of the asset. Airflow merges triggers with the same arguments.
    :param name: name of the source in the ledger.
    :param source: class path of the source.
    :param arguments: its arguments, as JSON. Airflow 3.3 and 3.4 drop a watcher whose trigger has nested dicts in its
        arguments: their hash is another one after they were stored.
    :param pace: arguments of :class:`~klap_provider.rules.pace.Pace` as JSON, with ``since`` in ISO 8601.
    :param scopes: whose pauses apply, see :func:`~klap_provider.sources.check.pause_scopes`.
    :param poll_interval: seconds between two polls. Default 300.
    """

    def __init__(
        self,
        *,
        asset: str,
        name: str,
        source: str,
        arguments: str,
        pace: str | None = None,
        scopes: Sequence[str] = (),
        poll_interval: float = 300,
        **_unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # airflow.triggers.base is not typed
        self.asset = asset
        self.name = name
        self.source = source
        self.arguments = arguments
        self.pace = pace
        self.scopes = scopes
        self.poll_interval = poll_interval
        self._latest_poll: asyncio.Future[Checked] | None = None

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        asset: str,
        name: str,
        pace: Pace | None,
        poll_interval: float,
        scopes: Sequence[str] = (),
    ) -> SourceTrigger:
        """Return the trigger for a source, which must be a dataclass in a module that the triggerer can import."""
        kind, arguments = type(source), asdict(source)  # type: ignore[call-overload]  # it raises the error
        since = pace.since if pace else None
        return cls(
            asset=asset,
            name=name,
            source=f"{kind.__module__}.{kind.__qualname__}",
            arguments=json.dumps(arguments),
            pace=json.dumps({**asdict(pace), "since": since.isoformat() if since else None}) if pace else None,
            poll_interval=poll_interval,
            scopes=scopes,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return "klap_provider.triggers.SourceTrigger", {
            "asset": self.asset,
            "name": self.name,
            "source": self.source,
            "arguments": self.arguments,
            "pace": self.pace,
            "scopes": list(self.scopes),
            "poll_interval": self.poll_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event ``{"source": str}`` each time that a task has something to do."""
        reported: tuple[Any, float] = None, 0.0
        failures = 0
        while True:
            try:
                failures, finding = 0, _finding(await self._poll())
            except Exception as failure:  # the source, the ledger or Airflow's API; the next poll repeats it
                failures += 1
                finding = FAILED if failures >= FAILURES else None
                self.log.warning("The source %s could not be polled (%d in a row): %s", self.name, failures, failure)
            if finding is None:
                reported = None, 0.0
            elif finding != reported[0] or (finding != FAILED and time.monotonic() - reported[1] >= REPORT_AGAIN):
                reported = finding, time.monotonic()
                yield TriggerEvent({"source": self.name})
            await asyncio.sleep(
                min(self.poll_interval * 2 ** min(failures, 10), max(LONGEST_PAUSE, self.poll_interval))
            )

    async def _poll(self) -> Checked:
        if self._latest_poll is not None and not self._latest_poll.done():
            raise TimeoutError("the poll before has not ended")  # another one would block another thread
        poll = self._latest_poll = asyncio.ensure_future(asyncio.to_thread(self._check))
        # Before Python 3.12, asyncio.wait_for can swallow a cancellation, and the trigger would run for ever.
        done, _ = await asyncio.wait({poll}, timeout=LONGEST_POLL)
        if not done:
            raise TimeoutError(f"it took longer than {LONGEST_POLL:g} s")
        return poll.result()

    def _check(self) -> Checked:
        """Check the source. It blocks, so it runs in a thread."""
        module, _, kind = self.source.rpartition(".")
        source = getattr(importlib.import_module(module), kind)(**json.loads(self.arguments))
        pace = json.loads(self.pace or "{}")
        if since := pace.get("since"):
            pace["since"] = datetime.fromisoformat(since)
        check = SourceCheck(self.name, source, Pace(**pace), AssetStore(LEDGER), self.scopes)
        return check.run(time.time(), in_task=False)


def _finding(found: Checked) -> Any:
    """Return what a task has to do, to compare it with what was reported; None: nothing."""
    decision = found.decision
    items = [*decision.start, *decision.old, *decision.renamed, *(item for item, _ in decision.skip)]
    return tuple(item.id for item in items) if found.needs_task else None
