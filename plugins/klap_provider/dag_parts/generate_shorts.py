"""Make shorts from one video. See docs/how-to/trigger-a-run.md and docs/how-to/schedule.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param

from klap_provider.dag_parts.flow import export_and_deliver, form_of, klap_dag, submit_and_wait, watermark_of
from klap_provider.dag_parts.trigger_form import (
    account_fields,
    appearance_fields,
    cost_fields,
    delivery_fields,
    form_fields,
)
from klap_provider.operators import ReviewShortsOperator, SubmitShortsOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = ("source_video_url",)
VIDEO = ("name", "language", "translate_to", "transcription_context")
SHORTS = ("max_clip_count", "target_clip_count", "min_duration", "max_duration", "target_duration")

DOC = """
### Turn one long video into shorts
Press **Trigger** and paste the address of a video. The other fields have defaults. [Klap](https://klap.app) finds the
best moments and cuts them into vertical shorts. The run exports the best ones and stores them at your destination. The
run's tab **Shorts** shows them as they arrive.

| Step | What happens | Duration |
|---|---|---|
| Submit | Sends the video to Klap. The video and each short are **billed**. | seconds |
| Wait for Klap | Klap generates the shorts. | 2 to 30 minutes |
| Select | Selects the best shorts. With *Review before export*, you select them. | seconds, or until you answer |
| Each short | Exports the short and stores it. Each export is **billed**. | 3 to 10 minutes, in parallel |
| Publish | Writes `manifest.json` beside the videos: what was delivered, what is missing, and why. | seconds |

**If a run fails**, open the log of *Publish*: it says what failed and what to do. Then clear the run. It continues
where it stopped and does not pay again for what was paid.
"""

REVIEW_DOC = """
With *Review before export*, this step waits for you. Select shorts in the run's tab **Shorts**, which has players, or
here under *Required Actions*, and press *Respond*. If nobody answers in time, the shorts selected by default are
exported.
"""


def shorts_form() -> dict[str, Param]:
    """Return the fields of the trigger form."""
    return {
        **form_fields("ShortsRequest", URL),
        **form_fields("ShortsRequest", VIDEO, section="Video"),
        **form_fields("ShortsRequest", SHORTS, section="Shorts"),
        **appearance_fields(),
        **form_fields("Selection", section="Export", limit=3),
        "allow_empty": Param(
            False,
            type="boolean",
            title="Allow no shorts",
            description="Succeed, rather than fail, if Klap generates no shorts.",
            section="Export",
        ),
        "review": Param(
            False,
            type="boolean",
            title="Review before export",
            description="Wait for a reviewer to select, in the run's tab Shorts, which shorts to export. If nobody "
            "answers in time, the shorts that are exported without a review are exported.",
            section="Export",
        ),
        "review_hours": Param(
            24,
            type="number",
            exclusiveMinimum=0,
            maximum=24 * 30,
            title="Hours to review",
            description="How long to wait for the reviewer.",
            section="Export",
        ),
        **cost_fields(),
        **delivery_fields(),
        **account_fields(),
    }


def klap_generate_shorts(
    dag_id: str = "klap_generate_shorts",
    *,
    schedule: Any = None,
    allowed_sources: Sequence[str] | None = None,
    allowed_destinations: Sequence[str] | None = None,
    **defaults: Any,
) -> DAG:
    """
    Return the Dag. Assign it to a module variable such as ``dag``, so that Airflow finds it.

    :param dag_id: id of the Dag. With another id, you get an additional Dag.
    :param schedule: schedule, as for any Dag. It needs a default for ``source_video_url``.
    :param allowed_sources: prefixes of addresses that a run may use as its video, such as ``s3://media_s3@media/in`` or
        ``https://media.example.com``. The default in the Dag file is always allowed. None: ``[klap] allowed_sources``
        of Airflow's configuration.
    :param allowed_destinations: the same for the destination.
    :param defaults: defaults of the trigger form, by parameter name, such as ``limit=5``.
    """
    fields = shorts_form()
    display_name = "Klap: generate shorts" if dag_id == "klap_generate_shorts" else dag_id
    with klap_dag(
        dag_id, display_name=display_name, doc=DOC, schedule=schedule, fields=fields, defaults=defaults
    ) as dag:
        form = form_of(dag, fields)
        expected = {
            # An existing Klap task may have been submitted with another limit.
            "max_clip_count": "{{ '' if params.klap_task_id else params.max_clip_count or '' }}",
            "project_ids": form["project_ids"],
        }
        submit, wait = submit_and_wait(
            form,
            SubmitShortsOperator,
            fields=fields,
            wait_task_id="wait_for_shorts",
            expected=expected,
            allowed_sources=allowed_sources,
            allowed_destinations=allowed_destinations,
            max_exports=form["limit"],
        )
        select_shorts = ReviewShortsOperator(
            task_id="select_shorts",
            task_display_name="Select",
            doc_md=REVIEW_DOC,
            klap_conn_id=form["klap_conn_id"],
            on_behalf_of=form["on_behalf_of"],
            folder_id="{{ ti.xcom_pull('wait_for_shorts').output_id }}",
            min_virality_score=form["min_virality_score"],
            without_score=form["without_score"],
            limit=form["limit"],
            **expected,
            listed_ids="{{ ti.xcom_pull('wait_for_shorts').get('listed_ids') | tojson }}",
            source_video_url=form["source_video_url"],
            video_name=form["name"],
            watermark=watermark_of(form),
            budget=form["budget"],
            submissions="{{ ti.xcom_pull('submit').paid }}",
            allow_empty=form["allow_empty"],
            deferrable=True,
            review=form["review"],
            response_timeout="{{ params.review_hours * 3600 }}",
        )
        export_and_deliver(form, submit=submit, wait=wait, select=select_shorts)
    return dag
