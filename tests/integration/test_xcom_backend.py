"""Waits and tasks with a custom XCom backend."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.xcom import BaseXCom

from klap_provider.airflow_internals.tasks import push_result

if TYPE_CHECKING:
    import pytest

    from tests.support.airflow_context import Supervisor


async def test_a_slow_xcom_backend_does_not_block_the_other_waits(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, continued = threading.Event(), []

    class Slow(BaseXCom):
        """Store a value after the event loop has run another task."""

        @staticmethod
        def serialize_value(value: Any, **identity: Any) -> Any:
            continued.append(others.wait(5))
            return BaseXCom.serialize_value(value)

    async def another_wait() -> None:
        await asyncio.sleep(0)
        others.set()

    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", Slow)
    ti = SimpleNamespace(dag_id="videos", run_id="monday", task_id="wait", map_index=2)
    await asyncio.gather(push_result(ti, {"took": 1.5}), another_wait())

    assert continued == [True]
    assert supervisor.xcom("wait", map_index=2) == {"took": 1.5}
