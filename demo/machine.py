"""What Airflow calls the machine that it runs on, where several share this one: its ``[core] hostname_callable``."""

from __future__ import annotations

import os


def name() -> str:
    """Return the name."""
    return os.environ["KLAP_MACHINE"]
