"""The cards of the shorts of a run. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from klap_provider.rules.review_form import NONE_OF_THEM
from klap_provider.ui.facts import PUBLISH, SELECT, Facts, is_over, items, mapping, number, task_ref, text
from klap_provider.ui.texts import (
    CHANGED,
    EXPORT,
    EXPORT_WAIT,
    IN_DOUBT,
    LEFT_OUT,
    STEPS,
    file_of,
    player_address,
    step_text,
    web_address,
)
from klap_provider.xcoms import ERROR_KEY, OUTCOME_KEY, RETURN_KEY, SHORTS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.airflow_internals.runs import Instance

#: The errors for a paid request whose settings have changed, and for a job that failed at Klap.
CHANGED_ERROR, FAILED_AT_KLAP, WRONG_INPUT = "KlapChangedError", "KlapJobFailedError", "KlapInputError"

#: The text for a short whose tasks are deleted, by its state in the summary of the run.
OUTCOMES = {None: "Waiting to start", "failed": "Failed", "success": "Delivered"}

#: The card of a short before its export.
NOT_EXPORTED: Mapping[str, Any] = {
    **dict.fromkeys(("left_out", "state", "error", "in_doubt", "retry", "export")),
    **dict.fromkeys(("watermark", "video", "path", "bytes", "log")),
    "text": "",
    "stored": False,
}


def short_cards(facts: Facts) -> list[dict[str, Any]]:
    """Return the cards of the shorts of a run, best first."""
    steps = facts.all(STEPS)
    selects = [each for each in facts.instances if each.operator in SELECT]
    open_select = next((each for each in selects if not is_over(each)), None)
    listed = _listed(facts, selects)
    numbered = _numbered(listed) if listed is not None else _unlisted(facts, steps)
    answer = answer_of(facts)
    is_asked = open_select is not None and open_select.state == "awaiting_input"
    # The task has listed the shorts, and has not finished selecting.
    is_selecting = listed is not None and open_select is not None and not is_asked
    outcome = {each.get("project_id"): each for each in items(facts.xcom(facts.first(PUBLISH), OUTCOME_KEY))}
    cards = []
    for short, map_index in numbered:
        card = {**_facts_of(short), **NOT_EXPORTED}
        left_out = text(short.get("reason"))
        own = [step for step in steps if map_index is not None and step.map_index in (map_index, -1)]
        if answer is not None and open_select is not None:
            if card["id"] in answer["selected"]:
                card |= {"state": open_select.state, "text": "Selected"}
            else:
                card["left_out"] = LEFT_OUT["not_selected"]
        elif is_selecting and open_select is not None:
            card |= {"state": open_select.state, "text": "Waiting for the selection"}
        elif left_out is not None:
            card["left_out"] = LEFT_OUT.get(left_out, left_out)
        elif is_asked and all(step.state is None for step in own):
            card |= {"state": "awaiting_input", "text": "Waiting for the review"}
        else:
            card |= _export(facts, own, outcome.get(card["id"]))
        cards.append(card)
    return cards


def _listed(facts: Facts, selects: Sequence[Instance]) -> list[dict[str, Any]] | None:
    """Return the shorts that a task listed; None if no task has listed any."""
    for select in selects:
        left = facts.xcom(select, SHORTS_KEY)
        if isinstance(left, list):
            return [short for short in items(left) if text(short.get("project_id"))]
    return None


def _numbered(listed: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], int | None]]:
    """Return each short with the map index of its steps, which are mapped over the selected shorts."""
    index = itertools.count()
    return [(short, next(index) if text(short.get("reason")) is None else None) for short in listed]


def _unlisted(facts: Facts, steps: Sequence[Instance]) -> list[tuple[dict[str, Any], int | None]]:
    """Return the shorts of a Dag that lists none, such as one that exports a given project."""
    found: dict[str, tuple[dict[str, Any], int | None]] = {}
    for step in steps:
        left, failure = (mapping(facts.xcom(step, key)) for key in (RETURN_KEY, ERROR_KEY))
        project_id = text(left.get("project_id")) or text(failure.get("project_id"))
        if project_id is not None:
            short, _ = found.setdefault(project_id, ({"project_id": project_id}, step.map_index))
            if step.operator == EXPORT:
                short["short_name"] = left.get("short_name")
    return list(found.values())


def answer_of(facts: Facts) -> dict[str, Any] | None:
    """Return the answer of a review whose task has not continued yet, in the shape of ``klap_review``."""
    select = next((each for each in facts.instances if each.operator in SELECT and not is_over(each)), None)
    question = facts.question(select)
    shorts = items(facts.xcom(select, SHORTS_KEY))
    if question is None or question.answered_at is None or not shorts:
        return None
    options = dict(zip(question.options, (text(short.get("project_id")) for short in shorts), strict=False))
    chosen = [] if NONE_OF_THEM in question.chosen else [options.get(option) for option in question.chosen]
    return {
        "selected": [project_id for project_id in chosen if project_id],
        "by": question.by,
        "answered_at": question.answered_at,
        "timed_out": False,
    }


def _facts_of(short: Mapping[str, Any]) -> dict[str, Any]:
    project_id = str(short["project_id"])
    return {
        "id": project_id,
        "name": text(short.get("short_name")) or project_id,
        "score": number(short.get("virality_score")),
        "explanation": text(short.get("explanation")),
        "seconds": number(short.get("duration")),
        "preview": web_address(short.get("preview_url")),
        "embed": player_address(short.get("embed_url")),
        "exported": short.get("exported") is True,
    }


def _export(facts: Facts, own: Sequence[Instance], outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the state of the export of a short.

    :param outcome: the entry for the short in the summary of the run.
    """
    steps = [each for operator in STEPS for each in own if each.operator == operator]
    ordered, waited, delivered = (next((each for each in steps if each.operator == name), None) for name in STEPS)
    failed = next((each for each in steps if each.state == "failed"), None)
    step = failed or next((each for each in steps if each.state != "success"), None) or (steps[-1] if steps else None)
    left_exported, left_delivered = mapping(facts.xcom(waited, RETURN_KEY)), mapping(facts.xcom(delivered, RETURN_KEY))
    order = mapping(facts.xcom(ordered, RETURN_KEY))
    failure = mapping(facts.xcom(failed, ERROR_KEY))
    entry = outcome or {}
    state = None if outcome is None else "failed" if entry.get("error") else "success"
    path = text(entry.get("path")) or text(left_delivered.get("path"))
    addresses = (entry.get("src_url"), left_delivered.get("src_url"), left_exported.get("src_url"))
    # Only failed tasks are cleared: so the later steps must have been marked as failed, too.
    is_finished = bool(steps) and all(map(is_over, steps))
    return {
        "state": step.state if step else state,
        "text": decision_text(failed, failure) or step_text(step.operator, step.state) if step else OUTCOMES[state],
        "error": text(entry.get("error")) or text(failure.get("error")),
        "in_doubt": in_doubt_of(failed, failure) if is_finished else None,
        "retry": _retry(steps, failed, failure) if failed and is_finished else None,
        "export": {"task": task_ref(ordered), "entry": text(order.get("entry"))} if ordered else None,
        "watermark": _watermark(facts, order),
        "video": next((address for each in addresses if (address := web_address(each))), None),
        "path": path,
        "stored": path is not None and facts.is_served(path),
        "bytes": number(entry.get("size")) or number(left_delivered.get("size")),
        "log": task_ref(step) if step and step.state else None,
    }


def _watermark(facts: Facts, order: Mapping[str, Any]) -> str | None:
    """Return the file name of a short's watermark, as the rest of its address may be secret. None: no watermark."""
    if not order:
        return None
    address = text(order["watermark"]) if "watermark" in order else text(facts.run.conf.get("watermark_src_url"))
    return address and (file_of(address) or "a watermark")


def in_doubt_of(failed: Instance | None, failure: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the request that the user has to resolve before a failed task can continue, or None."""
    open_decision = mapping(failure.get("open_decision"))
    entry = text(open_decision.get("entry"))
    if failed is None or entry is None:
        return None
    jobs = open_decision.get("jobs")
    return {
        "is_changed": failure.get("type") == CHANGED_ERROR,
        "entry": entry,
        "sent_at": text(open_decision.get("sent_at")),
        "jobs": [job for job in jobs if text(job)] if isinstance(jobs, list) else [],
        "price": number(open_decision.get("price")),
        "estimated": open_decision.get("estimated") is not False,
        "task": task_ref(failed),
    }


def decision_text(failed: Instance | None, failure: Mapping[str, Any]) -> str | None:
    """Return the text for a task that failed because the user has to resolve its request; otherwise None."""
    request = in_doubt_of(failed, failure)
    if failed is None or request is None:
        return None
    return (CHANGED if request["is_changed"] else IN_DOUBT).get(failed.operator)


def _retry(steps: Sequence[Instance], failed: Instance, failure: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the tasks to clear to retry a failed short, whether the retry is paid, and whether for a second time.

    An export that failed at Klap is requested, and paid for, again. One that could not be requested was not paid for
    yet. Any other retry continues with the paid export.
    """
    is_new = failed.operator == EXPORT_WAIT and failure.get("type") == FAILED_AT_KLAP
    first = next((each for each in steps if each.operator == EXPORT), failed) if is_new else failed
    cleared = [task_ref(each) for each in steps[steps.index(first) :]]
    return {"tasks": cleared, "is_paid": is_new or failed.operator == EXPORT, "is_again": is_new}


def is_delivered(card: Mapping[str, Any]) -> bool:
    """Return whether a short was delivered."""
    return bool(card["state"] == "success")


def is_failed(card: Mapping[str, Any]) -> bool:
    """Return whether a short failed."""
    return card["state"] in ("failed", "upstream_failed")
