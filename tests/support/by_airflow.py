"""Which tests run in one process: those of a module, and those that share a whole Airflow."""

from __future__ import annotations

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

#: Modules of end-to-end tests that share one Airflow; the others share a second one, which runs beside it.
ON_ONE_AIRFLOW = ("test_batch", "test_rough_day", "test_changes", "test_components")

#: The two, as scopes of xdist's, and as the parameters of a test that is to run on both.
AIRFLOWS = ("one-airflow", "another-airflow")


class ByAirflow(LoadScopeScheduling):
    """Gives each process a module, or all modules that share an Airflow, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        if not module.startswith("tests/e2e/"):
            return module
        for airflow in AIRFLOWS:
            if f"[{airflow}]" in test:
                return airflow
        return AIRFLOWS[0] if Path(module).stem in ON_ONE_AIRFLOW else AIRFLOWS[1]
