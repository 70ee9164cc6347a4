"""Distribute tests to processes: the tests of a module, or of modules that share an Airflow, run in one process."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: Modules below tests/e2e, by the Airflow that they share; these run side by side. Scopes of xdist's, and the
#: parameters of a test that is to run on each.
AIRFLOWS = {
    "one-airflow": ("test_batch", "chaos/test_changes"),
    "another-airflow": (
        "test_caption_video",
        "test_main_path",
        "test_managed",
        "test_object_storage",
        "chaos/test_responses",
        "chaos/test_jobs",
        "chaos/test_network",
    ),
    "a-third-airflow": (
        "chaos/test_components",
        "chaos/test_monthly_limit",
        "chaos/test_user_actions",
        "chaos/test_workers",
    ),
}

#: Modules by the cluster that they share.
CLUSTERS = {
    "one-cluster": ("cluster/test_components", "cluster/test_machines"),
    "another-cluster": ("cluster/test_frozen", "cluster/test_runs"),
}


class AirflowScheduling(LoadScopeScheduling):
    """Sends a module, or all modules that share an Airflow, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        if not module.startswith("tests/e2e/"):
            return module
        for airflow, modules in (AIRFLOWS | CLUSTERS).items():
            if f"[{airflow}]" in test or module.removeprefix("tests/e2e/").removesuffix(".py") in modules:
                return airflow
        return module
