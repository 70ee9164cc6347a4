"""Twenty concurrent runs, each in its own process, share the rest of a monthly limit in Airflow's state store."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.state.metastore import AssetScope, MetastoreBackend
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from klap_provider.rules import month_log
from klap_provider.rules.monthly_limit import Limit, MonthlyLimits
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 20
#: The factor by which the clock of the processes is faster.
SPEED = 20
LIMITS = [Limit("connection", "klap_default", Decimal(30)), Limit("dag", "shorts", Decimal(100))]
#: A video, 10 shorts and an export. The limit covers 7 of them.
PRICE, COVERED = Decimal("4.12"), 7


class Clock:
    """A clock that runs faster."""

    def now(self) -> float:
        return time.monotonic() * SPEED

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds * random.uniform(0.5, 1.5) / SPEED)


class Ledger:
    """The rows of the ledger in a database, written by Airflow's own code."""

    def __init__(self, file: Path) -> None:
        self._engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 60})
        self._backend, self._scope = MetastoreBackend(), AssetScope(name=LEDGER, asset_id=1)

    def get(self, key: str) -> Any:
        with Session(self._engine) as session:
            found = self._backend.get(self._scope, key, session=session)
        return None if found is None else json.loads(found)

    def set(self, key: str, value: Any) -> None:
        with Session(self._engine) as session, session.begin():
            self._backend.set(self._scope, key, json.dumps(value), session=session)

    def delete(self, key: str) -> None:
        with Session(self._engine) as session, session.begin():
            self._backend.delete(self._scope, key, session=session)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "airflow.db"
    engine = create_engine(f"sqlite:///{file}")
    for model in (AssetModel, AssetStateStoreModel):
        model.__table__.create(engine)
    with Session(engine) as session, session.begin():
        session.add(AssetModel(id=1, name=LEDGER, uri=LEDGER, group="asset", extra={}))
    return file


def limits(file: Path, run: str, month: int) -> MonthlyLimits:
    now = datetime(2026, month, 15, tzinfo=timezone.utc)
    return MonthlyLimits(Ledger(file), LIMITS, f"shorts {run}", run, Clock(), now)


def reserve(file: Path, run: str, month: int, results: Any) -> None:
    reserved = limits(file, run, month).reserve("submission", PRICE, ["post"])
    results.put((run, bool(reserved.items)))


def reserve_at_once(file: Path, runs: list[str], month: int) -> dict[str, bool]:
    """Let each run reserve its submission in its own process, and return which were granted."""
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    processes = [fork.Process(target=reserve, args=(file, run, month, results)) for run in runs]
    for process in processes:
        process.start()
    granted = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    return granted


def test_twenty_concurrent_runs_never_reserve_more_than_the_limit(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The time of a slow process is not faster. An entry that is void because its process was slow can count.
    monkeypatch.setattr(month_log, "VOID_AFTER", month_log.VOID_AFTER * SPEED)
    runs = [f"run-{number}" for number in range(RUNS)]
    in_november = reserve_at_once(database, runs, 11)
    assert sum(in_november.values()) == COVERED
    assert [total for _, total in limits(database, "later", 11).used()] == [COVERED * PRICE] * 2

    refused = [run for run in runs if not in_november[run]]
    in_december = reserve_at_once(database, refused, 12)
    assert sum(in_december.values()) == COVERED
    assert [total for _, total in limits(database, "later", 12).used()] == [COVERED * PRICE] * 2
