"""
The ledger: what was paid, or may have been, so that nothing is paid twice. Pure.

Klap bills every POST it accepts and has no idempotency key, so the memory is ours: rows of one store that outlives
crashes, retries, clears and runs, and is the same for all of them. A row stands under the name of the thing itself:

=================================  =============================================================
``export <short> <look>``          an export: :class:`Submission`; the same whoever asks for it, and how
``submission <dag> <run> <task>``  a video sent to Klap: :class:`Submission`
``request <digest>``               which submission was the last to ask for just that; for ``reuse``
``paid <video> <id>``              one accepted POST, for people: when, which run, for what, at what price
``job <export id>``                which export of ours it is; so that no other one adopts it
``selection <dag> <run> <task>``   which shorts a run has selected (:mod:`klap_provider.rules.selection`)
``delivered <dag> <run> <short>``  where a run has delivered a short: :class:`~klap_provider.xcoms.DeliveredRow`
``adopt …``, ``resend …``          a person's word on the export or the submission of that name
``turn …``                         who may pay for the export, submission or request of that name next, or has paid;
                                   and who may be the first to record an event of that asset
``listed <folder> <user>``         which exports there were of a folder a moment ago; good for a minute
``pace <connection> <kind>``       what its last jobs took (:mod:`klap_provider.rules.pace`); nothing that was paid
=================================  =============================================================

A :class:`Submission` without an id is an intent: a POST may have gone out. :mod:`klap_provider.rules.submitter` says
what comes of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from klap_provider.rules.asked import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Airflow takes keys of 512 characters, and a word and a space may come before a name.
LONGEST_NAME = 512 - len("resend ")

#: The first words of the rows that are listed, rather than looked up.
PAID, DELIVERED = "paid", "delivered"


class Store(Protocol):
    """
    What is needed of the state store. It has no compare-and-set.

    One that cannot be read raises; that must never look like "there is no such row".
    """

    def get(self, name: str) -> Any:
        """Return a row, or None if there is none."""

    def set(self, name: str, value: Any) -> None:
        """Write a row, whatever was there."""

    def delete(self, name: str) -> None:
        """Forget a row."""


@dataclass(frozen=True)
class Asker:
    """
    The try of a task instance that asks.

    :param run: what the ledger calls its run.
    :param try_number: from 1.
    :param max_tries: Airflow's; a clear raises it, a retry does not.
    """

    run: str
    try_number: int = 1
    max_tries: int = 0

    def goes_on_from(self, other: Asker) -> bool:
        """Whether only Airflow's own retries lie between the two, and no clear and no deleted run."""
        return self.max_tries == other.max_tries and self.try_number >= other.try_number


@dataclass(frozen=True)
class Work:
    """
    What is to be paid for.

    :param entry: its name in the ledger, see :func:`export_entry` and :func:`submission_entry`.
    :param video: the video that it is made of, as people know it, and without secrets.
    :param what: what it is, for people.
    :param price: US dollars.
    :param asked: what is asked of whom, without secrets: what must not change unnoticed. For an export nothing, as its
        name says it all.
    :param request: name of the row that finds it by what was asked; None where nobody looks so.
    :param budget: US dollars that the run which asks may cost, for the line of a video; None: any number.
    :param second_hand: whether nobody at Klap has confirmed the price.
    :param settings: how it is to be made, for people.
    """

    entry: str
    video: str
    what: str
    price: float
    asked: Mapping[str, Any] = field(default_factory=dict)
    request: str | None = None
    budget: float | None = None
    second_hand: bool = False
    settings: str = ""


@dataclass(frozen=True)
class Submission:
    """
    A paid job, and who asked for it.

    :param at: when the POST was about to go out, in seconds since the epoch.
    :param asker: who was about to send it.
    :param work: what it is for.
    :param job_id: Klap's id of the task or export; None while that is not known.
    :param known: ids of jobs of the same thing that were there before: never what this POST made.
    :param paid: every POST for it that Klap is known to have accepted: ``{"id", "run", "at", "price"}``, and, where
        they hold, ``budget`` and ``second_hand``.
    """

    at: float
    asker: Asker
    work: Work
    job_id: str | None = None
    known: tuple[str, ...] = ()
    paid: tuple[Mapping[str, Any], ...] = ()

    def paid_by(self, run: str) -> int:
        """Return how many POSTs Klap has accepted of a run."""
        return sum(line["run"] == run for line in self.paid)

    @property
    def submitted_at(self) -> str:
        """``at`` in ISO 8601."""
        return _iso(self.at)

    def to_row(self) -> dict[str, Any]:
        """Return the JSON form, for the store and for people."""
        return {
            "id": self.job_id,
            "what": self.work.what,
            "video": self.work.video,
            "submitted_at": self.submitted_at,
            "run": self.asker.run,
            "tries": [self.asker.try_number, self.asker.max_tries],
            "price": self.work.price,
            "paid": [dict(line) for line in self.paid],
            "known": list(self.known),
            "asked": dict(self.work.asked),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], work: Work) -> Submission:
        """Return what :meth:`to_row` wrote of the same work."""
        return cls(
            datetime.fromisoformat(row["submitted_at"]).timestamp(),
            Asker(row["run"], *row["tries"]),
            replace(work, video=row["video"], what=row["what"], price=row["price"], asked=row["asked"]),
            row["id"],
            tuple(row["known"]),
            tuple(row["paid"]),
        )


def export_entry(project_id: str, look: Mapping[str, Any]) -> str:
    """
    Return the name of an export: the short, and what it is to look like.

    :param look: the body of the request with all defaults in it, so that saying them makes no other export.
    """
    return _name("export", project_id, _digest(look) if look else "plain")


def submission_entry(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return the name of a submission: the run and the task that ask for it."""
    return _name("submission", *_task(dag_id, run_id, task_id, map_index))


def selection_entry(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return the name of a selection: the run and the task that made it."""
    return _name("selection", *_task(dag_id, run_id, task_id, map_index))


def delivered_entry(dag_id: str, run_id: str, project_id: str) -> str:
    """Return the name of the row that says where a run has delivered a short."""
    return _name(DELIVERED, dag_id, run_id, project_id)


def request_entry(path: str, body: Mapping[str, Any]) -> str:
    """Return the name under which a submission is found by what was asked, whoever asked for it."""
    return _name("request", _digest([path, body]))


def paid_entry(video: str, job_id: str) -> str:
    """Return the name of the line for an accepted POST; the lines of a video stand together."""
    return _name(PAID, video, job_id)


def video_of_line(entry: str) -> str:
    """Return the video of a line that :func:`paid_entry` has named."""
    return entry.removeprefix(f"{PAID} ").rpartition(" ")[0]


def job_entry(job_id: str) -> str:
    """Return the name of the row that says whose an export is."""
    return _name("job", job_id)


def listed_entry(folder_id: str, user: str | None) -> str:
    """Return the name of the note on which exports there are of a folder, as a user sees them."""
    return _name("listed", folder_id, *([user] if user else []))


def event_entry(alias: str, uri: str) -> str:
    """Return the name of the asset event that an alias has for a destination."""
    return _name("event", alias, _digest([uri]))


def pace_entry(conn_id: str, job: str) -> str:
    """Return the name of the record of what the last jobs of a kind took."""
    return _name("pace", conn_id, job)


def _task(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> list[str]:
    place = [] if map_index is None or map_index < 0 else [str(map_index)]
    return [dag_id, run_id, task_id, *place]


def _name(*parts: str) -> str:
    name = " ".join(parts)
    return (
        name
        if len(name) <= LONGEST_NAME
        else f"{name[: LONGEST_NAME - 65]} {hashlib.sha256(name.encode()).hexdigest()}"
    )


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(plain(facts), sort_keys=True).encode()).hexdigest()[:16]


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()
