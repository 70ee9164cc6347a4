"""What Klap is asked and what it answers. Pure: no Airflow, no I/O, no clock."""

from __future__ import annotations

from klap_provider import on_use

__getattr__ = on_use(__name__, "addresses", "answers", "calls", "public_form", "requests")
