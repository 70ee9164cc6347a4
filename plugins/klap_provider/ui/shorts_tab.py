"""
The data of the Shorts tab, in one response: a run and its follow-up runs, or the videos of a batch.

It comes from the runs, task instances and XComs in Airflow's database (:mod:`klap_provider.ui.read_facts`), and from
the ledger.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import form_of, permitted, refresh_interval
from klap_provider.airflow_internals.state_store import rows
from klap_provider.api.redaction import shown
from klap_provider.rules.ledger import SHARED
from klap_provider.ui.batch import batch_of
from klap_provider.ui.facts import ENDED, LIST, mapping, number, text
from klap_provider.ui.follow_up import can_follow_up, prefix_of
from klap_provider.ui.read_facts import read_facts
from klap_provider.ui.run_details import details_of
from klap_provider.ui.run_list import rows_of
from klap_provider.ui.runs import as_readable, videos_of_list
from klap_provider.ui.texts import no_permission
from klap_provider.xcoms import LEDGER, LIST_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klap_provider.airflow_internals.runs import Run
    from klap_provider.airflow_internals.state_store import StateRow
    from klap_provider.ui.facts import Facts

#: Maximum number of follow-up runs in the tab, newest first.
FOLLOW_UPS = 50


def shorts_tab(user: Any, dag_id: str, run_id: str) -> dict[str, Any]:
    """
    Return the data of the Shorts tab.

    :return: ``{"run": {"dag_id", "run_id", "state"}, "refresh": int, "may_read_xcoms": bool, "details": dict | None,
        "batch": dict | None, "follow_ups": [dict], "form": {"can_export", "is_paused"}, "watermark": dict,
        "problems": [str]}``. ``refresh`` is Airflow's own interval in seconds, 0 for none. ``details`` is None for a
        batch and for a run without Klap tasks. A follow-up run is ``{"dag_id", "run_id", "title", "at", "state",
        "ended", "project_ids", "watermark", "details"}``.
    :raises fastapi.HTTPException: the run does not exist, or the user may not read its task instances.
    """
    if not permitted(user, [dag_id], "TASK_INSTANCE"):
        raise HTTPException(403, no_permission(f"read task instances of the Dag {dag_id}"))
    reads_xcoms = bool(permitted(user, [dag_id], "XCOM"))
    with database.reading() as session:
        run = database.runs(session, [(dag_id, run_id)]).get((dag_id, run_id))
        if run is None:
            raise HTTPException(404, f"The Dag {dag_id} has no run {run_id}.")
        [run] = as_readable(user, [run])
        [facts] = read_facts(session, [run], reads_xcoms=reads_xcoms)
        details = details_of(facts)
        others = _follow_ups(user, session, run, details) if reads_xcoms and details else []
        view = {
            "run": {"dag_id": dag_id, "run_id": run_id, "state": run.state},
            "refresh": refresh_interval(),
            "may_read_xcoms": reads_xcoms,
            "details": details,
            "batch": _batch(user, session, facts) if details is None else None,
            "follow_ups": [_follow_up(each, its_details) for each, its_details in others],
            "form": _form(dag_id, details),
            "watermark": _watermark(run) if reads_xcoms else {},
        }
        bind_entries(
            session,
            [(run, details), *((each.run, its_details) for each, its_details in others)],
        )
    all_facts = (facts, *(each for each, _ in others))
    problems = [problem for each in all_facts for problem in (*each.unsent_notices(), *each.problems)]
    return {**view, "problems": list(dict.fromkeys(problems))}


def etag_of(body: bytes) -> str:
    """Return the ETag of a response: a hash of its body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def as_json(view: dict[str, Any]) -> bytes:
    """Return a response as JSON."""
    return json.dumps(view, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _follow_ups(
    user: Any, session: Any, run: Run, details: dict[str, Any]
) -> list[tuple[Facts, dict[str, Any] | None]]:
    """Return the follow-up runs of the same Klap task, newest first, each with its details."""
    if details["klap_task_id"] is None:
        return []
    prefix = prefix_of(details["klap_task_id"])
    found = database.runs_with_prefix(session, run.dag_id, prefix, limit=FOLLOW_UPS + 1)
    others = as_readable(user, [each for each in found if each.run_id != run.run_id][:FOLLOW_UPS])
    return [(facts, details_of(facts)) for facts in read_facts(session, others, reads_xcoms=True)] if others else []


def _follow_up(facts: Facts, details: dict[str, Any] | None) -> dict[str, Any]:
    run = facts.run
    project_ids = run.conf.get("project_ids")
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "title": run.note or (details and details["name"]) or run.run_id,
        "at": run.at,
        "state": run.state,
        "ended": run.state in ENDED,
        "project_ids": [each for each in project_ids if isinstance(each, str)] if isinstance(project_ids, list) else [],
        "watermark": _watermark(run),
        "details": details,
    }


def _batch(user: Any, session: Any, facts: Facts) -> dict[str, Any] | None:
    read_list = facts.first(LIST)
    listed = videos_of_list(facts.xcom(read_list, RETURN_KEY), mapping(facts.xcom(read_list, LIST_KEY)))
    readable = permitted(user, {video.key[0] for video in listed}, "XCOM")
    runs = database.runs(session, (video.key for video in listed if video.key[0] in readable))
    found = rows_of(user, session, list(runs.values()), {}, readable, since=facts.run.at)
    return batch_of(facts, {(row["dag_id"], row["run_id"]): row for row in found})


def _form(dag_id: str, details: dict[str, Any] | None) -> dict[str, bool]:
    """Return whether a follow-up run can be started, and whether the Dag is paused."""
    form = form_of(dag_id) if details and details["klap_task_id"] else None
    can_export = form is not None and details is not None and can_follow_up(form.fields, is_whole=details["is_whole"])
    return {"can_export": can_export, "is_paused": form is not None and form.is_paused}


def _watermark(run: Run) -> dict[str, Any]:
    """Return the watermark in a run's conf. Its address is shortened for display."""
    address = text(run.conf.get("watermark_src_url"))
    position = {name: number(run.conf.get(f"watermark_{name}")) for name in ("pos_x", "pos_y", "scale")}
    return {"src_url": address and shown(address), **position}


def bind_entries(session: Any, runs: Iterable[tuple[Run, dict[str, Any] | None]]) -> None:
    """
    Remove ledger entries that belong to other runs from the details of runs, and add the versions of the other rows.

    :param runs: runs, each with its details.
    """
    parts = [
        (run, part) for run, details in runs if details is not None for part in (details["stage"], *details["shorts"])
    ]
    named = [named["entry"] for _, part in parts for named in (part["in_doubt"], part.get("export")) if named]
    written = {row.key: row for row in rows(session, LEDGER, keys={entry for entry in named if entry})}
    for run, part in parts:
        for name in ("in_doubt", "export"):
            if request := part.get(name):
                row = written.get(request["entry"])
                part[name] = {**request, "version": row.at.isoformat()} if row and _is_of(row, run) else None


def _is_of(row: StateRow, run: Run) -> bool:
    """Return whether a run wrote a row, or another run of its Dag wrote it in a log that runs share."""
    return row.dag_id == run.dag_id and (row.run_id == run.run_id or row.key.startswith(SHARED))
