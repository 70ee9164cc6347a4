"""
Which submission has sent a request last, or is about to: what a run that asks for ``reuse`` goes on with. Pure.

A row for each request names that submission's own row. Of two runs that find none at once, one may go on
(:mod:`klap_provider.rules.turn`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from klap_provider.rules import lost_answer
from klap_provider.rules.ledger import Submission
from klap_provider.rules.turn import Turn

if TYPE_CHECKING:
    from klap_provider.rules.ledger import Store, Work


@dataclass(frozen=True)
class Reuse:
    """
    The row of a request.

    :param store: where the ledger lives.
    :param work: what is asked for.
    :param request: the name of the row.
    """

    store: Store
    work: Work
    request: str

    @property
    def row(self) -> Any:
        """What it says now; None if nothing."""
        return self.store.get(self.request)

    def other(self, row: Any) -> Submission | None:
        """Return the submission that it names, if that is another one and there."""
        if row is None or row["entry"] == self.work.entry:
            return None
        sent = self.store.get(row["entry"])
        return None if sent is None else Submission.from_row(sent, replace(self.work, entry=row["entry"]))

    def note(self) -> None:
        """Say that it is this one."""
        self.store.set(self.request, self._mine)

    def reserve(self, row: Any, other: Submission | None) -> None:
        """
        Say that it is this one, if nothing has changed.

        :param row: what was read.
        :param other: the submission that it named then.
        :raises KlapSubmitPendingError: another run does the same at this moment.
        """
        self._turn.take(self._mine)
        if self.row != row or self.other(row) != other:
            raise lost_answer.taken()
        self.note()
        if self.is_displaced():
            raise lost_answer.taken()

    def is_displaced(self) -> bool:
        """Whether another run has reserved it since this one did."""
        return bool(self._turn.whose() != self._mine)

    @property
    def _mine(self) -> dict[str, str]:
        return {"entry": self.work.entry}

    @property
    def _turn(self) -> Turn:
        return Turn(self.store, self.request)
