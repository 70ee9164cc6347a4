"""Fixtures that detect a blocked event loop."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: Seconds after which Airflow logs that a trigger blocks the event loop.
BLOCKED = 0.2

#: Linux's statistics of this thread: nanoseconds of running, nanoseconds of waiting for a CPU, and time slices.
ACCOUNT = Path("/proc/thread-self/schedstat")


def undisturbed() -> float:
    """Return the time of a clock that stops while this thread waits for a processor, in seconds."""
    waited = int(ACCOUNT.read_text().split()[1]) if ACCOUNT.exists() else 0
    return time.monotonic() - waited / 1e9


@pytest.fixture
async def blockers(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Callable[[], list[str]]]:
    """Yield a function that returns asyncio's messages about blocks longer than :data:`BLOCKED`."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.time = undisturbed  # type: ignore[method-assign]  # of this loop alone
    loop.slow_callback_duration = BLOCKED

    def messages() -> list[str]:
        # By the name of the phase: after the test, caplog.records has the records of the teardown.
        records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
        return [record.getMessage() for record in records if record.name == "asyncio"]

    gc.freeze()  # a garbage collection of all objects of Airflow would block the loop
    yield messages
    gc.unfreeze()


@pytest.fixture
async def free_loop(blockers: Callable[[], list[str]]) -> AsyncIterator[None]:
    """Fail the test if anything in it blocks its event loop."""
    yield
    await asyncio.sleep(0)
    assert not [what for what in blockers() if "took" in what]
