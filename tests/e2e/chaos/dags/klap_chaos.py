"""The shipped Dag with another id, short retry delays, and settings for each test."""

# Airflow reads only files that contain "airflow" and "dag".
from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

from klap_generate_shorts import klap_generate_shorts
from klap_provider.sensors.base import KlapJobSensor

patience = Path(os.environ["KLAP_FAILPOINTS"]) / "patience"

deployed = Path(os.environ["KLAP_FAILPOINTS"]) / "deployed"

dag = klap_generate_shorts("klap_chaos", form=json.loads(deployed.read_text()) if deployed.exists() else None)
for task in dag.tasks:
    task.retry_delay = timedelta(seconds=1)
    task.retry_exponential_backoff = 0
    if isinstance(task, KlapJobSensor) and patience.exists():
        task.timeout = float(patience.read_text())
