"""XComs, each asked for once while the fields of a task are rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import Context


def pulling_once(context: Context) -> Context:
    """
    Return the context for the rendering of fields, in which nothing changes meanwhile.

    Airflow asks the API server for the XCom that a mapped task group was made of, and for one that templates name, once
    for each field that wants something of it: two to five times in each start of a task here.
    """
    return cast("Context", {**context, "ti": _PullsOnce(context["ti"])})


class _PullsOnce:
    """A task instance that remembers what it has pulled."""

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._pulled: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, *args: Any, **kwargs: Any) -> Any:
        asked = repr((args, kwargs))
        if asked not in self._pulled:
            self._pulled[asked] = self._ti.xcom_pull(*args, **kwargs)
        return self._pulled[asked]
