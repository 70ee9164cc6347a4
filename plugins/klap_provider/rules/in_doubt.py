"""
What follows from an in-doubt request: a POST whose response never arrived. Pure.

Nobody knows whether Klap received it. Until the in-doubt window ends it may still take effect, so nothing else is sent.
Then:

- **An export** is looked for in Klap's list. If one export of the short is listed that is not known otherwise, it is
  adopted. If several are, the user decides. If none is, and the same list shows other exports of ours, the request did
  not arrive. A list that shows none of ours proves nothing, and the user decides.
- **A task** cannot be looked for, because Klap has no list of tasks. The user decides.

The window needs the clocks of the machines to agree to a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from klap_provider.errors import KlapError, KlapSubmitPendingError, KlapSubmitUncertainError
from klap_provider.rules.manual_resolution import ADOPT, RESEND, how, with_open_decision

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from klap_provider.rules.ledger import Attempt, Requester

#: Seconds after an attempt was claimed in which its POST is sent, or not at all.
SEND_WITHIN = 30.0

#: Seconds by which the clocks of two machines may differ.
CLOCKS = 60.0

#: Seconds after the client gave up on a response in which the POST may still arrive, be handled and appear in Klap's
#: list: proxies and load balancers hold a request for a minute or two.
LATE_ARRIVAL = 120.0

#: Seconds until the next try, where another run is about to have what is requested.
SOON = 20.0


class Listing(NamedTuple):
    """
    What Klap's list says of the jobs that a request may have made.

    :param job_ids: the jobs of the thing that was ordered, without those that failed.
    :param is_proof: whether the list shows other jobs of ours, so that a missing one of this account is really missing.
    """

    job_ids: Sequence[str]
    is_proof: bool


def ends_at(attempt: Attempt) -> float:
    """Return the end of the in-doubt window: from then on, the POST has either taken effect or never will."""
    return attempt.at + SEND_WITHIN + attempt.response_within + LATE_ARRIVAL + CLOCKS


def resolve(
    attempt: Attempt, listing: Listing | None, known: Collection[str], *, requester: Requester, now: float
) -> str | None:
    """
    Return the job that an in-doubt request made; None if it did not arrive.

    :param listing: what Klap's list says; None if there is no list.
    :param known: ids of jobs that other requests made.
    :param requester: who wants to know.
    :param now: seconds since the epoch.
    :raises KlapSubmitPendingError: it is too early to tell.
    :raises KlapSubmitUncertainError: the user has to decide.
    """
    found = [] if listing is None else [job for job in listing.job_ids if job not in known and job not in attempt.known]
    if len(found) > 1:
        raise _ambiguous(attempt, found)
    if found:
        return found[0]
    wait = ends_at(attempt) - now
    if wait > 0:
        raise _pending(attempt, requester, wait, now=now, has_list=listing is not None)
    if listing is None or not listing.is_proof:
        raise _uncertain(attempt, has_list=listing is not None)
    return None


def contended() -> KlapSubmitPendingError:
    """Return the error for a request that another run makes at the same moment."""
    return KlapSubmitPendingError(
        f"Another run makes the same request at this moment. Its result is used. Next try in {SOON:.0f} s.",
        retry_after=SOON,
    )


def _pending(
    attempt: Attempt, requester: Requester, wait: float, *, now: float, has_list: bool
) -> KlapSubmitPendingError:
    if attempt.requester.run != requester.run:
        wait = min(wait, max(SOON, 3 * max(0.0, now - attempt.at)))
        return KlapSubmitPendingError(
            f"Run {attempt.requester.run} has sent a request for {attempt.what} and waits for the response. Nothing "
            f"else is sent until then. Next try in {wait:.0f} s.",
            retry_after=wait,
        )
    then = "Then the job is looked for in Klap's list." if has_list else "Then you can decide how to continue."
    return KlapSubmitPendingError(
        f"The request of {attempt.submitted_at} got no response and may still take effect, so nothing is sent for "
        f"another {wait:.0f} s. {then}",
        retry_after=wait,
    )


def _ambiguous(attempt: Attempt, candidates: Sequence[str]) -> KlapError:
    error = KlapSubmitUncertainError(
        f"The request of {attempt.submitted_at} got no response, and Klap lists {len(candidates)} jobs that it may "
        f"have made: {', '.join(candidates)}. Nothing is sent again automatically. To continue with one of them, "
        f"{how(ADOPT, candidates[0], attempt.key)}. To send the request again and pay for it again, "
        f"{how(RESEND, True, attempt.key)}. Then clear this task."
    )
    return with_open_decision(error, attempt, *candidates)


def _uncertain(attempt: Attempt, *, has_list: bool) -> KlapError:
    why = (
        "Klap's list of exports shows none of yours, or the request was sent with another connection or user, so the "
        "list does not prove that the request did not arrive."
        if has_list
        else "Klap's API has no list of tasks to look in."
    )
    error = KlapSubmitUncertainError(
        f"The request of {attempt.submitted_at} for {attempt.what} got no response. Klap may have received and billed "
        f"it. {why} Nothing is sent again automatically. Look in the Klap app for what was made at that time. If it is "
        f"there, {how(ADOPT, 'its id', attempt.key)}. If not, {how(RESEND, True, attempt.key)}; the request is then "
        "sent and billed again. Then clear this task."
    )
    return with_open_decision(error, attempt)


def uncertain(attempt: Attempt) -> KlapError:
    """Return the error for a submission whose response never arrived."""
    return _uncertain(attempt, has_list=False)
