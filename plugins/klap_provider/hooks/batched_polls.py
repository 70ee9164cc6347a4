"""
One list request that answers all waits for exports of one folder, in the triggerer's event loop.

In each poll interval, the first wait whose poll is due requests ``GET /exports?folder_id=…``, and that list answers the
others, too. What the list lacks, or shows in a state that only the export's own GET can explain, is polled by its own
GET in that interval. After a failed list, each export is polled by its own GET for that interval.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING

from klap_provider.api import calls
from klap_provider.errors import KlapError

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Export
    from klap_provider.rules.polling import ExportTarget

log = logging.getLogger(__name__)

#: Seconds that a list request may take; it is also given up when the poll interval is over.
PATIENCE = 10.0


class FolderPolls:
    """
    The list requests for one folder and one managed user.

    :param folder_id: Klap's id.
    :param send: sends a call, and returns its parsed answer.
    """

    def __init__(self, folder_id: str, send: Callable[[Call[list[Export]]], Awaitable[list[Export]]]) -> None:
        #: How many waits there are, by export id.
        self.waits: Counter[str] = Counter()
        self._folder_id = folder_id
        self._send = send
        self._lock = asyncio.Lock()
        self._listed: dict[str, Export] = {}
        self._listed_at = float("-inf")
        self._failed = False

    async def poll(self, target: ExportTarget, interval: float) -> tuple[Export, float] | None:
        """
        Return the export as the list of this interval shows it, and the age of that list in seconds.

        :param interval: seconds for which a list counts.
        :return: None if the export is to be polled by its own GET.
        """
        async with self._lock:
            loop = asyncio.get_running_loop()
            if loop.time() - self._listed_at >= interval:
                if self.waits.total() < 2:
                    return None
                self._listed, self._listed_at = {}, loop.time()
                await self._list(min(PATIENCE, interval))
            export = target.among(self._listed)
            return None if export is None else (export, loop.time() - self._listed_at)

    async def _list(self, patience: float) -> None:
        call = calls.list_exports(folder_id=self._folder_id, ids=set(self.waits))
        problem = ""
        try:
            async with timeout(patience):
                self._listed = {export.id: export for export in await self._send(call)}
        except asyncio.TimeoutError:
            problem = f"{call}: no answer within {patience:g} s."
        except KlapError as failure:
            problem = str(failure)
        if problem and not self._failed:
            log.info("%s Each export of the folder is polled by its own GET.", problem)
        elif self._failed and not problem:
            log.info("%s works again: one list answers all waits for exports of the folder.", call)
        self._failed = bool(problem)
