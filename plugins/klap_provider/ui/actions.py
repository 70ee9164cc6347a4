"""The actions of the tab that run on the server. Each first checks the user's own permissions in Airflow."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import form_of, permitted, trigger
from klap_provider.ui.follow_up import can_follow_up, follow_up
from klap_provider.ui.read_facts import read_facts
from klap_provider.ui.run_details import details_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request


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
    Start the run that exports further shorts of a run's video, unless it exists.

    :param watermark: see :func:`~klap_provider.ui.follow_up.follow_up`.
    :return: ``{"dag_id": str, "run_id": str}`` of the started run.
    :raises fastapi.HTTPException: a permission is missing, or the run does not support further exports.
    """
    # The new run gets the conf of the run, and values of its XComs.
    for method, entity, permission in (
        ("POST", "RUN", "create Dag runs"),
        ("GET", "RUN", "read Dag runs"),
        ("GET", "XCOM", "read XComs"),
    ):
        if not permitted(user, [dag_id], entity, method=method):
            raise HTTPException(403, f"You need the permission to {permission} of the Dag {dag_id}.")
    with database.reading() as session:
        run = database.runs(session, [(dag_id, run_id)]).get((dag_id, run_id))
        if run is None:
            raise HTTPException(404, f"The Dag {dag_id} has no run {run_id}.")
        [facts] = read_facts(session, [run], reads_xcoms=True)
    details = details_of(facts)
    form = form_of(dag_id)
    if details is None or form is None or not can_follow_up(form.fields, is_whole=details["is_whole"]):
        raise HTTPException(
            409, f"The Dag {dag_id} cannot export further shorts: it lacks the params klap_task_id or project_ids."
        )
    unknown = set(project_ids) - {short["id"] for short in details["shorts"]}
    if details["klap_task_id"] is None or unknown:
        raise HTTPException(409, "The run has changed. Reload the page. Nothing was started or paid.")
    new_run = follow_up(
        run.conf,
        klap_task_id=details["klap_task_id"],
        fields=form.fields,
        project_ids=project_ids,
        is_whole=details["is_whole"],
        name=details["name"] or run.run_id,
        watermark=watermark,
    )
    with contextlib.suppress(FileExistsError):  # the same run was started before
        trigger(request, user, dag_id=dag_id, run_id=new_run.run_id, conf=new_run.conf, note=new_run.note)
    return {"dag_id": dag_id, "run_id": new_run.run_id}
