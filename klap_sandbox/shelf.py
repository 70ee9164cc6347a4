"""What ``--keep`` keeps: the store as a file, so that the next sandbox with the same folder continues with its jobs."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

from klap_sandbox.store import Store

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Shelf:
    """
    A folder with the jobs of a sandbox, and with its finished clips.

    :param folder: made if it is not there. Only a sandbox may write to it: its file is a pickle.
    """

    def __init__(self, folder: Path) -> None:
        self.clips = folder / "clips"
        self.clips.mkdir(parents=True, exist_ok=True)
        self._file = folder / "jobs.pickle"

    def load(self) -> Store:
        """Return the store that was saved last, or an empty one."""
        try:
            store = pickle.loads(self._file.read_bytes())
        except FileNotFoundError:
            return Store()
        except Exception as problem:  # what another version wrote can fail in many ways
            _log.error("The jobs in %s cannot be read, and are forgotten: %s", self._file, problem)
            return Store()
        return store if isinstance(store, Store) else Store()

    def save(self, store: Store) -> None:
        """Write the store, so that a crash leaves either the old or the new one."""
        draft = self._file.with_suffix(".draft")
        try:
            draft.write_bytes(pickle.dumps(store))
            draft.replace(self._file)
        except OSError as problem:  # such as a full disk: this sandbox still works
            _log.error("The jobs cannot be kept for the next start: %s", problem)
