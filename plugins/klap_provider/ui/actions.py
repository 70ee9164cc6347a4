"""
The actions of the tab. Each checks the user's own permissions in Airflow.

An action names what the tab offered: task instances with their states and tries, the options of a question, the version
of a ledger row. If the server would not offer the same any more, it refuses the action, and changes nothing.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals import task_actions
from klap_provider.airflow_internals.api_server import form_of, may_access_asset, permitted, trigger
from klap_provider.airflow_internals.state_store import rows
from klap_provider.rules.manual_resolution import ADOPT, RESEND, decision_key
from klap_provider.ui.follow_up import can_follow_up, follow_up
from klap_provider.ui.read_facts import read_facts
from klap_provider.ui.run_details import details_of
from klap_provider.ui.runs import as_readable
from klap_provider.ui.short_cards import answer_of
from klap_provider.ui.shorts_tab import bind_entries
from klap_provider.ui.texts import no_permission
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request

    #: A task instance, as :func:`~klap_provider.ui.facts.task_ref` describes it.
    TaskRef = Mapping[str, Any]

CHANGED = "The run has changed since this page showed it. Nothing was started or paid. Check its current state first."


def clear(user: Any, dag_id: str, run_id: str, tasks: Sequence[TaskRef]) -> None:
    """
    Clear the task instances of a step that the tab offers to repeat.

    :raises fastapi.HTTPException: a permission is missing, or the tab does not offer this any more.
    """
    _require(user, dag_id, ("PUT", "TASK_INSTANCE", "edit task instances"))
    with _as_shown(user, dag_id, run_id, tasks) as (session, details):
        offers = [details["next_step"], *(short["retry"] for short in details["shorts"])]
        if not any(offer and offer["tasks"] == tasks for offer in offers):
            raise HTTPException(409, CHANGED)
        task_actions.clear(session, user, dag_id, run_id, [_place(task) for task in tasks])


def resolve(user: Any, dag_id: str, run_id: str, request: Mapping[str, Any], *, job_id: str | None) -> None:
    """
    Record the user's decision about a paid request in the ledger, and clear the task that sends it. Both or neither.

    :param request: ``{"task", "entry", "version"}`` as the tab has it: a request in doubt, or an export.
    :param job_id: id of Klap's job to continue with; None: send the request again.
    :raises fastapi.HTTPException: a permission is missing, or the tab does not offer this any more.
    """
    _require(user, dag_id, ("PUT", "TASK_INSTANCE", "edit task instances"))
    with _as_shown(user, dag_id, run_id, [request["task"]]) as (session, details):
        decision, other, value = (RESEND, ADOPT, True) if job_id is None else (ADOPT, RESEND, job_id)
        key, opposite = (decision_key(each, request["entry"]) for each in (decision, other))
        is_replaced = bool(rows(session, LEDGER, keys=[opposite]))
        methods = ("PUT", "DELETE") if is_replaced else ("PUT",)
        if not all(may_access_asset(user, LEDGER, method=method) for method in methods):
            raise HTTPException(403, no_permission("edit and delete assets" if is_replaced else "edit assets"))
        parts = (details["stage"], *details["shorts"])
        offers = [part["in_doubt"] for part in parts]
        if job_id is None:
            offers += [part.get("export") for part in parts]
        if not any(offer and request.items() <= offer.items() for offer in offers):
            raise HTTPException(409, CHANGED)
        task_actions.replace_row(session, LEDGER, key, value, instead_of=opposite)
        task_actions.clear(session, user, dag_id, run_id, [_place(request["task"])])


def answer(user: Any, dag_id: str, run_id: str, task: TaskRef, options: Mapping[str, str]) -> None:
    """
    Answer the review of a run.

    :param options: the selected shorts: project ids, each with the option that the tab has for it. Empty: none.
    :raises fastapi.HTTPException: a permission is missing, or the review is answered, or offers other options.
    """
    _require(user, dag_id, ("PUT", "HITL_DETAIL", "edit required actions"), ("GET", "XCOM", "read XComs"))
    with _as_shown(user, dag_id, run_id, [task]) as (session, details):
        question = details["question"]
        if question is None or question["task"] != task or not options.items() <= question["options"].items():
            raise HTTPException(409, CHANGED)
        chosen = list(options.values()) or [question["none"]]
        task_actions.answer(session, user, dag_id, run_id, _place(task), chosen)


@contextlib.contextmanager
def _as_shown(user: Any, dag_id: str, run_id: str, tasks: Sequence[TaskRef]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """
    Yield a session, and the details of a run, while no other request can change some of its tasks.

    :param tasks: task instances, as the tab shows them.
    :raises fastapi.HTTPException: the run does not exist, or one of the task instances has changed.
    """
    with task_actions.transaction() as session:
        is_same = task_actions.lock_unchanged(session, dag_id, run_id, tasks)
        run = database.runs(session, [(dag_id, run_id)]).get((dag_id, run_id))
        if run is None:
            raise HTTPException(404, f"The Dag {dag_id} has no run {run_id}.")
        [facts] = read_facts(session, as_readable(user, [run]), reads_xcoms=bool(permitted(user, [dag_id], "XCOM")))
        details = details_of(facts)
        if not is_same or details is None:
            given = answer_of(facts)
            by = given and f"{given['by'] or 'Somebody'} has already answered this review. Your answer was not saved."
            raise HTTPException(409, by or CHANGED)
        bind_entries(session, [(run, details)])
        yield session, details


def _require(user: Any, dag_id: str, *needed: tuple[str, str, str]) -> None:
    for method, entity, permission in needed:
        if not permitted(user, [dag_id], entity, method=method):
            raise HTTPException(403, no_permission(f"{permission} of the Dag {dag_id}"))


def _place(task: TaskRef) -> tuple[str, int]:
    return task["task_id"], task["map_index"]


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
    _require(
        user,
        dag_id,
        ("POST", "RUN", "create Dag runs"),
        ("GET", "RUN", "read Dag runs"),
        ("GET", "XCOM", "read XComs"),
    )
    with database.reading() as session:
        run = database.runs(session, [(dag_id, run_id)]).get((dag_id, run_id))
        if run is None:
            raise HTTPException(404, f"The Dag {dag_id} has no run {run_id}.")
        [facts] = read_facts(session, [run], reads_xcoms=True)
    details = details_of(facts)
    form = form_of(dag_id)
    if details is None or form is None or not can_follow_up(form.fields, is_whole=details["is_whole"]):
        raise HTTPException(
            409,
            f"The Dag {dag_id} cannot export further shorts: it has no parameter klap_task_id or project_ids. "
            "Add both to the Dag.",
        )
    unknown = set(project_ids) - {short["id"] for short in details["shorts"]}
    if details["klap_task_id"] is None or unknown:
        raise HTTPException(409, CHANGED)
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
