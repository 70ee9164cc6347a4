"""Records that help, but must not fail a task that has paid or delivered."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextmanager
def best_effort(step: str) -> Iterator[None]:
    """
    Run a step, and log its failure instead of raising it.

    :param step: what is done, as the subject of a sentence.
    """
    try:
        yield
    except Exception as failure:
        log.warning("%s failed, and the task continues without it: %s: %s", step, type(failure).__name__, failure)
