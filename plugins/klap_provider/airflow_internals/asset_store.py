"""
For workers: the state store of an asset, and whether the asset has events.

Why: ``context["asset_state_store"]`` has only the inlets and outlets of tasks that are not mapped, and there is no
public function for an asset of an alias. When it moves: see ``airflow.sdk.execution_time.context``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError

#: Default for a row that does not exist, different from any stored value.
NO_ROW: Any = object()

#: The key with which Airflow marks a reference in place of a value (``sdk/execution_time/context.py``).
REFERENCE = "__airflow_state_ref__"


class AssetStore:
    """
    The state store of an asset. An unreadable row is never reported as missing.

    With ``[workers] state_store_backend``, Airflow's database has references, and the values are stored elsewhere.
    Airflow's accessor returns None for a value that is lost there, and the reference itself if no backend is
    configured.

    :param name: name of the asset.
    """

    def __init__(self, name: str) -> None:
        from airflow.sdk.execution_time.context import AssetStateStoreAccessor

        self._name = name
        self._rows: Any = AssetStateStoreAccessor(name=name)

    def get(self, key: str) -> Any:
        """
        Return the value of a row; None if the row does not exist.

        :raises LookupError: the row exists, but its value cannot be read.
        """
        problem = "its value is missing"
        try:
            value = self._rows.get(key, default=NO_ROW)
        except ValueError as fault:  # an incomplete value, or a backend that cannot be loaded
            value, problem = None, f"its value cannot be read ({fault})"
        if value is NO_ROW:
            return None
        if value is None:
            raise LookupError(
                f"The row {key!r} of the asset {self._name} exists, but {problem}. Restore the value in the storage of "
                "[workers] state_store_backend, then clear the task. Only if you know that nothing was paid for under "
                f"this row, delete it in Airflow's UI under Assets, {self._name}, State Store."
            )
        if isinstance(value, dict) and REFERENCE in value:
            raise LookupError(
                f"The row {key!r} of the asset {self._name} was written with a [workers] state_store_backend that is "
                "not configured on this worker. Configure the same backend on every worker, then clear the task."
            )
        return value

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite a row."""
        self._rows.set(key, value)

    def delete(self, key: str) -> None:
        """Delete a row, if there is one."""
        self._rows.delete(key)


def has_asset(alias: str, uri: str) -> bool:
    """
    Return whether an event of an asset was ever recorded through an alias.

    Why: Airflow creates the asset and links it to the alias with the first event. If two tasks record the first event
    at the same time, both create it, and the API server sets the second task to failed after it succeeded, without a
    retry or a log line (3.3.2, 3.4.0b2). When it moves: see whether ``register_asset_changes_in_db`` of
    ``TaskInstance`` still adds an ``AssetModel`` without a check. If not, delete this function and the wait for the
    first event.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import AssetsByAliasResult, ErrorResponse, GetAssetsByAlias

    answer = task_runner.SUPERVISOR_COMMS.send(GetAssetsByAlias(alias_name=alias))
    if isinstance(answer, ErrorResponse):
        raise AirflowRuntimeError(answer)
    return isinstance(answer, AssetsByAliasResult) and any(asset.uri == uri for asset in answer.assets)
