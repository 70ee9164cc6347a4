"""The folder of ``--keep``: jobs as a pickle file, and finished clips."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

from klap_sandbox.store import Store

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class JobFolder:
    """
    A folder that keeps jobs and clips from one start to the next.

    :param folder: created if it is missing. Only the sandbox may write to it, as it contains a pickle file.
    """

    def __init__(self, folder: Path) -> None:
        self.clips = folder / "clips"
        self.clips.mkdir(parents=True, exist_ok=True)
        self._file = folder / "store.pickle"

    def load(self) -> Store:
        """Return the store that was saved last; an empty one if it does not exist or cannot be read."""
        try:
            store = pickle.loads(self._file.read_bytes())
        except FileNotFoundError:
            return Store()
        except Exception as problem:  # a file of another version can fail in many ways
            _log.error("The jobs in %s cannot be read. Starting without them: %s", self._file, problem)
            return Store()
        return store if isinstance(store, Store) else Store()

    def save(self, store: Store) -> None:
        """Save the store. A crash leaves the old file or the new one."""
        draft = self._file.with_suffix(".draft")
        try:
            draft.write_bytes(pickle.dumps(store))
            draft.replace(self._file)
        except OSError as problem:  # such as a full disk
            _log.error("The jobs cannot be saved for the next start: %s", problem)
