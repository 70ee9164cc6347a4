"""Settings of hypothesis. ``make fuzz`` uses the profile ``fuzz`` for thousands of cases."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.integration.conftest import unknown_names as unknown_names

settings.register_profile(
    "hostile",
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a task is too slow to be shrunk
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("hostile"))
