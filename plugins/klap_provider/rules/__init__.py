"""What is decided, and why. Pure: no Airflow, no I/O, no clock."""

from __future__ import annotations

from klap_provider import on_use

__getattr__ = on_use(__name__, "asked", "ballot", "ledger", "limits", "pace", "polling", "retry", "video_list")
