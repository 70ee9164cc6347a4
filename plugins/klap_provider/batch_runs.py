"""VideoRunOperator: one run of another DAG for a video. SummarizeVideosOperator: what became of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.base import ERROR_KEY, KlapOperator, reports_failure
from klap_provider.batch import LIST_KEY, NAMED, URL, label
from klap_provider.errors import KlapIncompleteError
from klap_provider.links import VideoRunLink
from klap_provider.manifest import OUTCOME_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

#: XCom key of what a task returns; here also where it fails.
RETURN_KEY = "return_value"

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
    :param shared_settings: those of all videos.
    :param poke_interval: seconds from one look at the run to the next. Default 30.
    :return: ``{"source_video_url": str, "run_id": str, "state": str, "shorts": int, "error": str | None}``, also where
        the task fails.
    :raises KlapIncompleteError: the run failed; says why.
    """

    template_fields: Sequence[str] = ("source_video_url", "trigger_run_id", "settings", "shared_settings")
    operator_extra_links = (VideoRunLink(),)

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        source_video_url: str,
        trigger_run_id: str,
        settings: dict[str, Any] | None = None,
        shared_settings: dict[str, Any] | None = None,
        poke_interval: float = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trigger_dag_id = trigger_dag_id
        self.source_video_url = source_video_url
        self.trigger_run_id = trigger_run_id
        self.settings = settings
        self.shared_settings = shared_settings
        self.poke_interval = poke_interval

    @property
    def video_name(self) -> str:
        """What a person knows the video by."""
        return label(self.source_video_url, (self.settings or {}).get("name"))

    @reports_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run unless it is there, and wait for its end."""
        from airflow.providers.standard.triggers.external_task import DagStateTrigger
        from airflow.sdk.exceptions import TaskDeferred

        if self._start():
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

    def _start(self) -> bool:
        """Make the run, and return whether it is new: the database has each id but once, whoever else asks."""
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

        conf = {**(self.shared_settings or {}), **(self.settings or {}), URL: self.source_video_url}
        answer = task_runner.SUPERVISOR_COMMS.send(
            TriggerDagRun(dag_id=self.trigger_dag_id, run_id=self.trigger_run_id, conf=conf)
        )
        if not isinstance(answer, ErrorResponse):
            return True
        if answer.error != ErrorType.DAGRUN_ALREADY_EXISTS:
            raise AirflowRuntimeError(answer)
        return False

    @reports_failure
    def execute_complete(self, context: Context, event: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        """Go on when the run has ended."""
        return self._outcome(context, event[1][self.trigger_run_id])

    def _outcome(self, context: Context, state: str) -> dict[str, Any]:
        ti = context["ti"]

        def published(key: str) -> Any:
            return ti.xcom_pull(
                dag_id=self.trigger_dag_id, run_id=self.trigger_run_id, task_ids="publish", key=key, map_indexes=-1
            )

        error = None
        if state != "success":
            said = published(ERROR_KEY)
            error = said["error"] if said else "it left no reason; see its tasks"
        outcome = {
            URL: self.source_video_url,
            "run_id": self.trigger_run_id,
            "state": state,
            "shorts": sum(bool(short["path"]) for short in published(OUTCOME_KEY) or []),
            "error": error,
        }
        ti.xcom_push(key=RETURN_KEY, value=outcome)
        if error:
            raise KlapIncompleteError(
                f"{self.source_video_url}: the run {self.trigger_run_id} of {self.trigger_dag_id} failed. {error} "
                "To go on, mend the cause and clear that run; then clear this one, or start the batch again."
            )
        return outcome


class SummarizeVideosOperator(KlapOperator):
    """
    Say what became of a list of videos, and fail if any of them is not complete.

    Meant as the last task, with ``trigger_rule="all_done"``.

    :param list_task_id: id of the :class:`ReadVideoListOperator`.
    :param video_task_id: id of the :class:`VideoRunOperator`, mapped over what that one returns.
    :param trigger_dag_id: the DAG of the runs.
    :return: ``{"videos": int, "runs": int, "complete": int, "shorts": int, "duplicates": int, "incomplete":
        [{"source_video_url", "run_id", "state", "error"}], "left_out": [{"source_video_url", "line", "reason"}]}``,
        also where the task fails.
    :raises KlapIncompleteError: names the videos that are not complete.
    """

    template_fields: Sequence[str] = ("trigger_dag_id",)

    def __init__(self, *, list_task_id: str, video_task_id: str, trigger_dag_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.list_task_id = list_task_id
        self.video_task_id = video_task_id
        self.trigger_dag_id = trigger_dag_id

    @reports_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Gather, and give the verdict."""
        ti = context["ti"]
        videos = ti.xcom_pull(task_ids=self.list_task_id, map_indexes=-1)
        if videos is None:
            said = ti.xcom_pull(task_ids=self.list_task_id, key=ERROR_KEY, map_indexes=-1)
            raise KlapIncompleteError(said["error"] if said else f"Nothing was started; see {self.list_task_id}.")
        listed = ti.xcom_pull(task_ids=self.list_task_id, key=LIST_KEY, map_indexes=-1)
        outcomes = self._outcomes(context, videos)
        incomplete = [outcome for outcome in outcomes if outcome["state"] != "success"]
        summary = {
            "videos": len(videos) + len(listed["left_out"]),
            "runs": len(videos),
            "complete": len(videos) - len(incomplete),
            "shorts": sum(outcome["shorts"] for outcome in outcomes),
            "incomplete": [{key: outcome[key] for key in (URL, "run_id", "state", "error")} for outcome in incomplete],
            **listed,
        }
        self._log(summary, outcomes)
        ti.xcom_push(key=RETURN_KEY, value=summary)
        if incomplete or listed["left_out"]:
            raise KlapIncompleteError(self._verdict(summary))
        return summary

    def _outcomes(self, context: Context, videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what became of each video, in the order of the list, with two requests for all of them."""
        ti = context["ti"]
        said = {o["run_id"]: o for o in ti.xcom_pull(task_ids=[self.video_task_id]) if o}
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})

        def unsaid(index: int) -> dict[str, Any]:
            state = str(getattr(found := states.get(f"{self.video_task_id}_{index}"), "value", found or "not run"))
            # A task of the batch that ended without a word: the run itself may be well.
            error = f"the task {self.video_task_id} ended as {state} and left no reason; see its log, and clear it"
            return {"state": state if state != "success" else "unknown", "shorts": 0, "error": error}

        return [
            said.get(video["trigger_run_id"]) or {URL: video[URL], "run_id": video["trigger_run_id"], **unsaid(index)}
            for index, video in enumerate(videos)
        ]

    def _log(self, summary: dict[str, Any], outcomes: list[dict[str, Any]]) -> None:
        lines = [f"{o['state']:<16}{o['shorts']:>6}  {label(o[URL])}  →  {o['run_id']}" for o in outcomes]
        lines += [f"{'left out':<16}{0:>6}  {v[URL]} (line {v['line']}): {v['reason']}" for v in summary["left_out"]]
        self.log.info("%-16s%6s  video\n%s", "state", "shorts", "\n".join(lines))

    def _verdict(self, summary: dict[str, Any]) -> str:
        missing = [f"{o[URL]} (run {o['run_id']}): {o['error']}" for o in summary["incomplete"]]
        missing += [f"{v[URL]} (line {v['line']}): left out, {v['reason']}" for v in summary["left_out"]]
        more = f" And {len(missing) - NAMED} more, see the log." if len(missing) > NAMED else ""
        return (
            f"{summary['complete']} of {summary['videos']} videos are complete. {' '.join(missing[:NAMED])}{more} "
            f"Mend the causes, clear the failed runs of {self.trigger_dag_id}, and start the batch again: what is there"
            " is not paid for again."
        )
