"""VideoRunOperator: one run of another DAG for a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.tasks import start_run
from klap_provider.api.public_form import shown
from klap_provider.errors import KlapIncompleteError
from klap_provider.links.video_run import VideoRunLink
from klap_provider.operators.base import KlapOperator, reports_failure
from klap_provider.rules.video_list import URL, label
from klap_provider.xcoms import ERROR_KEY, OUTCOME_KEY, RETURN_KEY, VideoOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

ENDED = ("success", "failed")


class VideoRunOperator(KlapOperator):
    """
    See to it that there is one run for a video, and wait for it in the triggerer.

    A run of that id that is there already is waited for, or reported if it has ended; it is never cleared, because that
    can cost money. It does not build upon Airflow's ``TriggerDagRunOperator``, for which a run that exists is a final
    failure: also its own one, when the answer to the request that made it got lost.

    :param trigger_dag_id: the DAG to run.
    :param source_video_url: the video.
    :param trigger_run_id: id of the run.
    :param settings: fields of the DAG's trigger form that are this video's own.
    :param shared_settings: those that are set for all videos. The others keep the DAG's defaults.
    :param line: the video's line in the list, for people.
    :param poke_interval: seconds from one look at the run to the next. Default 30.
    :return: ``{"source_video_url": str, "run_id": str, "state": str, "shorts": int, "error": str | None}``, also where
        the task fails.
    :raises KlapIncompleteError: the run failed; says why.
    """

    template_fields: Sequence[str] = (
        "trigger_dag_id",
        "source_video_url",
        "trigger_run_id",
        "settings",
        "shared_settings",
        "line",
    )
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

    @property
    def video_name(self) -> str:
        """What a person knows the video by."""
        return label(self.source_video_url, (self.settings or {}).get("name"))

    @reports_failure
    def execute(self, context: Context) -> VideoOutcome:
        """Start the run unless it is there, and wait for its end."""
        from airflow.providers.standard.triggers.external_task import DagStateTrigger
        from airflow.sdk.exceptions import TaskDeferred

        conf = {**(self.shared_settings or {}), **(self.settings or {}), URL: self.source_video_url}
        if start_run(self.trigger_dag_id, self.trigger_run_id, conf, self.video_name):
            self.log.info("Started the run %s of %s", self.trigger_run_id, self.trigger_dag_id)
        else:
            state = context["ti"].get_dagrun_state(self.trigger_dag_id, self.trigger_run_id)
            self.log.info("Nothing started: the run %s is there, and is %s", self.trigger_run_id, state)
            if state in ENDED:
                return self._outcome(context, state)
        raise TaskDeferred(
            trigger=DagStateTrigger(
                dag_id=self.trigger_dag_id,
                states=list(ENDED),  # type: ignore[arg-type]  # the words are what the trigger keeps
                run_ids=[self.trigger_run_id],
                poll_interval=self.poke_interval,
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: tuple[str, dict[str, Any]]) -> VideoOutcome:
        """Go on when the run has ended."""
        return self._outcome(context, event[1][self.trigger_run_id])

    def _outcome(self, context: Context, state: str) -> VideoOutcome:
        ti = context["ti"]

        def published(key: str) -> Any:
            return ti.xcom_pull(
                dag_id=self.trigger_dag_id, run_id=self.trigger_run_id, task_ids="publish", key=key, map_indexes=-1
            )

        error = None
        if state != "success":
            said = published(ERROR_KEY)
            error = said["error"] if said else "It left no reason; see its tasks."
        outcome: VideoOutcome = {
            "source_video_url": shown(self.source_video_url),
            "run_id": self.trigger_run_id,
            "state": state,
            "shorts": sum(bool(short["path"]) for short in published(OUTCOME_KEY) or []),
            "error": error,
        }
        ti.xcom_push(key=RETURN_KEY, value=outcome)
        if error:
            raise KlapIncompleteError(
                f"{outcome['source_video_url']}: the run {self.trigger_run_id} of {self.trigger_dag_id} failed. {error}"
                " To go on, mend the cause and clear that run; then clear this one, or start the batch again."
            )
        return outcome
