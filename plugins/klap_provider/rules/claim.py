"""
Claim the right to send one paid request: of all that try, one at most succeeds. Pure.

The store has no compare-and-set, and a process may stand still between any two steps for as long as it likes. Two rows
per attempt are enough all the same (Lamport's fast mutual exclusion, used once):

.. code-block:: text

    claim := me ──► is the door open? ──► is it still? ──► door := closed ──► is the claim still mine? ──► I hold it

**At most one holds it.** Suppose that A and B both do, and that A wrote the claim first. A found its own claim in its
last step, so B wrote the claim after that, and looked at the door after that: it was closed, and never opens again.

That requires that each write takes effect once. Airflow's client repeats a write after a timeout, so A's claim can be
written a second time, after B has found its own. A may have prepared its request for minutes by then, so it reads the
door a second time before it closes it. What remains is the moment between that and its last step.

**It may be that nobody holds it**, when two come at the same moment. The holder writes the attempt at once, so a closed
door without an attempt for as long as a POST may be sent after it was claimed means that none ever will be: the attempt
is void, and the next one can be claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klap_provider.errors import KlapConfigError
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from klap_provider.rules.ledger import Store


@dataclass(frozen=True)
class Claim:
    """
    An attempt that somebody wants to make.

    :param store: where the ledger lives.
    :param key: key of the attempt.
    :param holder: unique id of who wants to make it.
    """

    store: Store
    key: str
    holder: str

    def enter(self) -> bool:
        """Write the claim, and return whether the door is still open."""
        self.store.set(self._claim, self.holder)
        return self.store.get(self._door) is None

    def hold(self) -> bool:
        """
        Close the door, and return whether the claim is still mine. To be called after :meth:`enter` returned True.

        :raises KlapConfigError: Airflow does not keep what is written.
        """
        if self.store.get(self._door) is not None:
            return False
        self.store.set(self._door, {"closed_by": self.holder})
        holder = self.store.get(self._claim)
        if holder is None:  # Airflow reports nothing where no DAG names the asset
            raise KlapConfigError(
                f"Airflow did not keep {self._claim!r} in the state store of the asset {LEDGER}, so nothing was sent. "
                "Check that the DAG is parsed and that the asset is active."
            )
        return bool(holder == self.holder)

    def is_abandoned(self, *, now: float, after: float) -> bool:
        """
        Return whether the door has been seen closed, without an attempt, for long enough.

        To be called after :meth:`enter` returned False. That has taken the claim away from all who do not hold it yet.

        :param now: seconds since the epoch.
        :param after: seconds.
        """
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
