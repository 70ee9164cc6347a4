"""
Defer all tasks of a run, as a worker does: each with its own trigger.

Run with the Airflow of the cluster, to which 200 worker starts would be minutes.
"""

from __future__ import annotations

import sys
import time

from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from sqlalchemy import select

from klap_provider.triggers import TaskStatusTrigger

now = time.time()
with create_session() as session:
    for ti in session.scalars(select(TaskInstance).where(TaskInstance.run_id == sys.argv[1])):
        trigger = Trigger.from_object(
            TaskStatusTrigger(
                klap_conn_id="klap_default",
                target={"klap_task_id": f"task-{ti.map_index}"},
                started_at=now,
                deadline=now + 600,
                poll_interval=5,
                next_poll=now,
            )
        )
        session.add(trigger)
        session.flush()
        ti.trigger_id, ti.state, ti.next_method = trigger.id, "deferred", "execute_complete"
