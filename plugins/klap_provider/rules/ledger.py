"""
The ledger: every paid request, so that no request is paid for twice. Pure.

Klap bills each POST that it accepts and has no idempotency key. The ledger is therefore a key-value store that outlives
retries, crashes, clears and deleted runs, and that all runs share. Each request has a log of attempts, numbered from 0:

====================================  ==================================================================
``<log>.<n>``                         :class:`Attempt`: written before POST ``n``, by its claim holder alone
``claim.<log>.<n>``, ``door.…``       who may send POST ``n``, see :mod:`klap_provider.rules.claim`
``paid.<day>.<attempt id>``           :class:`Payment`: an accepted POST and Klap's id of its job
``adopt.<log>.<n>``, ``resend.…``     a user's decision, see :mod:`klap_provider.rules.manual_resolution`
``generated.<folder>``                the key of the payment for the shorts that Klap generated
``reuse.<fingerprint>``               the key of the newest payment for a submission, whichever run made it
``selection.<task>``                  which shorts a run has selected (:mod:`klap_provider.rules.selection`)
``delivered.<run>.<short>``           where a run delivered a short (:mod:`klap_provider.rules.ledger_rows`)
``notice.<task>.<event>``             a notice that a task has sent, or could not send
``month.<month>.<scope>.<n>``         a reserved part of a monthly limit (:mod:`klap_provider.rules.month_log`)
``limit.<month>.<scope>``             what is reserved of the limit, and the number of the next entry
``reserved.<scope and run>.<what>``   what a run has reserved (:mod:`klap_provider.rules.monthly_limit`)
``pause.<scope>``                     why watched sources start nothing, and until when
``watched.<source>.<item>``           what became of an item (:mod:`klap_provider.rules.source_runs`)
``source.<source>``, ``poll.…``       the latest check of a watched source
``short_name.<name>``                 that a short with this name was delivered
====================================  ==================================================================

A log is named after what is paid for:

- ``export.<short>``: the exports of a short, with any settings
- ``submission.<task>``: the submissions of one task instance
- ``request.<fingerprint>``: a submission that runs with ``reuse``, or mapped task instances, share

:mod:`klap_provider.rules.idempotent_submit` has the rules.

:mod:`klap_provider.rules.ledger_keys` makes the keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from klap_provider.rules.ledger_keys import payment_key

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Version of new rows. Readers tolerate missing and unknown fields.
VERSION = 1

#: Key prefixes of attempts whose logs are shared by several runs.
SHARED = ("export.", "request.")

#: Default of the seconds that a sender waits for a response.
RESPONSE_WITHIN = 70.0


class Store(Protocol):
    """A key-value store without compare-and-set. It must never report an unreadable row as missing."""

    def get(self, key: str) -> Any:
        """Return a row, or None if it does not exist."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite a row."""

    def delete(self, key: str) -> None:
        """Remove a row."""


@dataclass(frozen=True)
class Requester:
    """
    The try of a task instance that makes a request.

    :param run: Dag id and run id, separated by a space.
    :param try_number: from 1.
    :param max_tries: Airflow's ``max_tries``. A clear raises it, a retry does not.
    """

    run: str
    try_number: int = 1
    max_tries: int = 0

    def is_retry_of(self, other: Requester) -> bool:
        """Return whether this is an automatic retry of the other try: no clear and no deleted run in between."""
        return self.max_tries == other.max_tries and self.try_number > other.try_number


@dataclass(frozen=True, kw_only=True)
class Billed:
    """
    What a request and its attempts have in common.

    :param what: description of the job.
    :param video: address of the source video, without secrets.
    :param price: US dollars.
    :param estimated: whether the price is a default that Klap has not confirmed.
    :param budget: budget of the run in US dollars; None: no limit.
    :param fingerprint: identifies the attempts of the log that are the same request.
    :param inputs: settings and account of the request, without secrets. Changes since the last attempt are reported.
    :param settings: description of the settings.
    :param account: account whose list shows the job; empty if Klap has no list.
    """

    what: str = ""
    video: str = ""
    price: float = 0.0
    estimated: bool = False
    budget: float | None = None
    fingerprint: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    account: str = ""


@dataclass(frozen=True)
class PaidRequest(Billed):
    """
    A request that Klap bills.

    :param log: key of the log of attempts, see :func:`export_log`, :func:`submission_log` and :func:`request_log`.
    :param shared_log: log of the same request by other tasks, to reuse their payments; None: do not reuse.
    :param reuse: whether the log is shared by all runs, rather than by the mapped instances of one task.
    :param reuse_key: key of the row with the newest payment for the same request; None: no such row.
    """

    log: str
    shared_log: str | None = None
    reuse: bool = False
    reuse_key: str | None = None


@dataclass(frozen=True)
class Attempt(Billed):
    """
    An intent to send a POST.

    :param key: key in the ledger.
    :param id: unique id, which is a part of the payment's key.
    :param at: when the POST was about to be sent, in seconds since the epoch.
    :param requester: the try that was about to send it.
    :param known: ids of jobs at Klap that existed before, so that this POST cannot have created them.
    :param response_within: seconds that the sender waits for the response.
    :param is_void: whether it is certain that Klap accepted no POST.
    :param link: shared log in which this request continues; None: no shared log.
    :param job_id: Klap's id of the task or export, from the payment; None: no payment yet. In the row only if another
        log has the payment.
    :param paid_by: the run that paid.
    """

    key: str
    id: str
    at: float
    requester: Requester
    known: tuple[str, ...] = ()
    response_within: float = RESPONSE_WITHIN
    is_void: bool = False
    link: str | None = None
    job_id: str | None = None
    paid_by: str | None = None

    @property
    def submitted_at(self) -> str:
        """``at`` in ISO 8601."""
        return datetime.fromtimestamp(self.at, timezone.utc).isoformat()

    @property
    def payment_key(self) -> str:
        """Key of the payment that this attempt leads to."""
        return payment_key(self.submitted_at, self.id)

    def to_row(self) -> dict[str, Any]:
        """Return the row for the store."""
        return _without_empty(
            {
                **{name: getattr(self, name) for name in _IN_ROWS},
                "version": VERSION,
                "submitted_at": self.submitted_at,
                "run": self.requester.run,
                "tries": [self.requester.try_number, self.requester.max_tries],
                "inputs": dict(self.inputs),
                "known": list(self.known),
                "response_within": None if self.response_within == RESPONSE_WITHIN else self.response_within,
                "void": self.is_void,
            }
        )

    @classmethod
    def from_row(cls, key: str, row: Mapping[str, Any]) -> Attempt:
        """
        Return the attempt that a row describes.

        :raises KeyError: the row is not an attempt.
        """
        return cls(
            **{name: row[name] for name in _IN_ROWS if row.get(name) is not None or name == "id"},
            key=key,
            at=datetime.fromisoformat(row["submitted_at"]).timestamp(),
            requester=Requester(row["run"], *row.get("tries", ())),
            known=tuple(row.get("known", ())),
            is_void=bool(row.get("void")),
        )

    def with_payment(self, payment: Mapping[str, Any] | None) -> Attempt:
        """Return the attempt with the fields of its payment, if there is one."""
        if payment is None:
            return self
        return replace(self, is_void=False, job_id=payment["id"], paid_by=payment.get("run"))

    def payment(self, job_id: str) -> dict[str, Any]:
        """Return the row of the payment for this attempt."""
        return _without_empty(
            {
                **{name: getattr(self, name) for name in ("price", "what", "video", "settings", "budget", "estimated")},
                "version": VERSION,
                "id": job_id,
                "run": self.requester.run,
                "at": self.submitted_at,
                "entry": self.key,
            }
        )


#: Fields that a request and its attempts have in common, and those that an attempt and its row have in common.
BILLED = tuple(each.name for each in fields(Billed))
_IN_ROWS = (*BILLED, "id", "response_within", "link", "job_id", "paid_by")


def _without_empty(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not (value is None or value is False or value in ("", []))}


def read_attempts(store: Store, log: str) -> list[Attempt]:
    """Return the attempts of a log, each with its payment if it has one."""
    attempts: list[Attempt] = []
    while (row := store.get(key := f"{log}.{len(attempts)}")) is not None:
        attempts.append(Attempt.from_row(key, row))
    # The payments are read last, because an attempt starts only after the outcome of the one before is recorded.
    return [each if each.link else each.with_payment(store.get(each.payment_key)) for each in attempts]
