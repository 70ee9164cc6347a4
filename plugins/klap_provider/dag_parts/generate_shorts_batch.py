"""Start a run of klap_generate_shorts for each video of a list. See docs/how-to/run-a-batch.md."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import DAG, Param, XComArg

from klap_provider.dag_parts.flow import form_of, klap_dag
from klap_provider.dag_parts.generate_shorts import shorts_form
from klap_provider.dag_parts.trigger_form import PLACE, allowed_prefixes, for_batch
from klap_provider.operators import ReadVideoListOperator, SummarizeVideosOperator, VideoRunOperator
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.operators.video_run import TIMEOUT
from klap_provider.xcoms import SETTINGS_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Fields of the main form that make no sense for all videos alike. A table can have columns for them.
OF_ONE_VIDEO = ("source_video_url", "name", "klap_task_id", "project_ids")

DOC = """
### From a list of long videos to finished shorts
Press **Trigger** and paste the addresses, one per line, or say where a list is: a text file with one per line, or a CSV
file with a column `source_video_url` and, for settings that are one video's own, columns named like the fields of the
form. What you leave empty is as that DAG says. Each video becomes a run of *Klap: generate shorts*, a few at a time.

| step | what happens |
|---|---|
| Read the list | all lines are checked; if one is wrong, **nothing is started**. What leads nowhere is left out |
| Each video | one run, which Klap **bills** as any other; no worker waits for it |
| Sum up | its log lists what became of every video |

**If a run is red**, *Sum up* says which videos are not complete, and why. Mend that, clear **their** runs, and trigger
this DAG again with the same list: videos whose run is there already are only reported, and not paid for again.
"""


def klap_generate_shorts_batch(
    dag_id: str = "klap_generate_shorts_batch",
    *,
    schedule: Any = None,
    at_a_time: int = 4,
    poke_interval: float = 30,
    video_timeout: float = TIMEOUT,
    trigger_dag_id: str = "klap_generate_shorts",
    allowed_lists: Sequence[str] | None = None,
    allowed_sources: Sequence[str] | None = None,
    allowed_destinations: Sequence[str] | None = None,
    **defaults: Any,
) -> DAG:
    """
    Return the Dag. Assign it to a module variable such as ``dag``, so that Airflow finds it.

    :param dag_id: id of the Dag. With another id, you get an additional Dag.
    :param schedule: schedule, as for any Dag. It needs a default for ``list_path`` or ``source_video_urls``.
    :param at_a_time: maximum number of videos in progress.
    :param poke_interval: seconds between two polls of a run.
    :param video_timeout: seconds after which the batch gives up on the run of a video. The hours of a review are added.
        The run itself continues. Default seven days.
    :param trigger_dag_id: id of the Dag that runs the videos, if it is another one that ``klap_generate_shorts()``
        returned.
    :param allowed_lists: prefixes of addresses that a run may use as its list, such as ``s3://media_s3@media/lists`` or
        ``/data/lists``. The default in the Dag file is always allowed. None: ``[klap] allowed_lists`` of Airflow's
        configuration.
    :param allowed_sources: the same for the videos. The allowlist of each run's own Dag applies as well.
    :param allowed_destinations: the same for the destination.
    :param defaults: defaults of the trigger form, by parameter name.
    """
    of_a_video = shorts_form()
    shared = {name: for_batch(param) for name, param in of_a_video.items() if name not in OF_ONE_VIDEO}
    shared["reuse"] = copy(of_a_video["reuse"])
    shared["reuse"].value = True  # so that a run that was deleted is not paid for anew
    fields = {
        "source_video_urls": Param(
            [],
            type=["array", "null"],
            items={"type": "string"},
            title="Video URLs",
            description="One per line: YouTube links, public http(s) addresses of video files, or files in object "
            "storage.",
        ),
        "list_path": Param(
            None,
            type=["string", "null"],
            pattern=PLACE,
            title="Or a list",
            description="Path or URL, such as s3://aws_default@bucket/videos.csv, of a file with one address per line, "
            "or of a CSV file with a column source_video_url.",
        ),
        **shared,
    }
    display_name = "Klap: generate shorts, batch" if dag_id == "klap_generate_shorts_batch" else dag_id
    with klap_dag(
        dag_id,
        display_name=display_name,
        doc=DOC,
        schedule=schedule,
        fields=fields,
        defaults=defaults,
        max_active_runs=1,
    ) as dag:
        form = form_of(dag, fields)
        read_list = ReadVideoListOperator(
            task_id="read_list",
            task_display_name="Read the list",
            form=of_a_video,
            trigger_dag_id=trigger_dag_id,
            source_video_urls=form["source_video_urls"],
            list_path=form["list_path"],
            settings={name: form[name] for name in shared},
            allowed_lists=allowed_prefixes(fields, "list_path", allowed_lists),
            allowed_sources=allowed_sources,
            allowed_destinations=allowed_destinations,
            strict_conf=True,
        )
        video = VideoRunOperator.partial(
            task_id="video",
            task_display_name="Each video",
            map_index_template="{{ task.video_name }}",
            retry_policy=KlapRetryPolicy(),  # the operator's own one does not count where it cannot be unmapped
            trigger_dag_id=trigger_dag_id,
            shared_settings=XComArg(cast("Any", read_list), SETTINGS_KEY),
            poke_interval=poke_interval,
            timeout=video_timeout,
            max_active_tis_per_dagrun=at_a_time,  # Airflow counts those that wait in the triggerer, too
        ).expand_kwargs(read_list.output)
        summary = SummarizeVideosOperator(
            task_id="summary",
            task_display_name="Sum up",
            trigger_rule="all_done",
            list_task_id=read_list.task_id,
            video_task_id=video.task_id,
            trigger_dag_id=trigger_dag_id,
        )
        [read_list, video] >> summary
    return dag
