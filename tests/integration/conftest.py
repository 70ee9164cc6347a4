"""What holds for all tests here."""

from __future__ import annotations

import pytest

from klap_provider.operators import asset_event
from klap_provider.rules import idempotent_submit


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else makes the same request or delivers to the same place, so nobody is waited for."""
    monkeypatch.setattr(idempotent_submit, "PATIENCE", ())
    monkeypatch.setattr(asset_event, "PATIENCE", 1)
