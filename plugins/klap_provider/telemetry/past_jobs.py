"""
What the last jobs of a connection took, in Airflow's asset store, so that waits look where it pays.

Nothing depends on it: where it cannot be read there is no record, where it cannot be written it is not, and of two runs
that end at the same time one is forgotten.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.tasks import asset_store
from klap_provider.rules.ledger import pace_entry
from klap_provider.rules.pace import lengths, remember
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klap_provider.rules.pace import Took

log = logging.getLogger(__name__)


def lengths_of(conn_id: str, job: str, *, of: float | None = None) -> list[float]:
    """
    Return the seconds that the last jobs took.

    :param job: the kind, as targets name it.
    :param of: seconds of the video that the next one is about, where that is known.
    """
    return lengths(_row(conn_id, job), of)


def note(conn_id: str, job: str, jobs: Sequence[Took]) -> None:
    """Remember what some jobs took; costs two requests to Airflow."""
    if not jobs:
        return
    try:
        asset_store(LEDGER).set(pace_entry(conn_id, job), remember(_row(conn_id, job), jobs))
    except Exception as failure:  # nothing depends on it
        log.info("What the run waited for was not remembered: %s", type(failure).__name__)


def _row(conn_id: str, job: str) -> Any:
    try:
        return asset_store(LEDGER).get(pace_entry(conn_id, job))
    except Exception as failure:  # nothing depends on it
        log.info("What the last jobs took is not known: %s", type(failure).__name__)
        return None
