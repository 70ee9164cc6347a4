"""Network failures between Airflow and Klap: refused connections, and no response."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

#: Seconds of an outage: some poll intervals of about two seconds, and the read timeout of one poll.
A_WHILE = 7


@pytest.mark.parametrize(
    ("kind", "waiting", "count"), [("task", "wait_for_shorts", 1), ("export", "short.wait_for_export", 2)]
)
def test_a_wait_continues_after_refused_connections(rig: Rig, kind: str, waiting: str, count: int) -> None:
    with rig.unfinished(kind):
        run_id = rig.start()
        rig.wait_until(run_id, waiting, "deferred", count)
        with rig.outage():
            time.sleep(A_WHILE)

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_wait_continues_after_connections_without_a_response(rig: Rig) -> None:
    with rig.unfinished("task"):
        run_id = rig.start()
        rig.wait_until(run_id, "wait_for_shorts", "deferred")
        with rig.silence():
            time.sleep(A_WHILE)

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_post_whose_connection_was_refused_is_sent_again_and_paid_once(rig: Rig) -> None:
    run_id = rig.start()
    for task_id, kind in (("submit", "task"), ("short.export", "export")):
        rig.meet_refusal_at_the_post(run_id, task_id, kind)

    rig.check_run(run_id, due=(1, 2), delivered=2)
