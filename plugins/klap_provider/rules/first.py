"""
Of several that would all do a thing for the first time, one does, and the others wait until it is done. Pure.

For what goes wrong where two do it at the same moment, and does no harm where it is done again later. So it needs no
certainty, such as :mod:`klap_provider.rules.turn` gives to what is paid: who finds the turn still its own after a quiet
while goes on, and has as long to be done before the next one can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.rules.turn import Turn

#: Seconds in which nobody else may have come. What is let in has to be done within as many.
QUIET = 2.0
#: Seconds from one look to the next, and how many looks are waited for one that may have died.
LOOK, LOOKS = 1.0, 30


def wait_for_turn(turn: Turn, mine: str, *, is_done: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """
    Return when the thing may be done: at once if it was before.

    :param mine: who asks; nobody else may be called so.
    :param is_done: looks whether somebody has done it.
    """
    if is_done():
        return
    turn.take(mine)
    sleep(QUIET)
    if turn.whose() == mine:
        return
    for _ in range(LOOKS):
        if is_done():
            return
        sleep(LOOK)
