"""The detection of a blocked event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from klap_provider.rules.job_targets import TaskTarget
from klap_provider.triggers import TaskStatusTrigger
from tests.support.loop_watch import BLOCKED, blockers
from tests.support.sandbox import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from airflow.triggers.base import TriggerEvent

__all__ = ["blockers"]  # fixtures


class Blocking(TaskStatusTrigger):
    """A trigger that blocks the event loop."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep, as only a worker may."""
        time.sleep(3 * BLOCKED)  # noqa: ASYNC251  # that is the point
        async for event in super().run():
            yield event


async def test_a_trigger_that_blocks_the_event_loop_is_found(blockers: Callable[[], list[str]]) -> None:
    trigger = Blocking(
        klap_conn_id="nowhere",
        target={"klap_task_id": TaskTarget("task000000000000").klap_task_id},
        started_at=time.time(),
        deadline=time.time() + 0.1,
        poll_interval=0.05,
    )
    await asyncio.create_task(anext(trigger.run()))  # type: ignore[arg-type]  # it is a coroutine
    assert any("took" in what for what in blockers())


async def test_sleeping_and_waiting_for_a_thread_are_not_blocking(blockers: Callable[[], list[str]]) -> None:
    await asyncio.sleep(BLOCKED + 0.05)
    await asyncio.to_thread(time.sleep, BLOCKED + 0.05)
    assert not any("took" in what for what in blockers())


def test_a_watched_test_fails_if_anything_blocks_the_event_loop(tmp_path: Path) -> None:
    file = tmp_path / "test_watched.py"
    file.write_text(
        "import time\n"
        "from tests.support.loop_watch import BLOCKED, blockers, free_loop\n"
        "async def test_blocking(free_loop):\n"
        "    time.sleep(3 * BLOCKED)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--config-file", REPOSITORY / "pyproject.toml", file],
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed, 1 error" in done.stdout, done.stdout
