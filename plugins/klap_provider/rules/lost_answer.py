"""
What a lost answer leads to. Pure.

A POST went out, and nobody knows what became of it: it may still be under way, be done and billed, or never have
arrived. While it may be under way, nobody sends another one. Then an export is looked for in Klap's list: one that
nobody else has claimed is adopted; if there is none, another POST may go out. For a task there is no list, and of
several exports nobody knows which: then a person has to say it.

A clock is needed for the time after a POST: how long until one that got no answer can do nothing any more. For that
the clocks of the machines have to agree, to the minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klap_provider.errors import KlapError, KlapSubmitPendingError, KlapSubmitUncertainError
from klap_provider.rules.persons_word import ADOPT, RESEND, how, undecided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klap_provider.rules.ledger import Asker, Submission

#: Seconds after an intent in which its POST is sent, or not at all: a machine that stood still meanwhile may not be the
#: one any more that sends it.
SEND_WITHIN = 60.0

#: Seconds by which the clocks of two machines may differ.
CLOCKS = 60.0

#: Seconds, after the client has given up waiting for an answer, in which a POST may still arrive at Klap, be handled
#: there and turn up in its list: proxies and load balancers hold a request for a minute or two. And the difference of
#: the clocks, as it is another machine's that says when the POST went out.
SETTLE = 120.0 + CLOCKS

#: Seconds until the next look, where another run is about to have what is asked for.
SOON = 20.0


@dataclass(frozen=True)
class LostAnswer:
    """
    A POST without an answer, as somebody sees it who would send the same.

    :param intent: the POST.
    :param asker: who wants to know.
    :param has_list: whether Klap has a list to find its job in.
    :param now: seconds since the epoch.
    :param settle: seconds after the intent in which the POST may still be under way.
    """

    intent: Submission
    asker: Asker
    has_list: bool
    now: float
    settle: float

    def job(self, candidates: Sequence[str]) -> str | None:
        """
        Return the job that it has made; None: it has made none, and another POST may go out.

        :param candidates: the jobs of Klap that may be it.
        :raises KlapSubmitPendingError: too early to tell.
        :raises KlapSubmitUncertainError: a person has to say it.
        """
        if not candidates and (early := self.pending):
            raise early
        if not self.has_list:
            raise uncertain(self.intent)
        if len(candidates) > 1:
            raise ambiguous(self.intent, candidates)
        return candidates[0] if candidates else None

    @property
    def pending(self) -> KlapSubmitPendingError | None:
        """The error for a POST that may still be under way; None if it cannot be."""
        wait = self.intent.at + self.settle - self.now
        if wait <= 0:
            return None
        if self.intent.asker.run != self.asker.run:
            wait = min(wait, max(SOON, 3 * max(0.0, self.now - self.intent.at)))
            return KlapSubmitPendingError(
                f"{self.intent.asker.run} is about to have the same. What it gets is taken over; next look in "
                f"{wait:.0f} s.",
                retry_after=wait,
            )
        then = "it is looked for, and sent again if it is not there," if self.has_list else "it is looked at again"
        return KlapSubmitPendingError(
            f"A request of {self.intent.submitted_at} got no answer so far. It may still be under way, so nothing is "
            f"sent; {then} in {wait:.0f} s.",
            retry_after=wait,
        )


def taken() -> KlapSubmitPendingError:
    """Return the error for what another run asks for at the same time."""
    return KlapSubmitPendingError(
        f"Another run asks for the same at this moment. What it gets is taken over; next look in {SOON:.0f} s.",
        retry_after=SOON,
    )


def ambiguous(intent: Submission, candidates: Sequence[str]) -> KlapError:
    """Return the error for a POST that may have made any of several jobs."""
    entry = intent.work.entry
    said = KlapSubmitUncertainError(
        f"A request of {intent.submitted_at} got no answer, and Klap has {len(candidates)} jobs made since that "
        f"may be its own: {', '.join(candidates)}. Nothing is sent again by itself. To go on with one of them, "
        f"{how(ADOPT, candidates[0], entry)}; to have one more made, and billed, {how(RESEND, True, entry)}. "
        "Then clear this task."
    )
    return undecided(said, intent, *candidates)


def uncertain(intent: Submission) -> KlapError:
    """Return the error for a POST that may have made a job which no list has."""
    entry = intent.work.entry
    said = KlapSubmitUncertainError(
        f"A video was sent to Klap at {intent.submitted_at} and no task id came back: Klap may have taken and "
        "billed it, and its API has no list of tasks to look in. Nothing is sent again by itself. Look in the Klap "
        f"app for an upload made at that time. If it is there, {how(ADOPT, 'its task id', entry)}; if not, "
        f"{how(RESEND, True, entry)}, and it is sent and billed once more. Then clear this task."
    )
    return undecided(said, intent)
