"""What is decided, and why. Pure: no Airflow, no I/O, no clock."""

from __future__ import annotations

from klap_provider import on_use

__getattr__ = on_use(
    __name__,
    "ballot",
    "in_doubt",
    "ledger",
    "limits",
    "poll_schedule",
    "polling",
    "request_fingerprint",
    "retry",
    "video_list",
)
