"""Read the facts of runs of one Dag, in a fixed number of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.xcoms import read_values, xcoms
from klap_provider.files.allowlist import is_served
from klap_provider.ui.facts import OF_A_BATCH, OF_A_RUN, PUBLISH, SELECT, UNREADABLE, Facts, is_over
from klap_provider.ui.texts import EXPORT, STEPS
from klap_provider.xcoms import (
    COST_KEY,
    ERROR_KEY,
    LIST_KEY,
    NOTICE_KEY,
    OFFER_KEY,
    OUTCOME_KEY,
    RETURN_KEY,
    REVIEW_KEY,
    SHORTS_KEY,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from klap_provider.airflow_internals.runs import Instance, Run

#: By run id, then by task id, map index and key.
XComs = dict[str, dict[tuple[str, int, str], Any]]

KEYS = (RETURN_KEY, ERROR_KEY, SHORTS_KEY, OFFER_KEY, REVIEW_KEY, OUTCOME_KEY, COST_KEY, LIST_KEY, NOTICE_KEY)


def read_facts(session: Any, runs: Sequence[Run], *, reads_xcoms: bool) -> list[Facts]:
    """
    Return the facts of runs of one Dag, in their order.

    :param reads_xcoms: whether the user may read the XComs of the Dag. Otherwise none is read.
    """
    found = database.instances(session, [run.key for run in runs], (*OF_A_RUN, *OF_A_BATCH))
    values: XComs = {run.run_id: {} for run in runs}
    asking: list[str] = []

    def read(some: Sequence[Run], task_ids: Collection[str], keys: Collection[str] = KEYS) -> None:
        if some and task_ids:
            stored = xcoms(session, [run.id for run in some], keys, task_ids=task_ids)
            for each, value in read_values(stored, unreadable=UNREADABLE):
                values[each.run_id][each.task_id, each.map_index, each.key] = value

    if reads_xcoms:
        asking = [each.id for each in found if each.operator in SELECT and not is_over(each)]
        steps = [each for each in found if each.operator in STEPS]
        read(runs, {each.task_id for each in found if each.operator not in STEPS})
        # A run with a summary needs fewer XComs of its steps. Those contain captions and transcripts, too.
        ended = {each.run_id for each in found if _has_summary(each, values[each.run_id])}
        summarized = [run for run in runs if run.run_id in ended]
        read([run for run in runs if run.run_id not in ended], {each.task_id for each in steps})
        read(summarized, {each.task_id for each in steps if each.operator == EXPORT})
        read(summarized, {each.task_id for each in steps if each.state == "failed"}, (ERROR_KEY,))
    questions = {each.instance_id: each for each in database.questions(session, asking)}
    return [
        Facts(
            run,
            [each for each in found if each.run_id == run.run_id],
            values[run.run_id],
            questions,
            reads_xcoms=reads_xcoms,
            is_served=is_served,
        )
        for run in runs
    ]


def _has_summary(instance: Instance, values: Mapping[tuple[str, int, str], Any]) -> bool:
    outcome = values.get((instance.task_id, instance.map_index, OUTCOME_KEY))
    return instance.operator in PUBLISH and is_over(instance) and isinstance(outcome, list)
