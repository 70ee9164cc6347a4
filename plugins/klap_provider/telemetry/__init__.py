"""What whoever watches Airflow is told."""

from __future__ import annotations

from klap_provider import on_use

__getattr__ = on_use(__name__, "metrics")
