"""Example Dags with the real Klap. ``make test-system`` runs them, and prints the price first."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from klap_provider.rules.cost import Cost, Prices
from tests.support.example_dags import loaded, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.sdk import DAG

SETTINGS = {name: os.environ.get(name, "").strip() for name in ("KLAP_API_KEY", "VIDEO_URL")}

#: The example Dags, and the ids of their tasks that submit a video and that select shorts.
SHORTS = {
    "example_klap_generate_shorts": ("generate", "generate"),
    "example_klap_step_by_step": ("submit", "list"),
}
MAX_COST = Cost(Prices(), input_videos=len(SHORTS) + 1, generated_shorts=len(SHORTS), exports=len(SHORTS) + 1)

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(3 * 60 * 60),
    pytest.mark.skipif(not all(SETTINGS.values()), reason="KLAP_API_KEY and VIDEO_URL are not set"),
]


@pytest.fixture(scope="module")
def dags() -> Iterator[dict[str, DAG]]:
    with loaded() as found:
        yield found


@pytest.fixture(autouse=True)
def klap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the connection to Klap. It delivers to ``tmp_path``."""
    connection = {
        "conn_type": "klap",
        "host": os.environ.get("KLAP_API_URL"),
        "password": SETTINGS["KLAP_API_KEY"],
        "extra": {"destination": str(tmp_path)},
    }
    monkeypatch.setenv("AIRFLOW_CONN_KLAP_DEFAULT", json.dumps(connection))


@pytest.mark.parametrize("dag_id", SHORTS)
def test_one_short_is_delivered(dags: dict[str, DAG], dag_id: str, tmp_path: Path) -> None:
    dag = dags[dag_id]
    submit, select = (dag.get_task(task_id) for task_id in SHORTS[dag_id])
    submit.source_video_url = SETTINGS["VIDEO_URL"]
    submit.target_clip_count = submit.max_clip_count = 1
    select.limit = 1

    run(dag)

    [video] = tmp_path.rglob("*.mp4")
    assert video.stat().st_size > 0


def test_a_captioned_video_is_delivered(dags: dict[str, DAG], tmp_path: Path) -> None:
    dag = dags["example_klap_caption_video"]
    dag.get_task("submit").source_video_url = SETTINGS["VIDEO_URL"]

    run(dag)

    [video] = tmp_path.rglob("*.mp4")
    assert video.stat().st_size > 0


def test_the_exports_are_listed(dags: dict[str, DAG]) -> None:
    dag_run = run(dags["example_klap_hook"])

    statuses = dag_run.get_task_instance("list_exports").xcom_pull("list_exports").values()
    assert set(statuses) <= {"processing", "ready", "error"}
