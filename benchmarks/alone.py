"""Airflow alone: the steps of a run without their work, so that a run takes what Airflow itself needs."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow.sdk import Context
    from airflow.triggers.base import TriggerEvent


class Step(BaseOperator):
    """
    Do nothing, and return when: in seconds since the epoch.

    :param item: what a task of this kind gets from the tasks before it.
    """

    template_fields: Sequence[str] = ("item",)

    def __init__(self, *, item: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.item = item

    def execute(self, context: Context) -> float:
        """Return the time."""
        return time.time()


class Select(BaseOperator):
    """Return the numbers to map over."""

    template_fields: Sequence[str] = ("count",)

    def __init__(self, *, count: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def execute(self, context: Context) -> list[int]:
        """Return the numbers."""
        return list(range(int(self.count)))


class Wait(BaseSensorOperator):
    """
    Wait for the end of a job in the triggerer, which ends the task.

    :param started_at: when the job started, in seconds since the epoch.
    :param seconds: how long it takes.
    """

    template_fields: Sequence[str] = ("started_at", "seconds")

    def __init__(self, *, started_at: str, seconds: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.started_at = started_at
        self.seconds = seconds

    def execute(self, context: Context) -> None:
        """Defer."""
        trigger = SleepTrigger(until=float(self.started_at) + float(self.seconds))
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(hours=1))


class SleepTrigger(BaseTrigger):
    """Sleep, and end the task."""

    def __init__(self, *, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # airflow.triggers.base is not typed
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{__name__}.{type(self).__name__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until the job ends."""
        await asyncio.sleep(max(0.0, self.until - time.time()))
        yield TaskSuccessEvent()
