"""Settings of hypothesis, which are the same examples in every run without a time limit, and an empty database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="module")
def empty_database() -> Iterator[Session]:
    """A session of an empty database with Airflow's tables and indexes."""
    from airflow.models import import_all_models
    from airflow.models.asset import AssetModel
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    import_all_models()
    engine = create_engine("sqlite://")
    AssetModel.metadata.create_all(engine)
    with Session(engine) as opened:
        yield opened
