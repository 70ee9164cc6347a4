"""The DAGs of docs/storage.md are ones that Airflow takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "storage.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("dag_id", "scheduled_on"),
    [
        ("publish_shorts", "Asset(name='s3://media/shorts', uri='s3://media/shorts',"),
        ("count_shorts", "AssetAlias(name='klap_shorts',"),
    ],
)
def test_an_example_is_a_dag_that_deliveries_start(tmp_path: Path, dag_id: str, scheduled_on: str) -> None:
    from airflow.dag_processing.dagbag import DagBag

    [example] = [found for found in EXAMPLES if f'DAG("{dag_id}"' in found]
    (tmp_path / "example.py").write_text(example)

    bag = DagBag(tmp_path, safe_mode=True, bundle_path=tmp_path)

    assert bag.import_errors == {}
    assert list(bag.dags) == [dag_id]
    assert scheduled_on in str(bag.dags[dag_id].schedule)


def test_every_example_is_tested() -> None:
    assert len(EXAMPLES) == 2
