"""Start a run of klap_generate_shorts for each video of a list. See docs/how-to/run-a-batch.md."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import DAG, Param, XComArg

from klap_provider.dag_parts.dag import form_of, klap_dag
from klap_provider.dag_parts.generate_shorts import shorts_form
from klap_provider.dag_parts.trigger_form import PATH_OR_URL, add_cost_estimate, allowlist, for_batch
from klap_provider.operators import ReadVideoListOperator, SummarizeVideosOperator, VideoRunOperator
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.operators.video_run import TIMEOUT
from klap_provider.xcoms import SETTINGS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import BaseNotifier

#: Fields of the main form that differ by video, so the batch's form does not have them. A CSV file can.
PER_VIDEO = ("source_video_url", "name", "klap_task_id", "project_ids")

DOC = """
### Turn a list of long videos into shorts
Press **Trigger** and paste the addresses, one per line. Or give the path of a list: a text file with one address per
line, or a CSV file with a column `source_video_url`. Other columns of a CSV file set fields of the form for single
videos. Fields that you leave empty have the defaults of *Klap: generate shorts*. Each video gets a run of that Dag, a
few at a time.

| Step | What happens |
|---|---|
| Read list | Checks all entries. If one is wrong, **nothing is started**. Addresses without a video are left out. |
| Each video | Starts one run per video, which Klap **bills** like any other, and waits for it without a worker. |
| Summary | Logs the result of every video. |

**If a run fails**, its **Shorts** tab and the log of *Summary* name the incomplete videos and the causes. Fix the
causes and clear the runs **of these videos**. Then trigger this Dag again with the same list: it reports the complete
videos and pays nothing for them.
"""


def klap_generate_shorts_batch(
    dag_id: str = "klap_generate_shorts_batch",
    *,
    form: Mapping[str, Any] | None = None,
    schedule: Any = None,
    at_a_time: int = 4,
    poke_interval: float = 30,
    video_timeout: float = TIMEOUT,
    trigger_dag_id: str = "klap_generate_shorts",
    allowed_lists: Sequence[str] | None = None,
    allowed_sources: Sequence[str] | None = None,
    allowed_destinations: Sequence[str] | None = None,
    allowed_connections: Sequence[str] | None = None,
    pool: str | None = None,
    notifiers: Sequence[BaseNotifier] = (),
    **dag_arguments: Any,
) -> DAG:
    """
    Return a Dag that starts a run for each video of a list. Assign it to a module variable such as ``dag``.

    :param dag_id: id of the Dag. With another id, you get an additional Dag.
    :param form: defaults of the trigger form, by field name, such as ``{"limit": 5}``.
    :param schedule: schedule, as for any Dag. It needs a default for ``list_path`` or ``source_video_urls``. Default:
        none.
    :param at_a_time: maximum number of videos in progress. Default 4.
    :param poke_interval: seconds between two polls of a run. Default 30.
    :param video_timeout: seconds after which the batch gives up on the run of a video. The hours of a review are added.
        The run itself continues. Default seven days.
    :param trigger_dag_id: id of the Dag that runs the videos, if it is another one that ``klap_generate_shorts()``
        returned.
    :param allowed_lists: prefixes of addresses that a run may use as its list, such as ``s3://media_s3@media/lists`` or
        ``/data/lists``. The default in the Dag file is always allowed. None: ``[klap] allowed_lists`` in Airflow's
        configuration.
    :param allowed_sources: the same for the videos. The allowlist of each run's own Dag applies, too.
    :param allowed_destinations: the same for the destination.
    :param allowed_connections: ids of Klap connections that a run may use as ``klap_conn_id``. The default in the Dag
        file is always allowed. None: ``[klap] allowed_connections`` of Airflow's configuration, or else none.
    :param pool: pool of all tasks. Default: Airflow's default pool.
    :param notifiers: Airflow's notifiers, such as ``SlackWebhookNotifier``, that send a notice when a batch ends, in
        addition to those of the connection ``klap_default``. See docs/how-to/get-notified.md. Default: none.
    :param dag_arguments: arguments of ``airflow.sdk.DAG``, such as ``max_active_runs`` or ``start_date``. ``tags`` are
        added to ``klap`` and ``video``. ``default_args`` is merged with the Dag's. All other arguments replace the
        Dag's own. ``params``, and what would let a backfill or a catch-up pay, raise an error.
    """
    of_a_video = shorts_form()
    add_cost_estimate(of_a_video)
    shared = {name: for_batch(param) for name, param in of_a_video.items() if name not in PER_VIDEO}
    shared["reuse"] = copy(of_a_video["reuse"])
    shared["reuse"].value = True  # so that a deleted run is not paid for again
    fields = {
        "source_video_urls": Param(
            [],
            type=["array", "null"],
            items={"type": "string"},
            title="Video URLs",
            description="One per line: a YouTube link, a public http(s) address of a video file, or a file in object "
            "storage.",
        ),
        "list_path": Param(
            None,
            type=["string", "null"],
            pattern=PATH_OR_URL,
            title="List of videos",
            description="Path or URL of a list, such as s3://aws_default@bucket/videos.csv: a text file with one "
            "address per line, or a CSV file with a column source_video_url.",
        ),
        **shared,
    }
    with klap_dag(
        dag_id,
        factory=klap_generate_shorts_batch,
        display_name="Klap: generate shorts, batch",
        doc=DOC,
        fields=fields,
        form=form,
        schedule=schedule,
        pool=pool,
        allowed_connections=allowed_connections,
        dag_arguments={"max_active_runs": 1, **dag_arguments},
    ) as dag:
        values = form_of(dag, fields)
        read_list = ReadVideoListOperator(
            task_id="read_list",
            task_display_name="Read list",
            form=of_a_video,
            trigger_dag_id=trigger_dag_id,
            source_video_urls=values["source_video_urls"],
            list_path=values["list_path"],
            settings={name: values[name] for name in shared},
            allowed_lists=allowlist(fields, "list_path", allowed_lists),
            allowed_sources=allowed_sources,
            allowed_destinations=allowlist(fields, "destination", allowed_destinations),
            strict_conf=True,
        )
        video = VideoRunOperator.partial(
            task_id="video",
            task_display_name="Each video",
            map_index_template="{{ task.video_name }}",
            retry_policy=KlapRetryPolicy(),  # Airflow does not use the operator's own if the task cannot be unmapped
            trigger_dag_id=trigger_dag_id,
            shared_settings=XComArg(cast("Any", read_list), SETTINGS_KEY),
            poke_interval=poke_interval,
            timeout=video_timeout,
            max_active_tis_per_dagrun=at_a_time,  # deferred tasks count, too
        ).expand_kwargs(read_list.output)
        summary = SummarizeVideosOperator(
            task_id="summary",
            task_display_name="Summary",
            trigger_rule="all_done",
            notifiers=notifiers,
            list_task_id=read_list.task_id,
            video_task_id=video.task_id,
            trigger_dag_id=trigger_dag_id,
        )
        [read_list, video] >> summary
    return dag
