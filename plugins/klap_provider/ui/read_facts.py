"""Reads the facts of runs of one Dag, in a fixed number of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.files.allowlist import is_served
from klap_provider.ui.facts import OF_A_BATCH, OF_A_RUN, PUBLISH, SELECT, UNREADABLE, Facts, is_over
from klap_provider.ui.texts import EXPORT, STEPS
from klap_provider.xcoms import (
    COST_KEY,
    ERROR_KEY,
    LIST_KEY,
    OFFER_KEY,
    OUTCOME_KEY,
    RETURN_KEY,
    REVIEW_KEY,
    SHORTS_KEY,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from klap_provider.airflow_internals.runs import Instance, Run

#: By run id, then by task id, map index and key.
XComs = dict[str, dict[tuple[str, int, str], Any]]

KEYS = (RETURN_KEY, ERROR_KEY, SHORTS_KEY, OFFER_KEY, REVIEW_KEY, OUTCOME_KEY, COST_KEY, LIST_KEY)


def read_facts(session: Any, runs: Sequence[Run], *, reads_xcoms: bool) -> list[Facts]:
    """
    Return the facts of runs of one Dag, in their order.

    :param reads_xcoms: whether the user may read the XComs of the Dag. Otherwise none is read.
    """
    found = database.instances(session, [run.key for run in runs], (*OF_A_RUN, *OF_A_BATCH))
    instances = {run.run_id: [each for each in found if each.run_id == run.run_id] for run in runs}
    questions = database.questions(
        session, [each.id for each in found if each.operator in SELECT and not is_over(each)] if reads_xcoms else []
    )
    xcoms: XComs = {run.run_id: {} for run in runs}
    if reads_xcoms:
        steps = [each for each in found if each.operator in STEPS]
        _read(session, runs, {each.task_id for each in found if each.operator not in STEPS}, xcoms)
        # A run with a summary needs fewer XComs of its steps. Those contain captions and transcripts, too.
        summarized = [run for run in runs if any(_has_summary(each, xcoms) for each in instances[run.run_id])]
        _read(session, [run for run in runs if run not in summarized], {each.task_id for each in steps}, xcoms)
        _read(session, summarized, {each.task_id for each in steps if each.operator == EXPORT}, xcoms)
        _read(session, summarized, {each.task_id for each in steps if each.state == "failed"}, xcoms, keys=(ERROR_KEY,))
    return [
        Facts(
            run,
            instances[run.run_id],
            xcoms[run.run_id],
            {each.instance_id: each for each in questions},
            reads_xcoms=reads_xcoms,
            is_served=is_served,
        )
        for run in runs
    ]


def _read(
    session: Any, runs: Sequence[Run], task_ids: Collection[str], xcoms: XComs, *, keys: Collection[str] = KEYS
) -> None:
    """Add the XComs of some tasks."""
    if not runs or not task_ids:
        return
    stored = database.xcoms(session, [run.id for run in runs], keys, task_ids=task_ids)
    for each, value in zip(stored, database.values_of(stored, unreadable=UNREADABLE), strict=True):
        xcoms[each.run_id][each.task_id, each.map_index, each.key] = value


def _has_summary(instance: Instance, xcoms: XComs) -> bool:
    outcome = xcoms[instance.run_id].get((instance.task_id, instance.map_index, OUTCOME_KEY))
    return instance.operator in PUBLISH and is_over(instance) and isinstance(outcome, list)
