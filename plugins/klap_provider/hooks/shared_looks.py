"""
One list for all who wait for exports of one folder, in the triggerer's event loop.

Whoever's look is due asks for the list, and the answer is a look of all that it concerns: they wake, and reckon anew
when the next one is due. Klap documents the list, and nobody is known to use it so. Where it does not do, each wait
goes back to its own call, at its own pace and without a look more: a list that fails, or has none of the exports, was
the look of the one that asked, and the list is left alone for a while; an export that it lacks is looked at by itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from klap_provider.api import calls
from klap_provider.errors import KlapAnswerError, KlapError, KlapResponseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from klap_provider.api.answers import Export
    from klap_provider.api.calls import Call
    from klap_provider.rules.polling import ExportTarget

log = logging.getLogger(__name__)

#: Seconds from the request to the answer after which a list counts as failed.
PATIENCE = 10.0

#: Seconds for which a list that failed is left alone; doubles with each further time.
LEFT_ALONE = 60.0


class Seat:
    """
    One who waits.

    :ivar answer: what a list said of its export, until that is looked at.
    :ivar listed: whether the list has its export, as far as is known.
    """

    def __init__(self, target: ExportTarget) -> None:
        self.target = target
        self.answer: Export | None = None
        self.listed = True
        self._pause: asyncio.Future[None] | None = None

    def give(self, answer: Export) -> None:
        """Hand over what a list said."""
        self.answer = answer
        self._wake()

    def take(self) -> Export | None:
        """Return what a list said since the last look, once."""
        answer, self.answer = self.answer, None
        return answer

    async def pause(self, seconds: float) -> None:
        """Sleep so long, or until a list says something."""
        if self.answer is not None:
            return
        # Not wait_for: of what it makes, a task for each of thousands, garbage collection has to look through all.
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    def _wake(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)


class Folder:
    """
    Those who wait for exports of one folder, for one user.

    :param folder_id: Klap's id.
    :param ask: carries out a call, within so many seconds.
    """

    def __init__(self, folder_id: str, ask: Callable[[Call[list[Export]], float], Awaitable[list[Export]]]) -> None:
        self.seats: list[Seat] = []
        self._folder_id = folder_id
        self._ask = ask
        self._asking = asyncio.Lock()
        self._failures = 0
        self._alone_until = 0.0

    async def look(self, seat: Seat) -> Export | None:
        """
        Return what the list says of an export; None: it is to be looked at by itself.

        :raises KlapError: the list failed in passing, and that was the look.
        """
        if self.is_shared(seat):
            async with self._asking:
                if seat.answer is None and self.is_shared(seat):
                    await self._list()
        return seat.take()

    def is_shared(self, seat: Seat) -> bool:
        """Return whether a list is what this one looks at next, and others with it."""
        others = any(other.listed and other is not seat for other in self.seats)
        return seat.listed and others and asyncio.get_running_loop().time() >= self._alone_until

    async def _list(self) -> None:
        call = calls.list_exports(folder_id=self._folder_id, ids={seat.target.export_id for seat in self.seats})
        try:
            listed = {export.id: export for export in await self._ask(call, PATIENCE)}
        except KlapError as failure:
            raise self._failed(call, failure) from failure
        found = [(seat, seat.target.among(listed)) for seat in self.seats]
        if not any(export for _, export in found):
            raise self._failed(call, None)
        self._failures = 0
        for seat, export in found:
            if export is not None:
                seat.give(export)
            elif seat.listed:
                log.info("%s is not in Klap's list of its folder: it is looked at by itself", seat.target)
            seat.listed = export is not None

    def _failed(self, call: Call[list[Export]], failure: KlapError | None) -> KlapError:
        self._failures += 1
        seconds = LEFT_ALONE * 2 ** min(self._failures - 1, 5)
        self._alone_until = asyncio.get_running_loop().time() + seconds
        said = str(failure or f"{call} has none of the {len(self.seats)} exports that are waited for.")
        log.info("%s For the next %.0f s each export of the folder is looked at by itself.", said, seconds)
        if failure is not None and failure.passing:
            return failure
        return KlapAnswerError(said, status=failure.status if isinstance(failure, KlapResponseError) else 200)
