"""
Read the user's decisions about paid requests. Pure.

A decision is a row of the ledger for one attempt: ``adopt.<attempt>`` with the id of a job continues with that job;
``resend.<attempt>`` with ``true`` allows one more POST. An attempt has at most one successor, so at most one POST is
accepted because of a decision, and its row can stay.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.errors import KlapChangedError, KlapError, KlapInputError
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klap_provider.rules.ledger import Attempt, Store

#: Decision: continue with the job with the given id.
ADOPT = "adopt"
#: Decision, with the value ``true``: send the request again. Klap bills it again.
RESEND = "resend"


class Decision(NamedTuple):
    """
    A decision of the user about an attempt.

    :param job_id: id of the job to continue with; None: no such decision.
    :param resend: whether one more POST may be sent.
    """

    job_id: str | None
    resend: bool


def decision_key(decision: str, attempt: str) -> str:
    """Return the key of a decision about an attempt."""
    return f"{decision}.{attempt}"


def how(decision: str, value: Any, attempt: str) -> str:
    """Return the instruction to record a decision, as a part of a sentence."""
    key = decision_key(decision, attempt)
    return f"add the key {key!r} with the value {json.dumps(value)} to the Asset State Store of {LEDGER}"


def read_decision(store: Store, attempt: Attempt, has_failed: Callable[[str], bool]) -> Decision:
    """
    Return the user's decision about an attempt.

    :param has_failed: whether the job with the given id failed at Klap.
    :raises KlapInputError: the decision is invalid.
    :raises KlapNotFoundError: Klap has no job with the given id.
    """
    adopt_key, resend_key = (decision_key(each, attempt.key) for each in (ADOPT, RESEND))
    job_id, resend = store.get(adopt_key), store.get(resend_key)
    try:
        is_id = isinstance(job_id, str | int) and not isinstance(job_id, bool) and str(job_id).strip()
        if (resend is not None and resend is not True) or (job_id is not None and (resend or not is_id)):
            raise KlapInputError(
                f"{LEDGER} has {json.dumps(job_id)} under {adopt_key!r} and {json.dumps(resend)} under {resend_key!r}. "
                "Keep one of the two rows: the first with one of Klap's ids, or the second with true."
            )
        if job_id is None:
            return Decision(None, resend is True)
        job_id = str(job_id).strip()
        if has_failed(job_id):
            if job_id == attempt.job_id:  # it was followed, and the job has failed since
                return Decision(None, resend=False)
            raise KlapInputError(
                f"{job_id}, the value of {adopt_key!r} in {LEDGER}, failed at Klap. Delete that row. To send the "
                f"request again and pay for it again, {how(RESEND, True, attempt.key)}. Then clear this task."
            )
    except KlapError as wrong:
        with_open_decision(wrong, attempt)
        raise
    return Decision(job_id, resend=False)


def with_open_decision(error: KlapError, attempt: Attempt, *jobs: str) -> KlapError:
    """Return the error with the decision that the user has to make."""
    error.open_decision = {
        "entry": attempt.key,
        "sent_at": attempt.submitted_at,
        "jobs": [*jobs],
        "price": attempt.price,
        "estimated": attempt.estimated,
    }
    return error


def inputs_changed(attempt: Attempt, job_id: str, changed: Sequence[str]) -> KlapError:
    """Return the error for a run whose settings differ from those of the attempt that it has paid for."""
    error = KlapChangedError(
        f"Nothing was sent. This run has already paid for {attempt.what or 'this request'} (id {job_id} at Klap), and "
        f"its settings have changed since then: {'; '.join(changed)}. Decide in the run's Shorts tab. Without the tab: "
        f"to continue with what was paid for, {how(ADOPT, job_id, attempt.key)}. To send the new request and pay for "
        f"it, {how(RESEND, True, attempt.key)}. Then clear this task."
    )
    return with_open_decision(error, attempt, job_id)


def not_recorded(attempt: Attempt, job_id: str, failure: Exception) -> KlapError:
    """Return the error for a paid job that Airflow could not record."""
    return KlapError(
        f"Klap accepted the request as {job_id}, but Airflow did not record it ({type(failure).__name__}: {failure}). "
        f"Nothing is sent again automatically. When Airflow works again, {how(ADOPT, job_id, attempt.key)}, and clear "
        "the task."
    )
