"""Caption and reframe one whole video. See docs/how-to/caption-a-video.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.dag_parts.flow import export_and_deliver, form_of, klap_dag, submit_and_wait
from klap_provider.dag_parts.trigger_form import (
    account_fields,
    appearance_fields,
    cost_fields,
    delivery_fields,
    form_fields,
)
from klap_provider.operators import ListShortsOperator, SubmitVideoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import DAG

URL = ("source_video_url",)
VIDEO = ("name", "language", "translate_to", "transcription_context")

DOC = """
### Captions and a new shape for a whole video
Press **Trigger**, paste the address of a video, and leave the rest as it is. [Klap](https://klap.app) writes captions
into the picture, in another language if you like, and cuts it to a new shape, following who speaks. Nothing is cut out.
Watch it in the tab **Shorts** of the run.

| step | what happens | how long |
|---|---|---|
| Submit | the video goes to Klap, which **bills** it | seconds |
| Wait for Klap | Klap watches the video | 2 to 30 minutes |
| Find | what Klap made of it is looked up | seconds |
| The video | exported, which Klap **bills**, and stored | 3 to 10 minutes |
| Publish | `manifest.json`, beside the video, says what was delivered, or what went wrong | seconds |

**If a run is red**, open *Publish*: its log says what went wrong and what to do. Then *Clear* the run: it goes on where
it stopped, and nothing that was paid is paid again.
"""


def klap_caption_video(
    dag_id: str = "klap_caption_video",
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
    :param defaults: defaults of the trigger form, by parameter name, such as ``aspect_ratio="1:1"``.
    """
    fields = {
        **form_fields("VideoRequest", URL),
        **form_fields("VideoRequest", VIDEO, section="Video"),
        **appearance_fields(),
        **cost_fields(),
        **delivery_fields(),
        **account_fields(),
    }
    display_name = "Klap: caption a video" if dag_id == "klap_caption_video" else dag_id
    with klap_dag(
        dag_id, display_name=display_name, doc=DOC, schedule=schedule, fields=fields, defaults=defaults
    ) as dag:
        form = form_of(dag, fields)
        submit, wait = submit_and_wait(
            form,
            SubmitVideoOperator,
            fields=fields,
            wait_task_id="wait_for_video",
            allowed_sources=allowed_sources,
            allowed_destinations=allowed_destinations,
        )
        find_video = ListShortsOperator(
            task_id="find_video",
            task_display_name="Find",
            klap_conn_id=form["klap_conn_id"],
            on_behalf_of=form["on_behalf_of"],
            project_id="{{ ti.xcom_pull('wait_for_video').output_id }}",
            budget=form["budget"],
            submissions="{{ ti.xcom_pull('submit').paid }}",
            deferrable=True,
        )
        export_and_deliver(
            form,
            submit=submit,
            wait=wait,
            select=find_video,
            group_id="video",
            group_display_name="The video",
            asset_alias="klap_videos",
        )
    return dag
