"""Caption and reframe one whole video. See docs/how-to/caption-a-video.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.dag_parts.dag import form_of, klap_dag
from klap_provider.dag_parts.flow import export_and_deliver, submit_and_wait
from klap_provider.dag_parts.trigger_form import (
    account_fields,
    appearance_fields,
    cost_fields,
    delivery_fields,
    existing_task_field,
    form_fields,
)
from klap_provider.operators import ListShortsOperator, SubmitVideoOperator
from klap_provider.sensors.status import EXPORT_TIMEOUT, TASK_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import DAG, BaseNotifier

URL = ("source_video_url",)
VIDEO = ("name", "language", "translate_to", "transcription_context")

DOC = """
### Caption and reframe a whole video
Press **Trigger** and paste the address of a video. The other fields have defaults. [Klap](https://klap.app) adds
captions, and translates them if you set *Translate to*. It crops the picture to the aspect ratio and follows the
speaker. The video keeps its full length. The run's **Shorts** tab shows the result.

| Step | What happens | Duration |
|---|---|---|
| Submit | Sends the video to Klap. **Billed.** | seconds |
| Wait for Klap | Klap processes the video. | 2 to 30 minutes |
| Find | Finds the processed video at Klap. | seconds |
| The video | Exports the video and stores it. **Billed.** | 3 to 10 minutes |
| Publish | Writes `manifest.json` beside the video: what was delivered, or what failed and why. | seconds |

**If a run fails**, open its **Shorts** tab or the log of *Publish*: both show what failed and what to do. Then clear
the run. It continues where it stopped, and you do not pay again for what Klap has finished.
"""


def klap_caption_video(
    dag_id: str = "klap_caption_video",
    *,
    form: Mapping[str, Any] | None = None,
    schedule: Any = None,
    allowed_sources: Sequence[str] | None = None,
    allowed_destinations: Sequence[str] | None = None,
    allowed_connections: Sequence[str] | None = None,
    task_timeout: timedelta | float = TASK_TIMEOUT,
    export_timeout: timedelta | float = EXPORT_TIMEOUT,
    pool: str | None = None,
    notifiers: Sequence[BaseNotifier] = (),
    monthly_limit: float | None = None,
    monthly_limit_action: str = "stop",
    **dag_arguments: Any,
) -> DAG:
    """
    Return a Dag that captions a whole video. Assign it to a module variable such as ``dag``, so that Airflow finds it.

    :param dag_id: id of the Dag. With another id, you get an additional Dag.
    :param form: defaults of the trigger form, by field name, such as ``{"aspect_ratio": "1:1"}``.
    :param schedule: schedule, as for any Dag. It needs a default for ``source_video_url``. Default: none.
    :param allowed_sources: prefixes of addresses that a run may use as its video, such as ``s3://media_s3@media/in`` or
        ``https://media.example.com``. The default in the Dag file is always allowed. None: ``[klap] allowed_sources``
        of Airflow's configuration.
    :param allowed_destinations: the same for the destination.
    :param allowed_connections: ids of Klap connections that a run may use as ``klap_conn_id``. The default in the Dag
        file is always allowed. None: ``[klap] allowed_connections`` of Airflow's configuration, or else none.
    :param task_timeout: time from the submission until the run stops waiting for Klap's task, in seconds or as a
        timedelta. Default two hours.
    :param export_timeout: the same for each export. Default one hour.
    :param pool: pool of all tasks. Default: Airflow's default pool.
    :param notifiers: Airflow's notifiers, such as ``SlackWebhookNotifier``, that send a notice when a run ends, in
        addition to those of the connection. See docs/how-to/get-notified.md. Default: none.
    :param monthly_limit: maximum cost of the Dag's runs per calendar month (UTC) in US dollars. The limit of the
        connection applies, too. Default: no limit. See docs/how-to/limit-cost.md.
    :param monthly_limit_action: ``stop``: nothing is paid beyond the limit. ``warn``: a notice is sent. Default
        ``stop``.
    :param dag_arguments: arguments of ``airflow.sdk.DAG``, such as ``max_active_runs`` or ``start_date``. ``tags`` are
        added to ``klap`` and ``video``. ``default_args`` is merged with the Dag's. All other arguments replace the
        Dag's own. ``params``, and what would let a backfill or a catch-up pay, raise an error.
    """
    fields = {
        **form_fields("VideoRequest", URL),
        **form_fields("VideoRequest", VIDEO, section="Video"),
        **existing_task_field(),
        **appearance_fields(),
        **delivery_fields(),
        **cost_fields(),
        **account_fields(),
    }
    with klap_dag(
        dag_id,
        factory=klap_caption_video,
        display_name="Klap: caption a video",
        doc=DOC,
        fields=fields,
        form=form,
        schedule=schedule,
        pool=pool,
        allowed_connections=allowed_connections,
        dag_arguments=dag_arguments,
        monthly_limit=monthly_limit,
        monthly_limit_action=monthly_limit_action,
    ) as dag:
        values = form_of(dag, fields)
        submit, wait = submit_and_wait(
            values,
            SubmitVideoOperator,
            fields=fields,
            wait_task_id="wait_for_video",
            allowed_sources=allowed_sources,
            allowed_destinations=allowed_destinations,
            task_timeout=task_timeout,
        )
        find_video = ListShortsOperator(
            task_id="find_video",
            task_display_name="Find",
            klap_conn_id=values["klap_conn_id"],
            on_behalf_of=values["on_behalf_of"],
            project_id="{{ ti.xcom_pull('wait_for_video').output_id }}",
            budget=values["budget"],
            submissions="{{ ti.xcom_pull('submit').paid }}",
            reservation="{{ ti.xcom_pull('submit').get('reservation') or '' }}",
            deferrable=True,
        )
        export_and_deliver(
            values,
            submit=submit,
            wait=wait,
            select=find_video,
            export_timeout=export_timeout,
            notifiers=notifiers,
            group_id="video",
            group_display_name="The video",
            asset_alias="klap_videos",
        )
    return dag
