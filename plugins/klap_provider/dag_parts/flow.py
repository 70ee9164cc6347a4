"""Tasks that the Dags share: submit, wait, then export and deliver each short, then publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow.sdk import task_group

from klap_provider.dag_parts.fields import properties_of
from klap_provider.dag_parts.trigger_form import allowlist
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    PublishShortsOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
)
from klap_provider.sensors.status import ExportStatusSensor, TaskStatusSensor
from klap_provider.xcoms import ERROR_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import BaseNotifier, Param

    from klap_provider.operators.list_shorts import ListShortsOperator
    from klap_provider.operators.video import KlapVideoOperator

SubmitT = TypeVar("SubmitT", bound="KlapVideoOperator")


def watermark_of(form: dict[str, Any]) -> dict[str, Any]:
    """Return references to the watermark fields of a form."""
    return {name: form[f"watermark_{name}"] for name in properties_of("Watermark")}


def submit_and_wait(
    form: dict[str, Any],
    submit_type: type[SubmitT],
    *,
    fields: Mapping[str, Param],
    wait_task_id: str,
    task_timeout: timedelta | float,
    expected: Mapping[str, Any] | None = None,
    allowed_sources: Sequence[str] | None = None,
    allowed_destinations: Sequence[str] | None = None,
    **more: Any,
) -> tuple[SubmitT, TaskStatusSensor]:
    """
    Add the task ``submit`` and the wait for Klap.

    :param form: see :func:`form_of`.
    :param fields: fields of the form.
    :param task_timeout: timeout of the wait.
    :param expected: arguments of the wait that describe the expected list of shorts.
    :param allowed_sources: prefixes of addresses that a run may use as its video, in addition to the form's default.
        None: those of Airflow's configuration.
    :param allowed_destinations: the same for its destination.
    :param more: arguments of ``submit`` that are not fields of the form.
    """
    submit = submit_type(
        task_id="submit",
        task_display_name="Submit",
        **{name: param for name, param in form.items() if name in submit_type.template_fields},
        dimensions={name: form[name] for name in properties_of("Dimensions")},
        editing_options={name: form[name] for name in properties_of("EditingOptions")},
        allowed_sources=allowlist(fields, "source_video_url", allowed_sources),
        allowed_destinations=allowlist(fields, "destination", allowed_destinations),
        strict_conf=True,
        **more,
    )
    wait = TaskStatusSensor(
        task_id=wait_task_id,
        task_display_name="Wait for Klap",
        **_account(form),
        klap_task_id="{{ ti.xcom_pull('submit').klap_task_id }}",
        submitted_at="{{ ti.xcom_pull('submit').submitted_at }}",
        timeout=task_timeout,
        deferrable=True,
        end_from_trigger=True,
        **(expected or {}),
    )
    return submit, wait


def _account(form: dict[str, Any]) -> dict[str, Any]:
    return {name: form[name] for name in ("klap_conn_id", "on_behalf_of")}


def export_and_deliver(
    form: dict[str, Any],
    *,
    submit: KlapVideoOperator,
    wait: TaskStatusSensor,
    select: ListShortsOperator,
    export_timeout: timedelta | float,
    notifiers: Sequence[BaseNotifier] = (),
    group_id: str = "short",
    group_display_name: str = "Each short",
    asset_alias: str = "klap_shorts",
) -> None:
    """
    Add a task group that exports and delivers each short, and the task ``publish``.

    :param form: see :func:`form_of`.
    :param export_timeout: timeout of the wait for each export.
    :param notifiers: whom ``publish`` tells how the run ended.
    :param group_id: id of the task group, which is the prefix of its tasks' ids.
    :param asset_alias: name of the asset alias of the event that ``publish`` emits.
    """
    account = _account(form)
    submitted = "(ti.xcom_pull('submit') or {})"
    finished = f"(ti.xcom_pull('{wait.task_id}') or {{}})"
    klap_task_id = f"{{{{ {submitted}.get('klap_task_id', '') }}}}"
    delivery: dict[str, Any] = {
        # As resolved before anything was paid: the connection's destination may have changed since.
        "destination": f"{{{{ {submitted}.get('destination') or '' }}}}",
        "submit_task_id": submit.task_id,
        "allowed_destinations": submit.allowed_destinations,
        "subfolder": klap_task_id,
        "source_video_url": form["source_video_url"],
        "klap_task_id": klap_task_id,
    }
    exported = f"ti.xcom_pull('{group_id}.export', map_indexes=ti.map_index)"
    ready = f"ti.xcom_pull('{group_id}.wait_for_export', map_indexes=ti.map_index)"

    @task_group(group_id=group_id, group_display_name=group_display_name)
    def one_short(project_id: str, folder_id: str | None, short_name: str, virality_score: int | None) -> None:
        short: dict[str, Any] = {"project_id": project_id, "folder_id": folder_id, "short_name": short_name}
        export = ExportShortOperator(
            task_id="export",
            task_display_name="Export",
            **account,
            **short,
            source_video_url=form["source_video_url"],
            watermark=watermark_of(form),
        )
        wait_for_export = ExportStatusSensor(
            task_id="wait_for_export",
            task_display_name="Wait for export",
            **account,
            **short,
            export_id=f"{{{{ {exported}.export_id }}}}",
            submitted_at=f"{{{{ {exported}.submitted_at }}}}",
            timeout=export_timeout,
            deferrable=True,
            end_from_trigger=True,
        )
        deliver = DeliverShortOperator(
            task_id="deliver",
            task_display_name="Deliver",
            **account,
            **short,
            # The wait's result, which the task needs anyway. A wait that was marked as success by hand has no result.
            export_id=f"{{% set ready = {ready} %}}{{{{ (ready if ready is mapping else {exported}).export_id }}}}",
            virality_score=virality_score,
            wait_task_id=wait_for_export.task_id,
            list_task_id=select.task_id,
            **delivery,
        )
        export >> wait_for_export >> deliver

    publish = PublishShortsOperator(
        task_id="publish",
        task_display_name="Publish",
        klap_conn_id=form["klap_conn_id"],
        trigger_rule="all_done",
        notifiers=notifiers,
        steps=[f"{group_id}.{step}" for step in ("export", "wait_for_export", "deliver")],
        shorts=cast("Any", select.output),
        review_task_id=select.task_id if isinstance(select, ReviewShortsOperator) else None,
        folder_id=f"{{{{ {finished}.get('output_id') if {finished}.get('output_type') == 'folder' else '' }}}}",
        asset_alias=asset_alias,
        submissions=f"{{{{ ({submitted} or ti.xcom_pull('submit', key='{ERROR_KEY}') or {{}}).get('paid', 0) }}}}",
        list_task_id=select.task_id if isinstance(submit, SubmitShortsOperator) else None,
        **delivery,
    )
    submit >> wait >> select >> one_short.expand_kwargs(select.output) >> publish
    [submit, wait] >> publish
