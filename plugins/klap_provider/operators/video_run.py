"""VideoRunOperator: start the Dag run for one video of a batch, and wait for it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from klap_provider import triggers
from klap_provider.airflow_internals.tasks import run_state, start_run
from klap_provider.api.redaction import shown
from klap_provider.errors import KlapIncompleteError
from klap_provider.links.klap import VideoRunLink
from klap_provider.operators.base import KlapOperator
from klap_provider.operators.failures import reports_failure
from klap_provider.operators.xcom_pull import pull
from klap_provider.rules.video_list import URL, label
from klap_provider.xcoms import ERROR_KEY, OUTCOME_KEY, RETURN_KEY, WAIT_STATE_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from pydantic import JsonValue

    from klap_provider.batch_xcoms import VideoOutcome

#: States of a run that has ended, and the state that the trigger reports for a run that no longer exists.
ENDED, DELETED = ("success", "failed"), "deleted"

#: Seconds after which a batch gives up on a run. No run takes as long without a review.
TIMEOUT = 7 * 24 * 3600.0

#: Seconds from the trigger's deadline to the timeout of the deferral, after which Airflow ends a trigger that hangs.
DEFERRAL_MARGIN = 600.0


class VideoRunOperator(KlapOperator):
    """
    Start the run for one video of a batch, and wait for it in the triggerer.

    If a run with this id exists, the task waits for it, or reports its result. It never clears a run, because that can
    cost money. Unlike Airflow's ``TriggerDagRunOperator``, it does not fail if the run exists. A retry therefore finds
    the run that the first try started.

    :param trigger_dag_id: id of the Dag to run.
    :param source_video_url: address of the video.
    :param trigger_run_id: id of the run.
    :param settings: form parameters for this video only.
    :param shared_settings: form parameters for all videos. All others have the default of the Dag.
    :param line: line of the video in the list.
    :param poke_interval: seconds between two polls of the run. Default 30.
    :param timeout: seconds after which the task gives up on the run. The hours of a review are added. Default seven
        days.
    :return: ``{"source_video_url": str, "run_id": str, "state": str, "shorts": int, "error": str | None}``, also if the
        task fails.
    :raises KlapIncompleteError: the run failed, was deleted, or did not end in time.
    """

    template_fields: Sequence[str] = (
        "trigger_dag_id",
        "source_video_url",
        "trigger_run_id",
        "settings",
        "shared_settings",
        "line",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"settings": "json", "shared_settings": "json"}
    operator_extra_links = (VideoRunLink(),)

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        source_video_url: str,
        trigger_run_id: str,
        settings: dict[str, Any] | None = None,
        shared_settings: dict[str, Any] | None = None,
        line: int | None = None,
        poke_interval: float = 30,
        timeout: float = TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trigger_dag_id = trigger_dag_id
        self.source_video_url = source_video_url
        self.trigger_run_id = trigger_run_id
        self.settings = settings
        self.shared_settings = shared_settings
        self.line = line
        self.poke_interval = poke_interval
        self.timeout = timeout

    @property
    def video_name(self) -> str:
        """Name of the video for the UI."""
        return label(self.source_video_url, (self.settings or {}).get("name"))

    @reports_failure
    def execute(self, context: Context) -> VideoOutcome:
        """Start the run, unless it exists, and wait until it ends."""
        from airflow.sdk.exceptions import TaskDeferred

        conf = {**(self.shared_settings or {}), **(self.settings or {}), URL: self.source_video_url}
        deadline = self._deadline(context, conf)
        if start_run(self.trigger_dag_id, self.trigger_run_id, conf, self.video_name):
            self.log.info("Started the run %s of %s", self.trigger_run_id, self.trigger_dag_id)
        else:
            state = run_state(self.trigger_dag_id, self.trigger_run_id) or DELETED
            self.log.info("Nothing was started: the run %s exists, its state is %s", self.trigger_run_id, state)
            if state in (*ENDED, DELETED) or time.time() >= deadline:
                return self._outcome(context, state)
        raise TaskDeferred(
            trigger=triggers.VideoRunTrigger(
                dag_id=self.trigger_dag_id,
                run_id=self.trigger_run_id,
                deadline=deadline,
                poll_interval=self.poke_interval,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + DEFERRAL_MARGIN),
        )

    def execute_complete(self, context: Context, event: Any, **_unknown: Any) -> VideoOutcome:
        """Continue when the run has ended, is deleted, or the deadline has passed."""
        # An earlier version of this package waited with Airflow's DagStateTrigger, which has another event.
        state = event["state"] if isinstance(event, dict) else event[1][self.trigger_run_id]
        return self._outcome(context, state)

    def _deadline(self, context: Context, conf: dict[str, Any]) -> float:
        """Return the deadline in seconds since the epoch. All retries have the same one; a clear sets a new one."""
        store, max_tries = context["task_state_store"], context["ti"].max_tries
        target = f"{self.trigger_run_id} {max_tries}"
        record: Any = store.get(WAIT_STATE_KEY)
        if record is None or record["target"] != target:
            record = {"target": target, "started_at": time.time(), "unknown_since": None}
            store.set(WAIT_STATE_KEY, cast("JsonValue", record))
        review = 3600 * float(conf.get("review_hours") or 0)
        return float(record["started_at"]) + self.timeout + review

    def _outcome(self, context: Context, state: str) -> VideoOutcome:
        ti = context["ti"]

        def published(key: str) -> Any:
            of_run = {"dag_id": self.trigger_dag_id, "run_id": self.trigger_run_id, "map_indexes": -1}
            return pull(context, "publish", key=key, **of_run)

        error = None if state == "success" else self._error(state, published(ERROR_KEY) if state == "failed" else None)
        outcome: VideoOutcome = {
            "source_video_url": shown(self.source_video_url),
            "run_id": self.trigger_run_id,
            "state": state,
            "shorts": sum(bool(short["path"]) for short in published(OUTCOME_KEY) or []) if state in ENDED else 0,
            "error": error,
        }
        ti.xcom_push(key=RETURN_KEY, value=outcome)
        if error is None:
            return outcome
        problem = {"failed": "failed", DELETED: "was deleted"}.get(state, f"is still {state}")
        action = {
            "failed": "Fix the cause and clear that run. Then clear this task, or start the batch again.",
            DELETED: "Clear this task, or start the batch again, to start the run again. With reuse, which is on in a "
            "batch by default, nothing is paid again.",
        }.get(state, "Check what the run waits for. To wait longer, clear this task.")
        raise KlapIncompleteError(
            f"{outcome['source_video_url']}: the run {self.trigger_run_id} of {self.trigger_dag_id} {problem}. {error} "
            f"{action}"
        )

    def _error(self, state: str, failure: Any) -> str:
        if failure:
            return str(failure["error"])
        if state == "failed":
            return "The run gave no reason. See the logs of its tasks."
        if state == DELETED:
            return "The run was deleted before it ended."
        return f"The run has not ended within {self.timeout / 3600:g} hours."
