"""XComs: each asked for once while the fields of a task are rendered, and none mistaken for what stands for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from klap_provider.api import redaction
from klap_provider.errors import KlapTemplateError

if TYPE_CHECKING:
    from airflow.sdk import Context


def pull(context: Context, task_ids: str | list[str], **which: Any) -> Any:
    """
    Return what tasks of this package left: dicts, lists of dicts, or None. The parameters are those of ``xcom_pull``.

    :raises KlapTemplateError: a value cannot be read. An XCom backend that has lost one may return its path instead.
    """
    pulled = context["ti"].xcom_pull(task_ids=task_ids, **which)
    for each in pulled if isinstance(pulled, list) else [pulled]:
        if isinstance(each, str):
            raise unreadable(task_ids if isinstance(task_ids, str) else ", ".join(task_ids), each)
    return pulled


def unreadable(task_id: str, value: str) -> KlapTemplateError:
    """
    Return the error for an XCom that cannot be read.

    :param value: what was read in its place.
    """
    return KlapTemplateError(
        f"Nothing was done: the result of the task {task_id!r} cannot be read. In its place there is the text "
        f"{redaction.without_secrets(value)[:200]!r}. An XCom backend returns the path of a file that it cannot "
        "find. Restore that file and clear this task. If it is gone, clear that task together with its downstream "
        "tasks: what was paid for is not paid for again."
    )


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
    :ivar texts: results that are texts, by task id. A template may expect one, or may have met the path of a lost file.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._pulled: dict[str, Any] = {}
        self.missing: list[str] = []
        self.texts: dict[str, str] = {}

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
            elif isinstance(task_id, str) and isinstance(self._pulled[asked], str):
                self.texts[task_id] = self._pulled[asked]
        return self._pulled[asked]
