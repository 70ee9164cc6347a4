"""
Claim the right to send one paid request. At most one process holds it. Pure.

The store has no compare-and-set, and a process can pause between any two steps for any time. Two rows per attempt are
still enough (Lamport's fast mutual exclusion, used once):

.. code-block:: text

    claim := me ──► is the door open? ──► door := closed ──► is the claim still mine? ──► I hold it

**At most one process holds the claim.** Suppose that A and B both hold it, and that A wrote the claim first. A read its
own id in its last step. So B wrote its id after that, and checked the door after that. By then A had closed the door,
and a door never opens again. So B stopped. It makes no difference how long a process is paused between two steps.

This requires that each write takes effect once. Airflow's client repeats a write after a timeout, so A's claim can be
written a second time after B found its own. If that happens before A reads the door, A finds it closed by B. So the
moment between that read and A's last step remains as a risk. It is short, because a process prepares its request, which
may take minutes, before it writes the claim.

**If two processes come at the same moment, neither may hold the claim.** A holder writes the attempt at once. So if a
door stays closed without an attempt for longer than a holder may take to send its POST, the attempt is void, and the
next attempt can be claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klap_provider.rules.ledger import Store


@dataclass(frozen=True)
class Claim:
    """A claim of the attempt with a key by a process, the holder, which has a unique id."""

    store: Store
    key: str
    holder: str

    def acquire(self) -> bool:
        """Claim the attempt, and return whether this process holds the claim."""
        self.store.set(self._claim, self.holder)
        if self.store.get(self._door) is not None:
            return False
        self.store.set(self._door, {"closed_by": self.holder})
        return bool(self.store.get(self._claim) == self.holder)

    def is_abandoned(self, *, now: float, after: float) -> bool:
        """Return whether the door has been closed for ``after`` seconds. Call it if :meth:`acquire` was False."""
        door = self.store.get(self._door)
        seen = door.get("seen_at") if isinstance(door, dict) else None
        if isinstance(seen, int | float):
            return now - seen >= after
        self.store.set(self._door, {"seen_at": now})
        return False

    @property
    def _claim(self) -> str:
        return f"claim.{self.key}"

    @property
    def _door(self) -> str:
        return f"door.{self.key}"
