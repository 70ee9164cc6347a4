"""SummarizeVideosOperator: summarize a batch, and fail if a video is not complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.api.redaction import shown
from klap_provider.errors import KlapIncompleteError
from klap_provider.operators.failures import reports_failure
from klap_provider.operators.notices import Event, KlapNotifyingOperator
from klap_provider.operators.xcom_pull import pull
from klap_provider.rules.video_list import NAMED, label
from klap_provider.xcoms import ERROR_KEY, LIST_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from klap_provider.batch_xcoms import LeftOutVideo, ListedVideo, Summary, Unlisted, VideoOutcome


class SummarizeVideosOperator(KlapNotifyingOperator):
    """
    Summarize a batch, and fail if a video is not complete.

    Use it as the last task of a batch, with ``trigger_rule="all_done"``.

    :param list_task_id: id of the :class:`~klap_provider.operators.ReadVideoListOperator`.
    :param video_task_id: id of the :class:`~klap_provider.operators.VideoRunOperator`, which is mapped over the list.
    :param trigger_dag_id: id of the Dag that runs the videos.
    :param notifiers: Airflow's notifiers that send a notice when the batch ends, in addition to those of the
        connection. See docs/how-to/get-notified.md. Default: none.
    :return: ``{"videos": int, "runs": int, "complete": int, "shorts": int, "duplicates": int, "incomplete": list,
        "left_out": list}``, also if the task fails. ``incomplete`` has the videos whose run did not succeed.
        ``left_out`` has the addresses without a video.
    :raises KlapIncompleteError: names the videos that are not complete.
    """

    template_fields: Sequence[str] = ("trigger_dag_id", "klap_conn_id")

    def __init__(self, *, list_task_id: str, video_task_id: str, trigger_dag_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.list_task_id = list_task_id
        self.video_task_id = video_task_id
        self.trigger_dag_id = trigger_dag_id

    @reports_failure
    def execute(self, context: Context) -> Summary:
        """Return the summary, and fail if a video is not complete."""
        ti = context["ti"]
        videos = pull(context, self.list_task_id, map_indexes=-1)
        if videos is None:
            failure = pull(context, self.list_task_id, key=ERROR_KEY, map_indexes=-1)
            raise KlapIncompleteError(
                failure["error"] if failure else f"Nothing was started. See the log of {self.list_task_id}."
            )
        listed: Unlisted = pull(context, self.list_task_id, key=LIST_KEY, map_indexes=-1)
        outcomes = self._outcomes(context, videos)
        incomplete = [outcome for outcome in outcomes if outcome["state"] != "success"]
        summary: Summary = {
            "videos": len(videos) + len(listed["left_out"]),
            "runs": len(videos),
            "complete": len(videos) - len(incomplete),
            "shorts": sum(outcome["shorts"] for outcome in outcomes),
            "incomplete": [
                {
                    "source_video_url": o["source_video_url"],
                    "run_id": o["run_id"],
                    "state": o["state"],
                    "error": o["error"],
                }
                for o in incomplete
            ],
            "left_out": listed["left_out"],
            "duplicates": listed["duplicates"],
        }
        self._log(summary, outcomes)
        ti.xcom_push(key=RETURN_KEY, value=summary)
        if incomplete or listed["left_out"]:
            raise KlapIncompleteError(self._error(summary))
        title = f"Klap: all {summary['videos']} videos of the batch are complete, {summary['shorts']} shorts delivered"
        self.notify(context, Event.BATCH_FINISHED, title)
        return summary

    def notify_failure(self, context: Context, failure: BaseException) -> None:
        """Notify users that the batch failed, unless this task is retried."""
        if self.is_final(context, failure):
            self.notify(context, Event.BATCH_FAILED, "Klap: a batch of videos is not complete", str(failure))

    def _outcomes(self, context: Context, videos: list[ListedVideo]) -> list[VideoOutcome]:
        """Return the outcome of each video, in the order of the list, with two requests for all videos."""
        ti = context["ti"]
        reported = {o["run_id"]: o for o in pull(context, [self.video_task_id]) if o}
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})

        def unreported(index: int, video: ListedVideo) -> VideoOutcome:
            state = str(getattr(found := states.get(f"{self.video_task_id}_{index}"), "value", found or "not run"))
            return {
                "source_video_url": shown(video["source_video_url"]),
                "run_id": video["trigger_run_id"],
                # The task of the batch succeeded without an outcome. The state of the run is not known.
                "state": state if state != "success" else "unknown",
                "shorts": 0,
                "error": (
                    f"the task {self.video_task_id} ended in the state {state} without an error. See its log, then "
                    "clear it"
                ),
            }

        return [reported.get(video["trigger_run_id"]) or unreported(index, video) for index, video in enumerate(videos)]

    def _log(self, summary: Summary, outcomes: list[VideoOutcome]) -> None:
        lines = [
            f"{o['state']:<16}{o['shorts']:>6}  {label(o['source_video_url'])}  →  {o['run_id']}" for o in outcomes
        ]
        lines += [f"{'left out':<16}{0:>6}  {_left_out(video)}" for video in summary["left_out"]]
        self.log.info("%-16s%6s  video\n%s", "state", "shorts", "\n".join(lines))

    def _error(self, summary: Summary) -> str:
        missing = [f"{o['source_video_url']} (run {o['run_id']}): {o['error']}" for o in summary["incomplete"]]
        missing += [_left_out(video) for video in summary["left_out"]]
        more = f" And {len(missing) - NAMED} more, see the log." if len(missing) > NAMED else ""
        return (
            f"{summary['complete']} of {summary['videos']} videos are complete. {' '.join(missing[:NAMED])}{more} "
            f"Fix the causes, clear the failed runs of {self.trigger_dag_id}, and start the batch again. Videos that "
            "are complete are not paid again."
        )


def _left_out(video: LeftOutVideo) -> str:
    return f"{video['source_video_url']} (line {video['line']}): left out, {video['reason']}"
