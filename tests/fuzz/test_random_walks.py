"""Longer random walks than tests/unit/test_random_walks.py. They take minutes."""

from __future__ import annotations

import pytest

from tests.support.random_walks import SCENARIOS, World

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_requests_are_paid_for_once_on_many_random_walks(scenario: str) -> None:
    for seed in range(300, 10_000):
        World(scenario, seed, faults=seed % 12).walk()
