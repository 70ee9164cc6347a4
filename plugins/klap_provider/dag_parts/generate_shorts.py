"""Make shorts from one video. See docs/how-to/trigger-a-run.md and docs/how-to/schedule.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param

from klap_provider.dag_parts.dag import form_of, klap_dag
from klap_provider.dag_parts.flow import export_and_deliver, submit_and_wait, watermark_of
from klap_provider.dag_parts.trigger_form import (
    account_fields,
    appearance_fields,
    cost_fields,
    delivery_fields,
    existing_task_field,
    form_fields,
)
from klap_provider.operators import ReviewShortsOperator, SubmitShortsOperator
from klap_provider.sensors.status import EXPORT_TIMEOUT, TASK_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import BaseNotifier

URL = ("source_video_url",)
VIDEO = ("name", "language", "translate_to", "transcription_context")
EXPORT = ("limit", "min_virality_score", "without_score")
SHORTS = ("max_clip_count", "target_clip_count", "min_duration", "max_duration", "target_duration")

DOC = """
### Turn one long video into shorts
Press **Trigger** and paste the address of a video. The other fields have defaults. [Klap](https://klap.app) finds the
best moments and cuts them into vertical shorts. The run exports the best ones and stores them at your destination. The
run's **Shorts** tab shows them as they arrive.

| Step | What happens | Duration |
|---|---|---|
| Submit | Sends the video to Klap. The video and each short are **billed**. | seconds |
| Wait for Klap | Klap generates the shorts. | 2 to 30 minutes |
| Select | Selects the best shorts. With *Review before export*, you select them. | seconds, or until you answer |
| Each short | Exports the short and stores it. Each export is **billed**. | 3 to 10 minutes, in parallel |
| Publish | Writes `manifest.json` beside the videos: what was delivered, what is missing, and why. | seconds |

**If a run fails**, open its **Shorts** tab or the log of *Publish*: both show what failed and what to do. Then clear
the run. It continues where it stopped, and you do not pay again for what Klap has finished.
"""

REVIEW_DOC = """
With *Review before export*, this step waits for you. Select shorts in the run's **Shorts** tab, which has players. Or
select them here under *Required Actions*, and press *Respond*. If nobody answers in time, the shorts that are selected
by default are exported.
"""


def shorts_form() -> dict[str, Param]:
    """Return the fields of the trigger form."""
    return {
        **form_fields("ShortsRequest", URL),
        **form_fields("ShortsRequest", VIDEO, section="Video"),
        **existing_task_field(),
        **form_fields("Selection", ["project_ids"], section="Video"),
        **form_fields("ShortsRequest", SHORTS, section="Shorts"),
        **appearance_fields(),
        **form_fields("Selection", EXPORT, section="Export", limit=3),
        "allow_empty": Param(
            False,
            type="boolean",
            title="Allow no shorts",
            description="If Klap generates no shorts, the run succeeds instead of failing.",
            section="Export",
        ),
        **delivery_fields(),
        "review": Param(
            False,
            type="boolean",
            title="Review before export",
            description="A reviewer selects the shorts to export, in the run's Shorts tab. If nobody answers in time, "
            "the best shorts are exported, as without a review.",
            section="Review",
        ),
        "review_hours": Param(
            24,
            type="number",
            exclusiveMinimum=0,
            maximum=24 * 30,
            title="Hours to review",
            description="How long the run waits for the reviewer.",
            section="Review",
        ),
        **cost_fields(),
        **account_fields(),
    }


def klap_generate_shorts(
    dag_id: str = "klap_generate_shorts",
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
    Return a Dag that turns a video into delivered shorts. Assign it to a module variable such as ``dag``.

    :param dag_id: id of the Dag. With another id, you get an additional Dag.
    :param form: defaults of the trigger form, by field name, such as ``{"limit": 5}``.
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
    :param notifiers: Airflow's notifiers, such as ``SlackWebhookNotifier``, that send a notice if a review waits and
        when a run ends, in addition to those of the connection. See docs/how-to/get-notified.md. Default: none.
    :param monthly_limit: maximum cost of the Dag's runs per calendar month (UTC) in US dollars. The limit of the
        connection applies, too. Default: no limit. See docs/how-to/limit-cost.md.
    :param monthly_limit_action: ``stop``: nothing is paid beyond the limit. ``warn``: a notice is sent. Default
        ``stop``.
    :param dag_arguments: arguments of ``airflow.sdk.DAG``, such as ``max_active_runs`` or ``start_date``. ``tags`` are
        added to ``klap`` and ``video``. ``default_args`` is merged with the Dag's. All other arguments replace the
        Dag's own. ``params``, and what would let a backfill or a catch-up pay, raise an error.
    """
    fields = shorts_form()
    with klap_dag(
        dag_id,
        factory=klap_generate_shorts,
        display_name="Klap: generate shorts",
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
        expected = {
            # An existing Klap task may have been submitted with another limit.
            "max_clip_count": "{{ '' if params.klap_task_id else params.max_clip_count or '' }}",
            "project_ids": values["project_ids"],
        }
        submit, wait = submit_and_wait(
            values,
            SubmitShortsOperator,
            fields=fields,
            wait_task_id="wait_for_shorts",
            expected=expected,
            allowed_sources=allowed_sources,
            allowed_destinations=allowed_destinations,
            task_timeout=task_timeout,
            max_exports=values["limit"],
        )
        select_shorts = ReviewShortsOperator(
            task_id="select_shorts",
            task_display_name="Select",
            doc_md=REVIEW_DOC,
            klap_conn_id=values["klap_conn_id"],
            on_behalf_of=values["on_behalf_of"],
            folder_id="{{ ti.xcom_pull('wait_for_shorts').output_id }}",
            min_virality_score=values["min_virality_score"],
            without_score=values["without_score"],
            limit=values["limit"],
            **expected,
            listed_ids="{{ ti.xcom_pull('wait_for_shorts').get('listed_ids') | tojson }}",
            source_video_url=values["source_video_url"],
            video_name=values["name"],
            watermark=watermark_of(values),
            budget=values["budget"],
            submissions="{{ ti.xcom_pull('submit').paid }}",
            reservation="{{ ti.xcom_pull('submit').get('reservation') or '' }}",
            notifiers=notifiers,
            allow_empty=values["allow_empty"],
            deferrable=True,
            review=values["review"],
            response_timeout="{{ params.review_hours * 3600 }}",
        )
        export_and_deliver(
            values, submit=submit, wait=wait, select=select_shorts, export_timeout=export_timeout, notifiers=notifiers
        )
    return dag
