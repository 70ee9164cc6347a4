"""The shipped airflow DAG under another id, with retries that do not keep a test waiting."""

from __future__ import annotations

from datetime import timedelta

from klap_generate_shorts import klap_generate_shorts

dag = klap_generate_shorts("klap_chaos")
for task in dag.tasks:
    task.retry_delay = timedelta(seconds=1)
    task.retry_exponential_backoff = 0
