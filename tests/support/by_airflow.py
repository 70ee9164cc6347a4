"""Which tests run in one process: those of a module, and those that share a whole Airflow."""

from __future__ import annotations

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

#: Modules of end-to-end tests, by the Airflow that they share; these run side by side. Scopes of xdist's, and the
#: parameters of a test that is to run on each.
AIRFLOWS = {
    "one-airflow": ("test_batch", "test_rough_day", "test_changes", "test_components"),
    "another-airflow": (
        "test_caption_video",
        "test_main_path",
        "test_managed",
        "test_object_storage",
        "test_answers",
        "test_jobs",
        "test_network",
    ),
    "a-third-airflow": ("test_people", "test_workers"),
}


class ByAirflow(LoadScopeScheduling):
    """Gives each process a module, or all modules that share an Airflow, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        if not module.startswith("tests/e2e/"):
            return module
        for airflow, modules in AIRFLOWS.items():
            if f"[{airflow}]" in test or Path(module).stem in modules:
                return airflow
        return module
