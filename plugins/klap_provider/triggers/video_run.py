"""The trigger that waits for the Dag run of a video."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from klap_provider.airflow_internals.tasks import arun_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: States of a run that has ended.
ENDED = ("success", "failed")

#: Reported instead of a state if the run no longer exists.
DELETED = "deleted"


class VideoRunTrigger(BaseTrigger):
    """
    Poll the state of a Dag run until the run has ended, is deleted, or the deadline passes.

    Airflow's ``DagStateTrigger`` never ends if the run is deleted, and has no deadline.

    :param dag_id: id of the Dag.
    :param run_id: id of the run.
    :param deadline: when to give up, in seconds since the epoch. A restart of the triggerer does not extend it.
    :param poll_interval: seconds between two polls. Default 30.
    """

    def __init__(
        self, *, dag_id: str, run_id: str, deadline: float, poll_interval: float = 30, **_unknown: Any
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # airflow.triggers.base is not typed
        self.dag_id = dag_id
        self.run_id = run_id
        self.deadline = deadline
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return "klap_provider.triggers.VideoRunTrigger", {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "deadline": self.deadline,
            "poll_interval": self.poll_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``{"state": str}``, with the state of the run, ``deleted`` or ``unknown``."""
        state: str | None = "unknown"
        while True:
            try:
                state = await arun_state(self.dag_id, self.run_id) or DELETED
            except Exception as failure:  # the API server failed, not the run
                self.log.info("The state of %s could not be read, and is polled again: %s", self.run_id, failure)
            if state in (*ENDED, DELETED) or time.time() >= self.deadline:
                break
            await asyncio.sleep(max(0.0, min(self.poll_interval, self.deadline - time.time())))
        yield TriggerEvent({"state": state})
