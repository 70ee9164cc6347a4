"""Watching that nothing keeps the event loop to itself."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: Seconds after which Airflow logs that a trigger blocks its event loop.
BLOCKED = 0.2

#: Linux's account of this thread: nanoseconds that it ran, that it was ready and waited for a processor, time slices.
ACCOUNT = Path("/proc/thread-self/schedstat")


def undisturbed() -> float:
    """Return seconds on a clock that stands still while other processes keep the processors to themselves."""
    waited = int(ACCOUNT.read_text().split()[1]) if ACCOUNT.exists() else 0
    return time.monotonic() - waited / 1e9


@pytest.fixture
async def blockers(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Callable[[], list[str]]]:
    """Give what has kept the event loop of this test for longer than :data:`BLOCKED`, as asyncio describes it."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.time = undisturbed  # type: ignore[method-assign]  # of this loop alone
    loop.slow_callback_duration = BLOCKED

    def said() -> list[str]:
        # Of the phase by its name: once the test is over, caplog.records are those of its teardown.
        records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
        return [record.getMessage() for record in records if record.name == "asyncio"]

    gc.freeze()  # a garbage collection that falls into a test takes as long as all that Airflow holds wants
    yield said
    gc.unfreeze()


@pytest.fixture
async def free_loop(blockers: Callable[[], list[str]]) -> AsyncIterator[None]:
    """Fail the test if anything in it blocks its event loop."""
    yield
    await asyncio.sleep(0)
    assert not [what for what in blockers() if "took" in what]
