"""Call Klap's API from a task of your own."""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("example_klap_hook", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    # [START howto_hook_klap]
    @task
    def list_exports() -> dict[str, str]:
        from klap_provider.api import calls
        from klap_provider.hooks import KlapHook

        exports = KlapHook("klap_default").call(calls.list_exports())
        return {export.id: export.status for export in exports}

    # [END howto_hook_klap]
    list_exports()
