"""
Answer all waits for the exports of one folder with one list request, in the event loop of the triggerer.

In each poll interval, the first wait whose poll is due requests ``GET /exports?folder_id=…``. The list answers the
other waits, too. An export is polled with its own GET if it is the only wait of the folder, if the list lacks it, if
the list shows a status that only the export's own GET can explain, or if the list request failed.
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
    from klap_provider.rules.job_targets import ExportTarget

log = logging.getLogger(__name__)

#: Maximum number of seconds that a list request may take. The poll interval limits it, too.
LIST_TIMEOUT = 10.0


class FolderPolls:
    """
    The list requests for one folder and one managed user.

    :param folder_id: id of the folder at Klap.
    :param send: sends a call, and returns its parsed response.
    """

    def __init__(self, folder_id: str, send: Callable[[Call[list[Export]]], Awaitable[list[Export]]]) -> None:
        #: Number of waits by export id.
        self.waits: Counter[str] = Counter()
        self._folder_id = folder_id
        self._send = send
        self._lock = asyncio.Lock()
        self._listed: dict[str, Export] = {}
        self._listed_at = float("-inf")
        self._failed = False

    async def poll(self, target: ExportTarget, interval: float) -> tuple[Export, float] | None:
        """Return the export from the list of this interval, and its age in seconds; None: poll the export itself."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            if loop.time() - self._listed_at >= interval:
                if self.waits.total() < 2:
                    return None
                self._listed, self._listed_at = {}, loop.time()
                await self._list(min(LIST_TIMEOUT, interval))
            export = target.among(self._listed)
            return None if export is None else (export, loop.time() - self._listed_at)

    async def _list(self, seconds: float) -> None:
        call = calls.list_exports(folder_id=self._folder_id, ids=set(+self.waits))
        problem = ""
        try:
            async with timeout(seconds):
                self._listed = {export.id: export for export in await self._send(call)}
        except asyncio.TimeoutError:
            problem = f"{call}: no response within {seconds:g} s."
        except KlapError as failure:
            problem = str(failure)
        if problem and not self._failed:
            log.info("%s Each export of the folder is polled with its own GET.", problem)
        elif self._failed and not problem:
            log.info("%s succeeds again, and answers all waits for exports of the folder.", call)
        self._failed = bool(problem)
