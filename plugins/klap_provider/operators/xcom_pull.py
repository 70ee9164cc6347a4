"""Pull XComs: report values that an XCom backend has lost, and cache pulls while fields are rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from klap_provider.api import redaction
from klap_provider.errors import KlapTemplateError

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import Context


def pull(context: Context, task_ids: str | list[str], **kwargs: Any) -> Any:
    """
    Return XComs of this package's tasks: dicts, lists of dicts, or None. The parameters are those of ``xcom_pull``.

    :raises KlapTemplateError: a value is a string. An XCom backend that lost a file may return the file's path.
    """
    pulled = context["ti"].xcom_pull(task_ids=task_ids, **kwargs)
    for each in pulled if isinstance(pulled, list) else [pulled]:
        if isinstance(each, str):
            raise unreadable_xcom(task_ids if isinstance(task_ids, str) else ", ".join(task_ids), each)
    return pulled


def unreadable_xcom(task_id: str, value: str) -> KlapTemplateError:
    """
    Return the error for an XCom that cannot be read.

    :param task_id: id of the task that pushed the XCom.
    :param value: the string that Airflow returned instead of the value.
    """
    return KlapTemplateError(
        f"Nothing was done: the result of the task {task_id!r} cannot be read. Airflow returned the text "
        f"{redaction.without_secrets(value)[:200]!r}, which is what an XCom backend returns for a file that it cannot "
        "find. Restore that file and clear this task. If the file is gone, clear that task together with its "
        "downstream tasks. Nothing is paid again."
    )


def cache_pulls(context: Context) -> tuple[Context, CachedPulls]:
    """
    Return a context whose task instance caches XComs, and that task instance.

    Without it, Airflow requests the same XCom once for each template field that uses it: two to five times per task.
    """
    pulls = CachedPulls(context["ti"])
    return cast("Context", {**context, "ti": pulls}), pulls


class CachedPulls:
    """
    A task instance that requests each XCom once.

    :ivar missing: ids of tasks, each with the key of an XCom that the task does not have.
    :ivar texts: results that are strings, by task id. A string is either the result, or the path of an object that an
        XCom backend has lost.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._pulled: dict[str, Any] = {}
        self.missing: list[tuple[str, str]] = []
        self.texts: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, task_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return an XCom. The parameters are those of Airflow's method."""
        key = repr((task_ids, args, kwargs))
        if key not in self._pulled:
            value = self._pulled[key] = self._ti.xcom_pull(task_ids, *args, **kwargs)
            default = kwargs.get("default")  # Airflow passes a sentinel for a mapped task group
            if isinstance(task_ids, str) and (value is None or value is default):
                self.missing.append((task_ids, kwargs.get("key", "return_value")))
            elif isinstance(task_ids, str) and isinstance(value, str):
                self.texts[task_ids] = value
        return self._pulled[key]

    def describe_missing(self, upstream: Collection[str], cause: str) -> str:
        """
        Return which XCom was missing last, why, and what to do.

        :param upstream: ids of all upstream tasks.
        :param cause: the error that the missing XCom led to.
        """
        task_id, key = self.missing[-1]
        result = self.xcom_pull(task_id)
        if isinstance(result, dict) and key in result:
            return (
                f"the XCom {key!r} of the task {task_id!r}, which has none. Its result has a field of that name. Pass "
                "multiple_outputs=True to that task in the Dag file, and clear that task and its downstream tasks. "
                "Nothing is paid again."
            )
        if result is None and task_id not in upstream:
            return (
                f"the result of the task {task_id!r}, which is not upstream of this task and may not have run. Make it "
                "upstream in the Dag file, and clear this task."
            )
        return (
            f"the result of the task {task_id!r}, which has none ({cause}). That task was marked as success by hand, "
            "or its XCom was deleted. Clear that task and its downstream tasks. Nothing is paid again."
        )
