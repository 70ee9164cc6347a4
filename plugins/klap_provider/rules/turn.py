"""
Of two that ask for the same thing, one at most pays. Pure.

The store has no compare-and-set, and who asks may be held up between any two steps, for as long as it likes: another
one has then done all of it meanwhile. So whose turn it is stands in a row of its own:

.. code-block:: text

    turn := mine ──► is the row as it was? ──► row := intent ──► is the turn still mine? ──► POST ──► turn, row := done

Of two that both find their own turn at the end, the first one had written its intent before the other one took the
turn, and so before that one looked at the row: it would not have gone on. Who finds another's turn sends nothing, and
if that one is done, puts back what it has written over. No clock is needed for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from klap_provider.rules.ledger import Store

#: Before the name of an export, a submission or a request: who may pay for it next, or has paid.
TURN = "turn"


@dataclass(frozen=True)
class Turn:
    """
    Whose turn it is.

    :param store: where the ledger lives.
    :param name: of the row that it is about.
    """

    store: Store
    name: str

    @property
    def entry(self) -> str:
        """The name of the row that says it."""
        return f"{TURN} {self.name}"

    def take(self, mine: Any) -> None:
        """Say that it is mine: what I am about to write, or have done."""
        self.store.set(self.entry, mine)

    def whose(self) -> Any:
        """Return what was said last; None if nothing ever was."""
        return self.store.get(self.entry)
