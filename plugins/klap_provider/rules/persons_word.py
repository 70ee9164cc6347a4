"""
What only a person can decide about a paid request: what they are told, and what they say. Pure.

They say it in rows of the ledger beside that of the request: ``adopt`` with the id of a job, to go on with that;
``resend`` with ``true``, to have it sent, and billed, once more. A word is good for once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.errors import Fate, KlapChangedError, KlapError, KlapInputError
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klap_provider.rules.ledger import Store, Submission

#: Before the name of an export or a submission: a person says that it is the job of the given id.
ADOPT = "adopt"
#: Before the same: a person says ``true``, and one more POST may go out.
RESEND = "resend"


def how(word: str, value: Any, entry: str) -> str:
    """Return how a person says a word, as part of a sentence."""
    row = f"{word} {entry}"
    return f"add to the State Store of the asset {LEDGER} the key {row!r} with the value {json.dumps(value)}"


def undecided(error: KlapError, intent: Submission, *jobs: str) -> KlapError:
    """Return the error with what a person has to decide."""
    error.fate = Fate(intent.work.entry, intent.submitted_at, jobs, intent.work.price)
    return error


def inputs_changed(before: Submission, entry: str, changed: Sequence[str]) -> KlapError:
    """
    Return the error for a run that asks for other things than it has paid for.

    :param entry: the name of the row.
    :param changed: what is no longer the same, each as part of a sentence.
    """
    said = KlapChangedError(
        f"Nothing was sent. This run has paid for its {before.work.what} already (Klap's {before.job_id}), and "
        f"what it asks for is no longer the same: {'; '.join(changed)}. To go on with what was paid for, "
        f"{how(ADOPT, before.job_id, entry)}; to have the new one made, and billed, {how(RESEND, True, entry)}. "
        "Then clear this task."
    )
    return undecided(said, before, str(before.job_id))


def not_kept(job_id: str, entry: str, failure: Exception) -> KlapError:
    """Return the error for a job that was paid for, and that Airflow did not write down."""
    return KlapError(
        f"Klap has accepted this as {job_id}, and Airflow did not keep that ({type(failure).__name__}: {failure}). "
        "Nothing is sent again by itself. When Airflow is well again, add to the state store of the asset "
        f'{LEDGER} the key "{ADOPT} {entry}" with the value "{job_id}", and clear the task.'
    )


def may_resend(store: Store, before: Submission, tell: Callable[[str], None]) -> bool:
    """Whether one more POST is allowed. The word names the intent that uses it up, whatever crashes in between."""
    name = f"{RESEND} {before.work.entry}"
    word = store.get(name)
    if word is None:
        return False
    if isinstance(word, dict) and word.get("used_at") == before.submitted_at:
        store.delete(name)
        return False
    if word is True or (isinstance(word, dict) and "used_at" in word):
        return True
    tell(f"{name!r} is {json.dumps(word)} in {LEDGER}; only true means yes.")
    return False


def adopted_id(word: Any, before: Submission, *, resend: bool, has_failed: Callable[[str], bool]) -> str:
    """
    Return the id that a person gave, if it is one to go on with.

    :param word: what stands in the row.
    :param resend: whether another row says the opposite.
    :raises KlapInputError: it is not.
    :raises KlapNotFoundError: Klap has no such job.
    """
    name = f"{ADOPT} {before.work.entry}"
    if resend:
        raise KlapInputError(f"{LEDGER} has both {name!r} and {RESEND!r} for the same. Delete one of them.")
    job_id = str(word).strip() if isinstance(word, str | int) and not isinstance(word, bool) else ""
    if not job_id:
        raise KlapInputError(f"{name!r} is {json.dumps(word)} in {LEDGER}; it takes an id of Klap's.")
    if has_failed(job_id):
        raise KlapInputError(f"{job_id}, the value of {name!r} in {LEDGER}, has failed at Klap.")
    return job_id
