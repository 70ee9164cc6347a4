"""One video URL in, delivered shorts out. See the README for parameters and for running it on a schedule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task_group

from klap_provider.models import Dimensions, EditingOptions, Selection, ShortsRequest, Watermark
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    PublishShortsOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
)
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor
from klap_provider.shapes import ASPECT_RATIOS
from klap_provider.trigger_form import form_fields

URL = ("source_video_url",)
VIDEO = ("name", "language", "translate_to", "transcription_context")
CLIPS = ("max_clip_count", "target_clip_count", "min_duration", "max_duration", "target_duration")
LOOK = ("style_preset_id",)

DOC = """
### From one long video to finished shorts
Press **Trigger**, paste the address of a video, and leave the rest as it is. [Klap](https://klap.app) finds the best
moments and cuts them into short vertical clips; the best of these are exported as video files and stored where you say.
Watch them arrive in the tab **Shorts** of the run.

| step | what happens | how long |
|---|---|---|
| Submit | the video goes to Klap, which **bills** it and each short | seconds |
| Wait for Klap | Klap watches the video | 2 to 30 minutes |
| Select | the best shorts are chosen: by score, or by you with *Let a person pick* | seconds, or until you answer |
| Each short | exported, which Klap **bills**, and stored | 3 to 10 minutes, side by side |
| Publish | `manifest.json`, beside the videos, lists what was delivered, and what is missing and why | seconds |

**If a run is red**, open *Publish*: its log says what went wrong and what to do. Then *Clear* the run: it goes on where
it stopped, and nothing that was paid is paid again.
"""

REVIEW_DOC = """
With *Let a person pick* this step waits for an answer: open it, *Required Action*, pick any number of shorts, and
*Respond*. Without an answer in time it goes on with the shorts that are picked already.
"""


def klap_generate_shorts(dag_id: str = "klap_generate_shorts", *, schedule: Any = None, **defaults: Any) -> DAG:
    """
    Return the DAG; a DAG file assigns it to a name, such as ``dag``, for Airflow to find.

    :param dag_id: another id makes another DAG, such as one for a schedule.
    :param schedule: as for any DAG; needs a default for ``source_video_url``.
    :param defaults: defaults of the trigger form, by field name.
    """
    fields = {
        **form_fields(ShortsRequest, URL),
        **form_fields(ShortsRequest, VIDEO, section="Video"),
        **form_fields(ShortsRequest, CLIPS, section="Clips"),
        "aspect_ratio": Param(
            "9:16",
            type="string",
            enum=[*ASPECT_RATIOS],
            values_display={
                "9:16": "9:16 vertical: TikTok, Reels, Shorts",
                "4:5": "4:5 portrait: feeds",
                "1:1": "1:1 square",
                "16:9": "16:9 landscape",
            },
            title="Shape",
            description="Width to height of the clips, in full HD.",
            section="Look",
        ),
        **form_fields(Dimensions, section="Look", width=None, height=None),
        **form_fields(EditingOptions, section="Look"),
        **form_fields(ShortsRequest, LOOK, section="Look"),
        **form_fields(Watermark, section="Watermark", prefix="watermark_", src_url=None),
        **form_fields(Selection, section="Export", limit=3),
        "allow_empty": Param(
            False,
            type="boolean",
            title="No shorts is fine",
            description="Succeed, rather than fail, if Klap finds nothing worth a short.",
            section="Export",
        ),
        "review": Param(
            False,
            type="boolean",
            title="Let a person pick",
            description="Ask, under Required Actions, which shorts to export. Those that would be exported anyway are "
            "picked already, and go on if nobody answers.",
            section="Export",
        ),
        "review_hours": Param(
            24,
            type="number",
            exclusiveMinimum=0,
            maximum=24 * 30,
            title="Hours to answer",
            description="How long to wait for that person.",
            section="Export",
        ),
        "destination": Param(
            None,
            type=["string", "null"],
            pattern="^(/|[a-zA-Z0-9]+://).+",
            title="Destination",
            description="Folder for the videos: a path, or a URL such as s3://aws_default@bucket/shorts. "
            "Empty: klap_shorts in Airflow's home on the worker.",
            section="Delivery",
        ),
        "klap_conn_id": Param(
            "klap_default",
            type="string",
            minLength=1,
            title="Klap connection",
            description="Id of the Airflow connection that holds the API key.",
            section="Account",
        ),
        "klap_task_id": Param(
            None,
            type=["string", "null"],
            title="Existing Klap task",
            description="Go on with this task of Klap instead of submitting, and paying for, the video.",
            section="Account",
        ),
        "allow_new_submission": Param(
            False,
            type="boolean",
            title="Submit again",
            description="Only after an error that says so: submit although an earlier request may have been billed.",
            section="Account",
        ),
    }
    if unknown := defaults.keys() - fields.keys():
        raise ValueError(f"no such field of the trigger form: {', '.join(sorted(unknown))}")
    for name, value in defaults.items():
        fields[name].value = value

    with DAG(
        dag_id,
        auto_register=False,  # or importing this file would register its own DAG for the importing file as well
        schedule=schedule,
        catchup=False,
        doc_md=DOC,
        dag_display_name="Klap: generate shorts" if dag_id == "klap_generate_shorts" else dag_id,
        tags=["klap", "video"],
        params=fields,
        default_args={
            "owner": "klap",
            "retries": 3,
            "retry_delay": timedelta(seconds=30),
            "retry_exponential_backoff": 2.0,
        },
    ) as dag:
        klap_conn_id = dag.param("klap_conn_id")
        submit = SubmitShortsOperator(
            task_id="submit",
            task_display_name="Submit",
            klap_conn_id=klap_conn_id,
            **{name: dag.param(name) for name in (*URL, *VIDEO, *CLIPS, *LOOK)},
            dimensions={name: dag.param(name) for name in Dimensions.model_fields},
            aspect_ratio=dag.param("aspect_ratio"),
            editing_options={name: dag.param(name) for name in EditingOptions.model_fields},
            klap_task_id=dag.param("klap_task_id"),
            allow_new_submission=dag.param("allow_new_submission"),
            destination=dag.param("destination"),
        )
        wait_for_shorts = TaskStatusSensor(
            task_id="wait_for_shorts",
            task_display_name="Wait for Klap",
            klap_conn_id=klap_conn_id,
            klap_task_id="{{ ti.xcom_pull('submit').klap_task_id }}",
            submitted_at="{{ ti.xcom_pull('submit').submitted_at }}",
            end_from_trigger=True,
        )
        select_shorts = ReviewShortsOperator(
            task_id="select_shorts",
            task_display_name="Select",
            doc_md=REVIEW_DOC,
            klap_conn_id=klap_conn_id,
            folder_id="{{ ti.xcom_pull('wait_for_shorts').output_id }}",
            min_virality_score=dag.param("min_virality_score"),
            limit=dag.param("limit"),
            allow_empty=dag.param("allow_empty"),
            review=dag.param("review"),
            response_timeout="{{ params.review_hours * 3600 }}",
        )
        storage = {
            "destination": dag.param("destination"),
            "subfolder": "{{ (ti.xcom_pull('submit') or {}).get('klap_task_id', '') }}",
        }

        @task_group(group_id="short", group_display_name="Each short")
        def one_short(project_id: str, folder_id: str, short_name: str, virality_score: int | None) -> None:
            short = {"project_id": project_id, "folder_id": folder_id, "short_name": short_name}
            export = ExportShortOperator(
                task_id="export",
                task_display_name="Export",
                klap_conn_id=klap_conn_id,
                **short,
                watermark={name: dag.param(f"watermark_{name}") for name in Watermark.model_fields},
            )
            wait_for_export = ExportStatusSensor(
                task_id="wait_for_export",
                task_display_name="Wait for export",
                klap_conn_id=klap_conn_id,
                **short,
                export_id="{{ ti.xcom_pull('short.export', map_indexes=ti.map_index).export_id }}",
                submitted_at="{{ ti.xcom_pull('short.export', map_indexes=ti.map_index).submitted_at }}",
                end_from_trigger=True,
            )
            deliver = DeliverShortOperator(
                task_id="deliver",
                task_display_name="Deliver",
                klap_conn_id=klap_conn_id,
                **short,
                export_id="{{ ti.xcom_pull('short.export', map_indexes=ti.map_index).export_id }}",
                virality_score=virality_score,
                **storage,
            )
            export >> wait_for_export >> deliver

        publish = PublishShortsOperator(
            task_id="publish",
            task_display_name="Publish",
            klap_conn_id=klap_conn_id,
            trigger_rule="all_done",
            steps=["short.export", "short.wait_for_export", "short.deliver"],
            shorts=select_shorts.output,
            review_task_id="select_shorts",
            source_video_url=dag.param("source_video_url"),
            klap_task_id="{{ (ti.xcom_pull('submit') or {}).get('klap_task_id', '') }}",
            folder_id="{{ (ti.xcom_pull('wait_for_shorts') or {}).get('output_id', '') }}",
            **storage,
        )
        shorts = one_short.expand_kwargs(select_shorts.output)
        submit >> wait_for_shorts >> select_shorts >> shorts >> publish
        [submit, wait_for_shorts] >> publish
    return dag


dag = klap_generate_shorts()
