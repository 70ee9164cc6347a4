"""What the tab has the server do. Each action checks the user's own permissions in Airflow first."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import form_of, permitted, trigger
from klap_provider.ui.follow_up import can_follow_up, follow_up
from klap_provider.ui.run_facts import facts_of
from klap_provider.ui.story import story_of

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
    Start the run that exports further shorts of a run's video, unless that run is there.

    :param watermark: see :func:`~klap_provider.ui.follow_up.follow_up`.
    :return: ``{"dag_id": str, "run_id": str}`` of the run that exports them.
    :raises fastapi.HTTPException: the user may not, or the run cannot be followed.
    """
    # The new run takes over the conf of the run, and what its tasks left.
    for method, what, act in (
        ("POST", "RUN", "start runs"),
        ("GET", "RUN", "read runs"),
        ("GET", "XCOM", "read XComs"),
    ):
        if not permitted(user, [dag_id], method, what):
            raise HTTPException(403, f"You may not {act} of the Dag {dag_id}.")
    with database.reading() as session:
        run = database.runs(session, [(dag_id, run_id)]).get((dag_id, run_id))
        if run is None:
            raise HTTPException(404, f"The Dag {dag_id} has no run {run_id}.")
        [facts] = facts_of(session, [run], reads_xcoms=True)
    story = story_of(facts)
    form = form_of(dag_id)
    if story is None or form is None or not can_follow_up(form.fields, is_whole=story["is_whole"]):
        raise HTTPException(409, f"The Dag {dag_id} has no form that takes further exports.")
    unknown = set(project_ids) - {short["id"] for short in story["shorts"]}
    if story["klap_task_id"] is None or unknown:
        raise HTTPException(409, "The run has changed: reload the page. Nothing was started, and nothing was paid.")
    order = follow_up(
        run.conf,
        klap_task_id=story["klap_task_id"],
        fields=form.fields,
        project_ids=project_ids,
        is_whole=story["is_whole"],
        name=story["name"] or run.run_id,
        watermark=watermark,
    )
    with contextlib.suppress(FileExistsError):  # the same was asked for before
        trigger(request, user, dag_id=dag_id, run_id=order.run_id, conf=order.conf, note=order.note)
    return {"dag_id": dag_id, "run_id": order.run_id}
