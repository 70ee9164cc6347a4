"""What holds for all tests here."""

from __future__ import annotations

import pytest

from klap_provider.rules import first


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else delivers to where a test does: what waits for others does not wait long."""
    monkeypatch.setattr(first, "QUIET", 0.0)
