"""What the tab shows of each short of a run. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.rules.review_form import NONE_OF_THEM
from klap_provider.ui.facts import PUBLISH, SELECT, Facts, is_over, items, mapping, number, place, text
from klap_provider.ui.texts import (
    EXPORT,
    EXPORT_WAIT,
    LEFT_OUT,
    STEPS,
    file_of,
    player_address,
    step_words,
    web_address,
)
from klap_provider.xcoms import ERROR_KEY, OUTCOME_KEY, RETURN_KEY, SHORTS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.airflow_internals.runs import Instance

#: The errors of a paid request whose inputs have changed, and of a job that failed at Klap.
CHANGED, FAILED_AT_KLAP = "KlapChangedError", "KlapJobFailedError"

#: What a short has before it is exported.
NOTHING_YET: Mapping[str, Any] = {
    "state": None,
    "words": "",
    "error": None,
    "in_doubt": None,
    "retry": None,
    "export": None,
    "watermark": None,
    "video": None,
    "path": None,
    "stored": False,
    "bytes": None,
    "log": None,
}


def short_cards(facts: Facts) -> list[dict[str, Any]]:
    """Return the shorts of a run, the best first, as the tab shows them."""
    steps = facts.all(STEPS)
    selects = [each for each in facts.instances if each.operator in SELECT]
    open_select = next((each for each in selects if not is_over(each)), None)
    listed = _listed(facts, selects)
    numbered = _numbered(listed) if listed is not None else _unlisted(facts, steps)
    answer = answer_of(facts)
    is_asked = open_select is not None and open_select.state == "awaiting_input"
    # The task goes on from a question, and has not yet said what comes of it.
    is_going_on = listed is not None and open_select is not None and not is_asked
    outcome = {each.get("project_id"): each for each in items(facts.left(facts.first(PUBLISH), OUTCOME_KEY))}
    cards = []
    for short, map_index in numbered:
        card = _facts_of(short)
        left_out = text(short.get("reason"))
        own = [step for step in steps if map_index is not None and step.map_index in (map_index, -1)]
        if answer is not None and open_select is not None:
            if card["id"] in answer["selected"]:
                card |= {**NOTHING_YET, "state": open_select.state, "words": "Selected"}
            else:
                card |= {**NOTHING_YET, "left_out": LEFT_OUT["not_selected"]}
        elif is_going_on and open_select is not None:
            card |= {**NOTHING_YET, "state": open_select.state, "words": "To be decided"}
        elif left_out is not None:
            card |= {**NOTHING_YET, "left_out": LEFT_OUT.get(left_out, left_out)}
        elif is_asked and all(step.state is None for step in own):
            card |= {**NOTHING_YET, "state": "awaiting_input", "words": "To be decided"}
        else:
            card |= _export(facts, own, outcome.get(card["id"]))
        cards.append(card)
    return cards


def _listed(facts: Facts, selects: Sequence[Instance]) -> list[dict[str, Any]] | None:
    """Return the shorts that a task has listed; None if none has."""
    for select in selects:
        left = facts.left(select, SHORTS_KEY)
        if isinstance(left, list):
            return [short for short in items(left) if text(short.get("project_id"))]
    return None


def _numbered(listed: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], int | None]]:
    """Return each short with the map index of its steps, which are mapped over the selected ones."""
    numbered: list[tuple[dict[str, Any], int | None]] = []
    selected = 0
    for short in listed:
        if text(short.get("reason")) is None:
            numbered.append((short, selected))
            selected += 1
        else:
            numbered.append((short, None))
    return numbered


def _unlisted(facts: Facts, steps: Sequence[Instance]) -> list[tuple[dict[str, Any], int | None]]:
    """Return shorts that no list names, as where a Dag exports a project that it knows already."""
    found: dict[str, tuple[dict[str, Any], int | None]] = {}
    for step in steps:
        left, failure = (mapping(facts.left(step, key)) for key in (RETURN_KEY, ERROR_KEY))
        project_id = text(left.get("project_id")) or text(failure.get("project_id"))
        if project_id is not None:
            short, _ = found.setdefault(project_id, ({"project_id": project_id}, step.map_index))
            if step.operator == EXPORT:
                short["short_name"] = left.get("short_name")
    return list(found.values())


def answer_of(facts: Facts) -> dict[str, Any] | None:
    """Return what a person has answered while the task that asked has not gone on yet, as ``klap_review`` has it."""
    select = next((each for each in facts.instances if each.operator in SELECT and not is_over(each)), None)
    question = facts.question(select)
    shorts = items(facts.left(select, SHORTS_KEY))
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
        "left_out": None,
    }


def _export(facts: Facts, own: Sequence[Instance], outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return how far the export of a short has come.

    :param outcome: what the run has summed up of it.
    """
    steps = [each for operator in STEPS for each in own if each.operator == operator]
    ordered, waited, delivered = (next((each for each in steps if each.operator == name), None) for name in STEPS)
    failed = next((each for each in steps if each.state == "failed"), None)
    step = failed or next((each for each in steps if each.state != "success"), None) or (steps[-1] if steps else None)
    left_exported, left_delivered = mapping(facts.left(waited, RETURN_KEY)), mapping(facts.left(delivered, RETURN_KEY))
    order = mapping(facts.left(ordered, RETURN_KEY))
    failure = mapping(facts.left(failed, ERROR_KEY))
    became = outcome or {}
    path = text(became.get("path")) or text(left_delivered.get("path"))
    addresses = (became.get("src_url"), left_delivered.get("src_url"), left_exported.get("src_url"))
    # Airflow clears what has failed: so its later steps, too, have to be marked as failed first.
    is_settled = bool(steps) and all(map(is_over, steps))
    return {
        "state": step.state if step else _state_of(outcome),
        "words": step_words(step.operator, step.state) if step else _words_of(outcome),
        "error": text(became.get("error")) or text(failure.get("error")),
        "in_doubt": in_doubt_of(failed, failure) if is_settled else None,
        "retry": _retry(steps, failed, failure) if failed and is_settled else None,
        "export": {**place(ordered), "entry": text(order.get("entry"))} if ordered else None,
        "watermark": _watermark(facts, order),
        "video": next((address for each in addresses if (address := web_address(each))), None),
        "path": path,
        "stored": path is not None and facts.is_served(path),
        "bytes": number(became.get("size")) or number(left_delivered.get("size")),
        "log": place(step) if step and step.state else None,
    }


def _state_of(outcome: Mapping[str, Any] | None) -> str | None:
    if outcome is None:
        return None
    return "failed" if outcome.get("error") else "success"


def _words_of(outcome: Mapping[str, Any] | None) -> str:
    return {None: "Waiting to start", "failed": "Failed", "success": "Delivered"}[_state_of(outcome)]


def _watermark(facts: Facts, order: Mapping[str, Any]) -> str | None:
    """Return the file of a short's watermark: the rest of its address may be a secret. None: it has none."""
    if not order:
        return None
    address = text(order["watermark"]) if "watermark" in order else text(facts.run.conf.get("watermark_src_url"))
    return address and (file_of(address) or "a watermark")


def in_doubt_of(failed: Instance | None, failure: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a person has to decide before a failed task can go on, or None."""
    open_decision = mapping(failure.get("open_decision"))
    entry = text(open_decision.get("entry"))
    if failed is None or entry is None:
        return None
    jobs = open_decision.get("jobs")
    return {
        "is_changed": failure.get("type") == CHANGED,
        "entry": entry,
        "sent_at": text(open_decision.get("sent_at")),
        "jobs": [job for job in jobs if text(job)] if isinstance(jobs, list) else [],
        "price": number(open_decision.get("price")),
        "estimated": open_decision.get("estimated") is not False,
        "place": place(failed),
    }


def _retry(steps: Sequence[Instance], failed: Instance, failure: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what to clear so that a failed short is tried again, and whether that may cost.

    An export that failed at Klap is ordered, and paid for, once more by the task that ordered it; one that could not be
    ordered is to be paid for yet; everything else continues with what there is.
    """
    is_new = failed.operator == EXPORT_WAIT and failure.get("type") == FAILED_AT_KLAP
    first = next((each for each in steps if each.operator == EXPORT), failed) if is_new else failed
    again = [place(each) for each in steps[steps.index(first) :]]
    return {"places": again, "is_paid": is_new or failed.operator == EXPORT}


def is_delivered(card: Mapping[str, Any]) -> bool:
    """Return whether a short was delivered."""
    return bool(card["state"] == "success")


def is_failed(card: Mapping[str, Any]) -> bool:
    """Return whether a short is missing for good."""
    return card["state"] in ("failed", "upstream_failed")
