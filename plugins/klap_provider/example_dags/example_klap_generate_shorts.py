"""Turn one video into delivered shorts in one task, and use them in the next task."""

from __future__ import annotations

# [START howto_operator_klap_generate_shorts]
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from klap_provider.operators import GenerateShortsOperator

with DAG("example_klap_generate_shorts", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    generate = GenerateShortsOperator(
        task_id="generate",
        source_video_url="https://example.com/talk.mp4",
        max_clip_count=5,
        limit=3,
        deferrable=True,
        execution_timeout=timedelta(hours=1),
    )

    @task
    def use(shorts: list[dict[str, Any]]) -> list[str]:
        for short in shorts:
            print(short["virality_score"], short["short_name"], short["path"])
        return [short["path"] for short in shorts]

    use(generate.output)
# [END howto_operator_klap_generate_shorts]
