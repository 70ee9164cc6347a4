"""Run the example Dags with ``dag.test()``, which runs tasks and triggers in this process."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider import example_dags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

EXAMPLES = Path(example_dags.__file__).parent


@contextmanager
def loaded() -> Iterator[dict[str, DAG]]:
    """
    Yield the example Dags by id. This process's Airflow gets a database, and they are its only Dags.

    ``dag.test()`` reads the configured bundles into the database. A Dag that is in none of them has no version, and
    then none of its tasks can run.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    bundle = {
        "name": "examples",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(EXAMPLES)},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        initdb()
        bag = DagBag(EXAMPLES, bundle_path=EXAMPLES)
        assert bag.import_errors == {}
        yield dict(bag.dags)


def run(dag: DAG, **conf: Any) -> DagRun:
    """Run a Dag to its end, and return the run. Every task must succeed at its first try."""
    for task in dag.tasks:
        task.retries = 0  # dag.test() waits for the retry delay of a failed task
    dag_run: DagRun = dag.test(run_conf=conf)
    states = {f"{ti.task_id} {ti.map_index}": str(ti.state) for ti in dag_run.get_task_instances()}
    assert set(states.values()) == {"success"}, states
    return dag_run
