"""The details of a run that made shorts or captioned a video, for the tab. Pure: they depend only on the facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.rules.review_form import NONE_OF_THEM
from klap_provider.rules.video_list import URL
from klap_provider.ui.facts import (
    OF_A_RUN,
    OVER,
    PUBLISH,
    SELECT,
    SUBMIT,
    WAIT,
    WHOLE,
    Facts,
    is_over,
    items,
    mapping,
    number,
    task_ref,
    text,
)
from klap_provider.ui.short_cards import (
    FAILED_AT_KLAP,
    WRONG_INPUT,
    answer_of,
    decision_text,
    in_doubt_of,
    is_delivered,
    is_failed,
    short_cards,
)
from klap_provider.ui.texts import DONE, FAILED, LEFT_OUT, STEPS, count, file_size, label_of, source_of
from klap_provider.xcoms import COST_KEY, ERROR_KEY, OFFER_KEY, RETURN_KEY, REVIEW_KEY, SHORTS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.airflow_internals.runs import Instance

#: Klap's default aspect ratio, width by height.
DEFAULT_SHAPE = 9 / 16


def details_of(facts: Facts) -> dict[str, Any] | None:
    """Return the details of a run; None if it has no Klap tasks."""
    if not facts.all(OF_A_RUN):
        return None
    submit = facts.first(SUBMIT)
    is_whole = submit is not None and submit.operator == WHOLE
    submitted = mapping(facts.xcom(submit, RETURN_KEY))
    shared = {"is_whole": is_whole, "shape": _shape(facts, submitted)}
    shorts = [{**card, **shared} for card in short_cards(facts)] if facts.reads_xcoms else []
    selected = [card for card in shorts if card["left_out"] is None]
    select = facts.first(SELECT)
    offer = mapping(facts.xcom(select, OFFER_KEY))
    cost = mapping(facts.xcom(facts.first(PUBLISH), COST_KEY))
    address = text(submitted.get("video")) or text(facts.run.conf.get(URL))
    name = text(submitted.get("name")) or text(facts.run.conf.get("name"))
    stage = _stage(facts, selected, shorts, is_whole=is_whole)
    paid = _cost(cost, offer)
    return {
        "is_whole": is_whole,
        "ended": facts.has_ended,
        "name": name or (label_of(address) if address else None),
        "is_named": name is not None,
        "source": source_of(address) if address else None,
        "klap_task_id": text(submitted.get("klap_task_id")),
        "offer": _offer(offer),
        "stage": stage,
        "question": _question(facts),
        "percent": _percent(facts, len(selected)),
        "totals": _totals(facts, shorts, selected, is_whole=is_whole),
        "cost": paid,
        "cost_at_most": _at_most(paid, [part["in_doubt"] for part in (stage, *shorts) if part["in_doubt"]]),
        "delivered": sum(map(is_delivered, selected)),
        "review": _review(mapping(facts.xcom(select, REVIEW_KEY)) or answer_of(facts), len(shorts)),
        "next_step": _next_step(facts, shorts, cost),
        "shorts": shorts,
    }


def _shape(facts: Facts, submitted: Mapping[str, Any]) -> float:
    """Return the requested aspect ratio, width by height."""
    for requested in (mapping(submitted.get("dimensions")), facts.run.conf):
        width, height = number(requested.get("width")), number(requested.get("height"))
        if width and height:
            return width / height
    wide, _, high = str(facts.run.conf.get("aspect_ratio")).partition(":")
    return int(wide) / int(high) if wide.isdecimal() and high.isdecimal() and int(high) else DEFAULT_SHAPE


def _offer(offer: Mapping[str, Any]) -> dict[str, Any] | None:
    price = number(offer.get("price"))
    if price is None:
        return None
    return {
        "price": price,
        "estimated": offer.get("estimated") is not False,
        "covered": number(offer.get("covered")),
        "deadline": text(offer.get("deadline")),
    }


def _cost(cost: Mapping[str, Any], offer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the cost in the summary of the run; before that, what was paid before any export."""
    if (total := number(cost.get("total"))) is not None:
        return {"total": total, "estimated": bool(cost.get("estimated")), "is_sum": True}
    if (spent := number(offer.get("spent"))) is not None:
        return {"total": spent, "estimated": bool(offer.get("estimated")), "is_sum": False}
    return None


def _at_most(cost: Mapping[str, Any] | None, doubts: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the cost if Klap received all requests in doubt; None without such requests, or without their prices."""
    prices = [doubt["price"] for doubt in doubts if not doubt["is_changed"]]
    if cost is None or not prices or None in prices:
        return None
    return float(cost["total"] + sum(prices))


def _next_step(facts: Facts, shorts: Sequence[Mapping[str, Any]], cost: Mapping[str, Any]) -> dict[str, Any] | None:
    """
    Return the task to clear so that a failed run continues, and what that pays; None if there is no such task.

    A video that failed at Klap is submitted, and paid for, again. One that could not be submitted was not paid for yet.
    ``needs_change``: a parameter of the run is wrong.
    """
    steps = [facts.first(each) for each in (SUBMIT, WAIT, SELECT, PUBLISH)]
    failed = next((each for each in steps if each is not None and each.state == "failed"), None)
    if failed is None or not facts.has_ended or any(map(is_failed, shorts)):  # a failed short has its own button
        return None
    failure = mapping(facts.xcom(failed, ERROR_KEY))
    is_again = failed.operator in WAIT and failure.get("type") == FAILED_AT_KLAP
    is_given = text(facts.run.conf.get("klap_task_id")) is not None
    if in_doubt_of(failed, failure) or (is_again and is_given):
        return None
    task = facts.first(SUBMIT) if is_again else failed
    return {
        "tasks": [task_ref(task)] if task else [],
        "is_paid": is_again or (failed.operator in SUBMIT and not is_given),
        "is_again": is_again,
        "needs_change": failure.get("type") == WRONG_INPUT,
        "price": number(mapping(cost.get("prices")).get("input_video")),
        "estimated": cost.get("estimated") is not False,
    }


def _question(facts: Facts) -> dict[str, Any] | None:
    """Return the open review. Its options are in the order of the shorts; the last one selects none."""
    select = facts.first(SELECT)
    question = facts.question(select)
    if select is None or select.state != "awaiting_input" or question is None or question.answered_at is not None:
        return None
    shorts = [str(short.get("project_id")) for short in items(facts.xcom(select, SHORTS_KEY))]
    return {
        "task": task_ref(select),
        "options": dict(zip(shorts, question.options, strict=False)),
        "none": question.options[-1] if question.options else NONE_OF_THEM,
        "asked_at": question.asked_at,
    }


def _stage(
    facts: Facts, selected: Sequence[Mapping[str, Any]], shorts: Sequence[Mapping[str, Any]], *, is_whole: bool
) -> dict[str, Any]:
    """Return the current stage of the run: the state of its task, and a text."""
    submit, wait, select, publish = (facts.first(each) for each in (SUBMIT, WAIT, SELECT, PUBLISH))

    def stage(instance: Instance | None, summary: str, **more: Any) -> dict[str, Any]:
        failure = mapping(facts.xcom(instance, ERROR_KEY))
        return {
            "state": (instance.state if instance else None) or facts.run.state,
            "text": summary,
            "since": None,
            "error": text(failure.get("error")),
            # Only failed tasks are cleared. The later tasks are marked as failed when the run has ended.
            "in_doubt": in_doubt_of(instance, failure) if facts.has_ended else None,
            "log": task_ref(instance) if instance and instance.state == "failed" else None,
            "review_task": None,
            **more,
        }

    def is_open(instance: Instance | None) -> bool:
        return instance is not None and not is_over(instance)

    failed = next((each for each in (submit, wait, select) if each is not None and each.state == "failed"), None)
    if failed is not None:
        not_selected = "The video could not be found at Klap" if is_whole else "The shorts could not be selected"
        failure = mapping(facts.xcom(failed, ERROR_KEY))
        return stage(failed, decision_text(failed, failure) or FAILED.get(failed.operator, not_selected))
    if facts.has_ended:
        return stage(publish, _end_text(facts, selected, shorts, is_whole=is_whole), state=facts.run.state)
    if select is not None and select.state == "awaiting_input" and answer_of(facts) is None:
        return stage(select, "Which shorts should be exported?", review_task=task_ref(select))
    is_given = text(facts.run.conf.get("klap_task_id")) is not None
    if is_open(submit):
        return stage(submit, "Continuing with an existing Klap task" if is_given else "Submitting the video to Klap")
    if wait is not None and is_open(wait):
        submitted_at = None if is_given else text(mapping(facts.xcom(submit, RETURN_KEY)).get("submitted_at"))
        since = submitted_at or wait.started_at
        return stage(wait, "Waiting for Klap", since=since)
    if is_open(select):
        selecting = "Finding the video at Klap" if is_whole else "Selecting the shorts"
        return stage(select, selecting if answer_of(facts) is None else "Continuing with the selected shorts")
    if selected and all(card["state"] in OVER for card in selected):
        return stage(publish, "Writing the manifest")
    if not selected:
        return stage(None, "No short was selected" if shorts else "Exporting")
    return stage(None, selected[0]["text"] if is_whole else f"Exporting: {_tally(facts, selected)}")


def _end_text(
    facts: Facts, selected: Sequence[Mapping[str, Any]], shorts: Sequence[Mapping[str, Any]], *, is_whole: bool
) -> str:
    if not facts.reads_xcoms or facts.is_hidden(facts.first(SELECT), SHORTS_KEY):
        return "The run ended"
    if not shorts:
        return "The run ended without a video" if is_whole else "The run ended without shorts"
    if all(card["left_out"] == LEFT_OUT["no_score"] for card in shorts):
        return "No short was selected: Klap gave none of them a score"
    if not selected:
        return "No short was selected"
    return str(selected[0]["text"]) if is_whole else _tally(facts, selected)


def _tally(facts: Facts, selected: Sequence[Mapping[str, Any]]) -> str:
    failed = sum(map(is_failed, selected))
    done = f"{sum(map(is_delivered, selected))} of {count(len(selected))} {_last_step_done(facts).lower()}"
    return f"{done}, {failed} failed" if failed else done


def _last_step_done(facts: Facts) -> str:
    there = {each.operator for each in facts.instances}
    return next((DONE[step] for step in reversed(STEPS) if step in there), "Delivered")


def _percent(facts: Facts, selected: int) -> int | None:
    """Return the progress of the run in percent; None if it is unknown."""
    if facts.has_ended:
        return 100
    steps = facts.all(STEPS)
    whole = selected * len({step.task_id for step in steps})
    if not whole or all(step.state is None for step in steps):
        return None
    return min(100, round(100 * sum(map(is_over, steps)) / whole))


def _totals(
    facts: Facts, shorts: Sequence[Mapping[str, Any]], selected: Sequence[Mapping[str, Any]], *, is_whole: bool
) -> list[dict[str, str]]:
    if not shorts or is_whole:  # the card of a captioned video shows everything
        return []
    select = facts.first(SELECT)
    totals = {"Generated": str(len(shorts))}
    if select is None or is_over(select):
        size = sum(card["bytes"] or 0 for card in selected)
        totals |= {
            "Selected": str(len(selected)),
            _last_step_done(facts): str(sum(map(is_delivered, selected))),
            "Failed": str(sum(map(is_failed, selected))),
            **({"Size": file_size(size)} if size else {}),
        }
    return [{"label": name, "value": value} for name, value in totals.items()]


def _review(review: Mapping[str, Any] | None, generated: int) -> dict[str, Any] | None:
    """Return who selected the shorts, how many, and when."""
    if not review:
        return None
    if review.get("timed_out"):
        return {"by": "Nobody", "text": "answered in time: the shorts selected by default were exported", "at": None}
    selected = review.get("selected")
    return {
        "by": text(review.get("by")) or "Somebody",
        "text": f"selected {len(selected) if isinstance(selected, list) else 0} of {count(generated)}",
        "at": text(review.get("answered_at")),
    }
