"""What the tab has the server do. Each action checks the user's own permissions in Airflow first."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import form_of, may_read_xcoms, permitted, trigger
from klap_provider.ui.follow_up import can_follow_up, follow_up
from klap_provider.ui.texts import name_of_video
from klap_provider.xcoms import RETURN_KEY, SHORTS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

WHOLE = "SubmitVideoOperator"
SUBMIT = ("SubmitShortsOperator", WHOLE)
LIST = ("ReviewShortsOperator", "ListShortsOperator")


def export_more(
    request: Request,
    user: Any,
    dag_id: str,
    run_id: str,
    *,
    project_ids: Sequence[str],
    watermark: Mapping[str, Any] | None,
) -> dict[str, str]:
    """
    Start the run that exports further shorts of a run's video, unless that run is there.

    :param watermark: see :func:`~klap_provider.ui.follow_up.follow_up`.
    :return: ``{"dag_id": str, "run_id": str}`` of the run that exports them.
    :raises fastapi.HTTPException: the user may not, or the run cannot be followed.
    """
    if not permitted(user, [dag_id], "POST", "RUN"):
        raise HTTPException(403, f"You may not start runs of the Dag {dag_id}.")
    if not may_read_xcoms(user, [dag_id]):
        raise HTTPException(403, f"You may not read the XComs of the Dag {dag_id}.")
    with database.reading() as session:
        found = database.runs(session, dag_id, run_ids=[run_id], limit=1)
        if not found:
            raise HTTPException(404, f"The Dag {dag_id} has no run {run_id}.")
        [run] = found
        tasks = {
            each.task_id: each.operator for each in database.instances(session, dag_id, [run_id], (*SUBMIT, *LIST))
        }
        stored = database.xcoms(session, [run.id], (RETURN_KEY, SHORTS_KEY), task_ids=tasks)
    left = {
        (tasks[each.task_id], each.key): value for each, value in zip(stored, database.values_of(stored), strict=True)
    }
    is_whole = WHOLE in tasks.values()
    form = form_of(dag_id)
    if form is None or not can_follow_up(form.fields, is_whole=is_whole):
        raise HTTPException(409, f"The Dag {dag_id} has no form that takes further exports.")
    klap_task_id = next(
        (text for each in SUBMIT if (text := _field(left.get((each, RETURN_KEY)), "klap_task_id"))), None
    )
    listed = [short for each in LIST for short in _list(left.get((each, SHORTS_KEY)))]
    unknown = set(project_ids) - {_field(short, "project_id") for short in listed}
    if klap_task_id is None or unknown:
        raise HTTPException(409, "The run has changed: reload the page. Nothing was started, and nothing was paid.")
    order = follow_up(
        run.conf,
        klap_task_id=klap_task_id,
        fields=form.fields,
        project_ids=project_ids,
        is_whole=is_whole,
        name=name_of_video(run.conf),
        watermark=watermark,
    )
    with contextlib.suppress(FileExistsError):  # the same was asked for before
        trigger(request, user, dag_id=dag_id, run_id=order.run_id, conf=order.conf, note=order.note)
    return {"dag_id": dag_id, "run_id": order.run_id}


def _field(value: Any, name: str) -> str | None:
    field = value.get(name) if isinstance(value, dict) else None
    return field if isinstance(field, str) and field else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
