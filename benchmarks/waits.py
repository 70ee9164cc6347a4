"""
Run waits in one event loop, in another process.

Reads a JSON list of :class:`Plan` from standard input, and prints a JSON list of :class:`Outcome`. All contenders poll
at the same interval until the job is ready at :mod:`benchmarks.poll_server`.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(frozen=True)
class Plan:
    """
    One measurement.

    :param contender: a key of :data:`CONTENDERS`.
    :param origin: the server, such as ``https://127.0.0.1:8443``.
    :param waits: number of concurrent waits.
    :param polls: polls of each wait.
    :param folders: number of folders, for ``klap_exports``.
    :param every: poll interval in seconds; 0 = a thousand polls per second.
    """

    contender: str
    origin: str
    waits: int
    polls: int
    folders: int = 0
    every: float = 0

    @property
    def interval(self) -> float:
        """Poll interval in seconds."""
        return self.every or self.waits / 1000


@dataclass(frozen=True)
class Outcome:
    """
    Cost of a plan.

    :param cpu: CPU time of all polls, in seconds.
    :param polls: number of polls at the server.
    :param connections: number of connections at the server.
    :param block: longest block of the event loop, in seconds.
    :param memory: growth of the process in bytes, without what is loaded once.
    """

    cpu: float
    polls: int
    connections: int
    block: float
    memory: int


def _wait_arguments(plan: Plan) -> dict[str, Any]:
    now = time.time()
    return {
        "started_at": now,
        "deadline": now + 3600,
        "poll_interval": plan.interval,
        "first_poll": 0,
        "next_poll": now + plan.interval * random.uniform(0.9, 1),
    }


def klap(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of this project."""
    from klap_provider.triggers import TaskStatusTrigger

    return TaskStatusTrigger(
        klap_conn_id="klap_bench",
        target={"klap_task_id": f"task{number:012}"},
        **_wait_arguments(plan),
    ).run()


def klap_exports(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of this project for an export. The exports are spread over the folders."""
    from klap_provider.triggers import ExportStatusTrigger

    return ExportStatusTrigger(
        klap_conn_id="klap_bench",
        target={
            "export_id": f"export{number:010}",
            "project_id": f"short{number:07}",
            # The id tells the server which exports the folder has.
            "folder_id": f"folder{plan.folders}-{number % plan.folders}x{plan.waits // plan.folders}",
        },
        **_wait_arguments(plan),
    ).run()


def http_sensor(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of the HTTP provider."""
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"sensor/{number}", http_conn_id="http_bench", poke_interval=plan.interval).run()


def dbt_cloud(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of the dbt Cloud provider, which supports only https."""
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    wait: AsyncIterator[Any] = DbtCloudRunJobTrigger(
        conn_id="dbt_bench", run_id=number, end_time=time.time() + 3600, poll_interval=plan.interval, account_id=1
    ).run()
    return wait


async def idle(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Only sleep, as a baseline."""
    await asyncio.sleep(plan.interval * plan.polls)
    yield None


_session: Any = None


async def bare(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Poll with one shared aiohttp session only, as a lower bound."""
    import aiohttp

    global _session
    if _session is None or _session.closed:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50))
    await asyncio.sleep(plan.interval * random.uniform(0.9, 1))
    while True:
        async with _session.get(f"{plan.origin}/v2/tasks/{number}") as response:
            if json.loads(await response.read())["status"] == "ready":
                break
        await asyncio.sleep(plan.interval)
    yield None


CONTENDERS: dict[str, Callable[[Plan, int], AsyncIterator[Any]]] = {
    each.__name__: each for each in (klap, klap_exports, http_sensor, dbt_cloud, bare, idle)
}


async def measure(plan: Plan) -> Outcome:
    """Run all waits concurrently, and return their cost."""
    control = plan.origin
    process = psutil.Process()
    await load(plan)
    await ask_server(control, f"/reset/{plan.polls}")
    before = peak = process.memory_info().rss
    waits = [CONTENDERS[plan.contender](plan, number) for number in range(plan.waits)]
    block, measuring = 0.0, True

    async def measure_block() -> None:
        nonlocal block, peak
        last = time.perf_counter()
        for count in itertools.count():
            await asyncio.sleep(0)
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            block, last = max(block, now - last - 0.005), now
            if count % 20 == 0:
                peak = max(peak, process.memory_info().rss)
            if not measuring:
                return

    blocks = asyncio.create_task(measure_block())
    await asyncio.sleep(0.1)
    cpu = time.process_time()
    await asyncio.gather(*map(first_event, waits))
    cpu = time.process_time() - cpu
    measuring = False
    await blocks
    if _session is not None:
        await _session.close()
    seen = await ask_server(control, "/tally")
    return Outcome(cpu, seen["polls"], seen["connections"], block, peak - before)


async def load(plan: Plan) -> None:
    """Run two waits first, so that what is loaded once is not measured, and freeze it in garbage collection."""
    two = replace(plan, waits=2, polls=1, folders=min(plan.folders, 1), every=0)
    await ask_server(plan.origin, "/reset/1")
    await asyncio.gather(*(first_event(CONTENDERS[plan.contender](two, number)) for number in range(two.waits)))
    if _session is not None:
        await _session.close()
    gc.collect()
    gc.freeze()


async def first_event(wait: AsyncIterator[Any]) -> None:
    """Return when a wait has ended."""
    await anext(wait)
    await wait.aclose()  # type: ignore[attr-defined]  # every one is a generator


async def ask_server(origin: str, path: str) -> dict[str, int]:
    """Call a control endpoint of the server."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(origin + path) as response:
        answer: dict[str, int] = await response.json()
        return answer


def main() -> None:
    """Run the plans of standard input."""
    outcomes = []
    gc.collect()
    gc.freeze()  # a pause for Airflow's objects would hide those of the waits
    for plan in (Plan(**each) for each in json.load(sys.stdin)):
        host = {"host": plan.origin}
        for name, conn in {
            # Without the limit of requests per second, to measure the cost of a poll.
            "KLAP": {
                "conn_type": "klap",
                "host": f"{plan.origin}/v2",
                "password": "kak_bench",
                "extra": {"requests_per_second": 10_000},
            },
            "HTTP": {"conn_type": "http", **host},
            "DBT": {"conn_type": "dbt_cloud", "host": plan.origin.partition("://")[2], "password": "bench"},
        }.items():
            os.environ[f"AIRFLOW_CONN_{name}_BENCH"] = json.dumps(conn)
        outcomes.append(asdict(asyncio.run(measure(plan))))
    print(json.dumps(outcomes), flush=True)  # the last line: Airflow logs above it


if __name__ == "__main__":
    main()
