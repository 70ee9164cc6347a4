"""A metadata database for the reproductions."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import DAG


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow's own database, empty."""
    from airflow import settings
    from airflow.utils.db import initdb

    folder = tmp_path_factory.mktemp("airflow")
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundle = {"name": "dags", "classpath": local, "kwargs": {"path": str(folder / "dags")}}
    own = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
    }
    (folder / "dags").mkdir()
    os.environ.update(own)
    try:
        settings.configure_vars()
        settings.reconfigure_orm()
        initdb()
        yield
    finally:
        for name in own:
            del os.environ[name]
        settings.configure_vars()
        settings.reconfigure_orm()


@pytest.fixture
def create_run(database: None) -> Callable[[DAG], Any]:
    """Store a Dag, and return a new run of it: ``create_run(dag)``."""
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagbundle import DagBundleModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    def create(dag: DAG) -> Any:
        dag.fileloc, dag.relative_fileloc = f"/dags/{dag.dag_id}.py", f"{dag.dag_id}.py"
        now = datetime.now(timezone.utc)
        with create_session() as session:
            session.merge(DagBundleModel(name="dags"))
            session.flush()
            stored = [LazyDeserializedDAG.from_dag(dag)]
            update_dag_parsing_results_in_db("dags", None, stored, {}, None, set(), session=session)
        with create_session() as session:
            found = DBDagBag().get_latest_version_of_dag(dag.dag_id, session=session)
            return found.create_dagrun(
                run_id="run",
                run_after=now,
                start_date=now,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state="running",
                session=session,
            )

    return create


@pytest.fixture
def execution_api(database: None) -> Any:
    """The task SDK's client of the execution API, as the supervisor of a task has it."""
    from airflow.sdk.api.client import Client
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    transport = in_process_api_server().transport
    client = Client(base_url=None, token="", dry_run=True, transport=transport)
    client.base_url = "http://in-process.invalid./"
    return client
