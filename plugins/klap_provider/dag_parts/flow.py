"""The way of a run, as the DAGs share it: submit and wait; for each short export, wait and deliver; publish."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow.sdk import DAG, task_group

from klap_provider.dag_parts.fields import properties_of
from klap_provider.dag_parts.trigger_form import add_cost_estimate, allowed_prefixes, set_defaults, set_schema_dialect
from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    PublishShortsOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
)
from klap_provider.sensors.export_status import ExportStatusSensor
from klap_provider.sensors.task_status import TaskStatusSensor
from klap_provider.xcoms import ERROR_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.sdk import Param

    from klap_provider.operators.list_shorts import ListShortsOperator
    from klap_provider.operators.video import KlapVideoOperator

#: All but backfills: each run costs money, and a backfill would pay for one video once for every date.
ALLOWED_RUN_TYPES = ("manual", "scheduled", "operator_triggered", "asset_triggered", "asset_materialization")

SubmitT = TypeVar("SubmitT", bound="KlapVideoOperator")


@contextlib.contextmanager
def klap_dag(
    dag_id: str,
    *,
    display_name: str,
    doc: str,
    schedule: Any,
    fields: dict[str, Param],
    defaults: dict[str, Any],
    **more: Any,
) -> Iterator[DAG]:
    """
    Give a DAG without tasks, which gets those that are made in the ``with`` block, and this project's retries.

    It has its trigger form after the block: Airflow copies all of a DAG's params, to the last word, for each of its
    operators and each class of these, which was half of what importing the DAG file took.

    :param fields: the form, with those of :mod:`klap_provider.dag_parts.trigger_form` that the other functions here
        read.
    :param defaults: defaults of the form other than the fields' own, by name.
    :param more: further arguments of the DAG.
    :raises ValueError: there is no such field.
    """
    set_defaults(fields, defaults)
    if "budget" in fields:
        add_cost_estimate(fields)
    set_schema_dialect(fields)
    with DAG(
        dag_id,
        auto_register=False,  # or importing its file would register it for the importing file as well
        schedule=schedule,
        catchup=False,
        doc_md=doc,
        dag_display_name=display_name,
        tags=["klap", "video"],
        allowed_run_types=cast("Any", ALLOWED_RUN_TYPES),
        default_args={
            "owner": "klap",
            "retries": 3,
            "retry_delay": timedelta(seconds=30),
            "retry_exponential_backoff": 2.0,
        },
        **more,
    ) as dag:
        yield dag
    dag.params = fields  # type: ignore[assignment]  # Airflow makes its own kind of dict of them


def form_of(dag: DAG, fields: Mapping[str, Param]) -> dict[str, Any]:
    """Return, by name, what a run's form says: to be given to operators in place of values."""
    return {name: dag.param(name) for name in fields}


def watermark_of(form: dict[str, Any]) -> dict[str, Any]:
    """Return the watermark that a form asks for."""
    return {name: form[f"watermark_{name}"] for name in properties_of("Watermark")}


def submit_and_wait(
    form: dict[str, Any],
    submit_type: type[SubmitT],
    *,
    fields: Mapping[str, Param],
    wait_task_id: str,
    expected: Mapping[str, Any] | None = None,
    allowed_sources: Sequence[str] | None = None,
    allowed_destinations: Sequence[str] | None = None,
    **more: Any,
) -> tuple[SubmitT, TaskStatusSensor]:
    """
    Add the tasks ``submit``, with what the form asks of Klap, and the wait for it.

    :param form: of :func:`form_of`.
    :param fields: of the form.
    :param expected: parameters of the wait that describe the list of shorts.
    :param allowed_sources: prefixes of addresses that a run may use as its video, beside the form's default. None:
        those of Airflow's configuration.
    :param allowed_destinations: the same for its destination.
    :param more: parameters of ``submit`` that are no fields of the form.
    """
    submit = submit_type(
        task_id="submit",
        task_display_name="Submit",
        **{name: param for name, param in form.items() if name in submit_type.template_fields},
        dimensions={name: form[name] for name in properties_of("Dimensions")},
        editing_options={name: form[name] for name in properties_of("EditingOptions")},
        allowed_sources=allowed_prefixes(fields, "source_video_url", allowed_sources),
        allowed_destinations=allowed_prefixes(fields, "destination", allowed_destinations),
        strict_conf=True,
        **more,
    )
    wait = TaskStatusSensor(
        task_id=wait_task_id,
        task_display_name="Wait for Klap",
        **_account(form),
        klap_task_id="{{ ti.xcom_pull('submit').klap_task_id }}",
        submitted_at="{{ ti.xcom_pull('submit').submitted_at }}",
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
    group_id: str = "short",
    group_display_name: str = "Each short",
    asset_alias: str = "klap_shorts",
) -> None:
    """
    Add what follows the three: a group that exports, waits for and delivers each short, and the task ``publish``.

    :param form: of :func:`form_of`.
    :param group_id: id of the group, and so the first part of its tasks' ids.
    :param asset_alias: name of the asset alias under which ``publish`` tells what was delivered.
    """
    account = _account(form)
    submitted = "(ti.xcom_pull('submit') or {})"
    finished = f"(ti.xcom_pull('{wait.task_id}') or {{}})"
    klap_task_id = f"{{{{ {submitted}.get('klap_task_id', '') }}}}"
    origin_and_place: dict[str, Any] = {
        # As it was settled before anything was paid, though the connection may have another one by now.
        "destination": f"{{{{ {submitted}.get('destination') or '' }}}}",
        "submit_task_id": submit.task_id,
        "allowed_destinations": submit.allowed_destinations,
        "subfolder": klap_task_id,
        "source_video_url": form["source_video_url"],
        "klap_task_id": klap_task_id,
    }
    exported = f"ti.xcom_pull('{group_id}.export', map_indexes=ti.map_index)"

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
            deferrable=True,
            end_from_trigger=True,
        )
        deliver = DeliverShortOperator(
            task_id="deliver",
            task_display_name="Deliver",
            **account,
            **short,
            export_id=f"{{{{ {exported}.export_id }}}}",
            virality_score=virality_score,
            wait_task_id=wait_for_export.task_id,
            list_task_id=select.task_id,
            **origin_and_place,
        )
        export >> wait_for_export >> deliver

    publish = PublishShortsOperator(
        task_id="publish",
        task_display_name="Publish",
        klap_conn_id=form["klap_conn_id"],
        trigger_rule="all_done",
        steps=[f"{group_id}.{step}" for step in ("export", "wait_for_export", "deliver")],
        shorts=cast("Any", select.output),
        review_task_id=select.task_id if isinstance(select, ReviewShortsOperator) else None,
        folder_id=f"{{{{ {finished}.get('output_id') if {finished}.get('output_type') == 'folder' else '' }}}}",
        asset_alias=asset_alias,
        submissions=f"{{{{ ({submitted} or ti.xcom_pull('submit', key='{ERROR_KEY}') or {{}}).get('paid', 0) }}}}",
        list_task_id=select.task_id if isinstance(submit, SubmitShortsOperator) else None,
        **origin_and_place,
    )
    submit >> wait >> select >> one_short.expand_kwargs(select.output) >> publish
    [submit, wait] >> publish
