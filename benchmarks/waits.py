"""
Waits in one event loop, as a process of its own.

It reads a list of measurements from standard input and writes a list of results, both as JSON; see :class:`Plan` and
:class:`Outcome`. All contenders poll at the same interval until :mod:`benchmarks.poll_server` says that they are ready.
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
    :param waits: how many at the same time.
    :param polls: how many each takes.
    :param folders: in how many folders they are, for ``klap_exports``.
    :param every: seconds between two polls of a wait; 0: so that a thousand are due each second.
    """

    contender: str
    origin: str
    waits: int
    polls: int
    folders: int = 0
    every: float = 0

    @property
    def interval(self) -> float:
        """Seconds between two polls of a wait."""
        return self.every or self.waits / 1000


@dataclass(frozen=True)
class Outcome:
    """
    What it cost.

    :param cpu: seconds of this process, for all polls.
    :param polls: how many the server saw.
    :param connections: how many it saw.
    :param block: longest time, in seconds, for which the event loop did nothing else.
    :param memory: growth of the process, in bytes, beyond what is loaded once for any number of waits.
    """

    cpu: float
    polls: int
    connections: int
    block: float
    memory: int


def _times(plan: Plan) -> dict[str, Any]:
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
        **_times(plan),
    ).run()


def klap_exports(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of this project for an export; they are spread over the folders."""
    from klap_provider.triggers import ExportStatusTrigger

    return ExportStatusTrigger(
        klap_conn_id="klap_bench",
        target={
            "export_id": f"export{number:010}",
            "project_id": f"short{number:07}",
            # Which ones it has, for the server: every so-many-th from this one on, and how many.
            "folder_id": f"folder{plan.folders}-{number % plan.folders}x{plan.waits // plan.folders}",
        },
        **_times(plan),
    ).run()


def http_sensor(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of the HTTP provider."""
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"sensor/{number}", http_conn_id="http_bench", poke_interval=plan.interval).run()


def dbt_cloud(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Return a wait of the dbt Cloud provider, which knows https alone."""
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    wait: AsyncIterator[Any] = DbtCloudRunJobTrigger(
        conn_id="dbt_bench", run_id=number, end_time=time.time() + 3600, poll_interval=plan.interval, account_id=1
    ).run()
    return wait


async def idle(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Do nothing but sleep: what the event loop itself takes."""
    await asyncio.sleep(plan.interval * plan.polls)
    yield None


_session: Any = None


async def bare(plan: Plan, number: int) -> AsyncIterator[Any]:
    """Poll with one aiohttp session for all, and nothing around it: the floor."""
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
    """Start all waits at once, and return when the last has ended."""
    control = plan.origin
    process = psutil.Process()
    await load(plan)
    await tell(control, f"/reset/{plan.polls}")
    before = peak = process.memory_info().rss
    waits = [CONTENDERS[plan.contender](plan, number) for number in range(plan.waits)]
    block, beating = 0.0, True

    async def heart() -> None:
        nonlocal block, peak
        last = time.perf_counter()
        for beat in itertools.count():
            await asyncio.sleep(0)
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            block, last = max(block, now - last - 0.005), now
            if beat % 20 == 0:
                peak = max(peak, process.memory_info().rss)
            if not beating:
                return

    beats = asyncio.create_task(heart())
    await asyncio.sleep(0.1)
    cpu = time.process_time()
    await asyncio.gather(*map(first_event, waits))
    cpu = time.process_time() - cpu
    beating = False
    await beats
    if _session is not None:
        await _session.close()
    seen = await tell(control, "/tally")
    return Outcome(cpu, seen["polls"], seen["connections"], block, peak - before)


async def load(plan: Plan) -> None:
    """
    Have two waits done, which share their looks: what is loaded once for all waits is no part of what one takes.

    It is kept out of garbage collection, as what Airflow holds is: a pause for it would hide that for the waits.
    """
    two = replace(plan, waits=2, polls=1, folders=min(plan.folders, 1), every=0)
    await tell(plan.origin, "/reset/1")
    await asyncio.gather(*(first_event(CONTENDERS[plan.contender](two, number)) for number in range(two.waits)))
    if _session is not None:
        await _session.close()
    gc.collect()
    gc.freeze()


async def first_event(wait: AsyncIterator[Any]) -> None:
    """Return when a wait has ended."""
    await anext(wait)
    await wait.aclose()  # type: ignore[attr-defined]  # every one is a generator


async def tell(origin: str, path: str) -> dict[str, int]:
    """Talk to the server itself."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(origin + path) as response:
        answer: dict[str, int] = await response.json()
        return answer


def main() -> None:
    """Carry out the plans of standard input."""
    outcomes = []
    gc.collect()
    gc.freeze()  # what Airflow itself holds; a pause for it would hide ours
    for plan in (Plan(**each) for each in json.load(sys.stdin)):
        host = {"host": plan.origin}
        for name, conn in {
            # It is the cost of a poll that is measured here, so as many are let out as the interval asks for.
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
