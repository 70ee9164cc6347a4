"""XComs, each asked for once while the fields of a task are rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import Context


def pulling_once(context: Context) -> tuple[Context, PullsOnce]:
    """
    Return the context for the rendering of fields, and what it has pulled.

    Airflow asks the API server for the XCom that a mapped task group was made of, and for one that templates name, once
    for each field that needs it: two to five times in each start of a task here. Nothing changes meanwhile.
    """
    pulls = PullsOnce(context["ti"])
    return cast("Context", {**context, "ti": pulls}), pulls


class PullsOnce:
    """
    A task instance that remembers what it has pulled.

    :ivar missing: ids of the tasks whose result was pulled and was not there.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._pulled: dict[str, Any] = {}
        self.missing: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, *args: Any, **kwargs: Any) -> Any:
        """Return an XCom, as Airflow's own method does."""
        asked = repr((args, kwargs))
        if asked not in self._pulled:
            self._pulled[asked] = self._ti.xcom_pull(*args, **kwargs)
            task_id = kwargs.get("task_ids", args[0] if args else None)
            default = kwargs.get("default")  # which Airflow sets to a mark of its own
            if isinstance(task_id, str) and (self._pulled[asked] is None or self._pulled[asked] is default):
                self.missing.append(task_id)
        return self._pulled[asked]
