"""A Dag that is parsed again is the same, so that Airflow creates no new Dag version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PARSE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

folder = Path(sys.argv[1])
bag = DagBag(folder, safe_mode=True, bundle_path=folder)
assert not bag.import_errors, bag.import_errors
print(json.dumps({name: DagSerialization.to_dict(dag) for name, dag in bag.dags.items()}, sort_keys=True))
"""


def serialized(seed: str, home: Path) -> str:
    """Return the serialized Dags of a new process."""
    env = {**os.environ, "PYTHONHASHSEED": seed, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", PARSE, str(REPOSITORY / "dags")]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    return run.stdout.splitlines()[-1]


def test_each_dag_is_serialized_the_same_in_each_process(tmp_path: Path) -> None:
    first, *others = [serialized(seed, tmp_path) for seed in ("1", "2", "3")]
    assert others == [first, first]
    assert " at 0x" not in first
