"""
Resolve an in-doubt request: a paid POST whose response never arrived. Pure.

Until the in-doubt window ends, the POST may still take effect, so nothing else is sent. After that:

- **Export**: Klap's list of exports is searched. If it has exactly one export of the short that no other request made,
  the run continues with it. If it has several, the user decides. If it has none, but other exports of this account, the
  request did not arrive and is sent again. If it has no export of this account, the user decides.
- **Task**: Klap has no list of tasks, so the user decides.

The clocks of the machines must agree to within a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from klap_provider.errors import KlapError, KlapSubmitPendingError, KlapSubmitUncertainError
from klap_provider.rules.manual_resolution import ADOPT, RESEND, how, with_open_decision

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from klap_provider.rules.ledger import Attempt, Requester

#: Seconds after the claim of an attempt within which its POST must be sent. Later it is not sent.
SEND_WITHIN = 30.0

#: Maximum difference between the clocks of two machines in seconds.
CLOCKS = 60.0

#: Seconds after the client stopped waiting within which the POST may still arrive and its job appear in Klap's list.
#: Proxies and load balancers hold a request for a minute or two.
LATE_ARRIVAL = 120.0

#: Seconds until the next try, if another run is making the same request.
SOON = 20.0


class Listing(NamedTuple):
    """
    Jobs in Klap's list that a request may have created.

    :param job_ids: ids of the jobs for the same short, without failed ones.
    :param is_proof: whether the list has other jobs of the account, which proves that a job that it lacks does not
        exist.
    """

    job_ids: Sequence[str]
    is_proof: bool


def ends_at(attempt: Attempt) -> float:
    """Return the end of the in-doubt window, in seconds since the epoch."""
    return attempt.at + SEND_WITHIN + attempt.response_within + LATE_ARRIVAL + CLOCKS


def resolve(
    attempt: Attempt, listing: Listing | None, known: Collection[str], *, requester: Requester, now: float
) -> str | None:
    """
    Return the job that an in-doubt request created; None if the request did not arrive.

    :param listing: jobs in Klap's list; None if Klap has no list.
    :param known: ids of jobs that other requests created.
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
        raise uncertain(attempt, has_list=listing is not None)
    return None


def _pending(
    attempt: Attempt, requester: Requester, wait: float, *, now: float, has_list: bool
) -> KlapSubmitPendingError:
    if attempt.requester.run != requester.run:
        wait = min(wait, max(SOON, 3 * max(0.0, now - attempt.at)))
        return KlapSubmitPendingError(
            f"Run {attempt.requester.run} has sent a request for {attempt.what} and waits for the response. This task "
            f"sends nothing until then. The next try is in {wait:.0f} s.",
            retry_after=wait,
        )
    then = "Then Klap's list is searched for the job." if has_list else "Then you can decide how to continue."
    return KlapSubmitPendingError(
        f"The request of {attempt.submitted_at} got no response and may still take effect, so nothing is sent for "
        f"another {wait:.0f} s. {then}",
        retry_after=wait,
    )


def _ambiguous(attempt: Attempt, candidates: Sequence[str]) -> KlapError:
    error = KlapSubmitUncertainError(
        f"The request of {attempt.submitted_at} got no response, and Klap lists {len(candidates)} jobs that it may "
        f"have created: {', '.join(candidates)}. Nothing is sent again automatically. Decide in the run's Shorts tab. "
        f"Without the tab: to continue with one of the jobs, {how(ADOPT, candidates[0], attempt.key)}. To send the "
        f"request again and pay for it again, {how(RESEND, True, attempt.key)}. Then clear this task."
    )
    return with_open_decision(error, attempt, *candidates)


def uncertain(attempt: Attempt, *, has_list: bool = False) -> KlapError:
    """Return the error for a request whose response never arrived, and which Klap's list does not resolve."""
    why = (
        "Klap's list of exports does not prove that the request did not arrive, because the list has no export of "
        "yours, or the request was sent with another connection or user."
        if has_list
        else "Klap's API has no list of tasks."
    )
    error = KlapSubmitUncertainError(
        f"The request of {attempt.submitted_at} for {attempt.what} got no response. Klap may have received and billed "
        f"it. {why} Nothing is sent again automatically. Search the Klap app for a job of that time, and decide in the "
        f"run's Shorts tab. Without the tab: if there is a job, {how(ADOPT, 'its id', attempt.key)}. If there is no "
        f"job, {how(RESEND, True, attempt.key)}, and the request is sent and billed again. Then clear this task."
    )
    return with_open_decision(error, attempt)
