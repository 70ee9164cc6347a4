"""List the open reviews for the Klap page."""

from __future__ import annotations

from typing import Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import dags_of_asset, permitted, refresh_interval
from klap_provider.airflow_internals.xcoms import read_values, xcoms
from klap_provider.ui.facts import REVIEW, mapping, text
from klap_provider.ui.runs import as_readable, names_of
from klap_provider.xcoms import LEDGER, OFFER_KEY


def open_reviews(user: Any) -> dict[str, Any]:
    """
    Return the reviews that nobody has answered yet, oldest first.

    :return: ``{"reviews": [{"dag_id", "run_id", "subject", "video", "at", "until"}], "refresh": int}``.
        ``video`` is the name of the video. ``until`` is the deadline, ISO 8601 or None: then the shorts selected by
        default are exported. ``refresh`` is Airflow's own interval in seconds, 0 for none.
    """
    dag_ids = permitted(user, permitted(user, dags_of_asset(LEDGER), "XCOM"), "HITL_DETAIL")
    with database.reading() as session:
        asking = {each.id: each for each in database.instances_in_state(session, dag_ids, REVIEW, "awaiting_input")}
        open_questions = [each for each in database.questions(session, asking) if each.answered_at is None]
        runs = database.runs(session, ((each.dag_id, each.run_id) for each in asking.values()))
        names = names_of(session, as_readable(user, runs.values()), {})
        task_ids = {each.task_id for each in asking.values()}
        stored = xcoms(session, [run.id for run in runs.values()], (OFFER_KEY,), task_ids=task_ids)
        offers = {(each.dag_id, each.run_id): mapping(value) for each, value in read_values(stored)}
    reviews = [
        {
            "dag_id": asker.dag_id,
            "run_id": asker.run_id,
            "subject": question.subject,
            "video": names.get(key),
            "at": question.asked_at,
            "until": text(offers.get(key, {}).get("deadline")),
        }
        for question in open_questions
        for asker in [asking[question.instance_id]]
        for key in [(asker.dag_id, asker.run_id)]
    ]
    return {"reviews": reviews, "refresh": refresh_interval()}
