"""A worker is frozen around a paid POST until another worker takes over, and then continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.rig import DAG_ID

if TYPE_CHECKING:
    from tests.support.machines import Machines

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]

MOMENTS = ["before_intent", "before_post", "before_body", "during_post", "after_answer", "after_record"]


def test_a_worker_frozen_around_posts_of_exports_pays_once(rig: Machines) -> None:
    moments = [f"export.{moment}" for moment in MOMENTS]
    rig.sandbox.fault("POST", "/exports$", "delay", times=None, seconds=3)
    with rig.all_work_on("one"):
        rig.arm_to_freeze(*moments)
        runs = [rig.start(limit=3), rig.start(limit=3)]
        assert rig.wait_until_frozen(*moments) == "one"
    with rig.frozen_worker("one"):
        rig.check_runs(runs, due=(2, 6), delivered=3)

    assert rig.paid() == (2, 6)


def test_a_worker_frozen_around_submissions_pays_at_most_once(rig: Machines) -> None:
    moments = [f"task.{moment}" for moment in MOMENTS]
    rig.sandbox.fault("POST", "^/tasks/", "delay", times=None, seconds=3)
    with rig.all_work_on("one"):
        rig.arm_to_freeze(*moments)
        runs = [rig.start(source_video_url=rig.talk(number), limit=1) for number in range(len(moments))]
        assert rig.wait_until_frozen(*moments) == "one"
    with rig.frozen_worker("one"):
        states = [rig.airflow.wait_for_run(DAG_ID, run_id, seconds=150) for run_id in runs]
        assert sorted(states) == ["failed"] * 4 + ["success"] * 2, "before_intent, after_record"

    for run_id in runs:
        if rig.airflow.run_state(DAG_ID, run_id) == "failed":
            rig.answer(run_id)
    rig.check_runs(runs, due=(6, 6), delivered=1)
