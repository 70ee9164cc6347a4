"""On random walks with faults, requests are paid once and every run ends. ``make fuzz`` has longer walks."""

from __future__ import annotations

import pytest

from tests.support.random_walks import SCENARIOS, World


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_requests_are_paid_for_once_on_random_walks(scenario: str) -> None:
    for seed in range(300):
        World(scenario, seed).walk()
