"""The DAGs on several machines that share no disk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from demo.cluster import MACHINES
from tests.support.rig import DAG_ID

if TYPE_CHECKING:
    from tests.support.machines import Machines

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]

BATCH = "klap_cluster_batch"


def test_a_run_a_review_and_a_batch_deliver_to_the_bucket_from_whichever_machine(rig: Machines) -> None:
    reviewed = rig.start(review=True, source_video_url=rig.talk(0))
    plain = rig.start(limit=3)
    talks = [rig.talk(number) for number in (1, 2)]
    batch = rig.airflow.trigger(BATCH, {"source_video_urls": talks, "destination": rig.destination})
    rig.wait_until(reviewed, "select_shorts", "awaiting_input")
    rig.pick(reviewed, 1)

    assert rig.airflow.wait_for_run(BATCH, batch, seconds=180) == "success"
    summary = rig.airflow.xcom(BATCH, batch, "summary")
    assert (summary["runs"], summary["complete"], summary["shorts"]) == (2, 2, 2)
    rig.settle(plain, due=(4, 6), delivered=3)
    rig.settle(reviewed, due=(4, 6), delivered=1)
    assert Counter(ti["hostname"] for ti in rig.airflow.task_instances(DAG_ID, plain)).keys() == set(MACHINES)
