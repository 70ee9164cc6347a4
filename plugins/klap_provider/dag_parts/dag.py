"""The Dag of the factories: its trigger form and its arguments."""

from __future__ import annotations

import contextlib
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG

from klap_provider.api.redaction import without_secrets
from klap_provider.dag_parts.trigger_form import add_cost_estimate, allowlist, set_defaults, set_schema_dialect
from klap_provider.rules.conf_validation import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.sdk import Param

#: All but backfills: a backfill would pay for the same video once per date.
ALLOWED_RUN_TYPES = ("manual", "scheduled", "operator_triggered", "asset_triggered", "asset_materialization")

DEFAULT_ARGS = {
    "owner": "klap",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
}

#: Arguments of a Dag that would break its tasks.
REFUSED = {
    "params": "The params of this Dag are the fields of its trigger form. Set their defaults with form={…}.",
    "render_template_as_native_obj": "The templates of this Dag render text, so it cannot render native objects.",
}


@contextlib.contextmanager
def klap_dag(
    dag_id: str,
    *,
    factory: Callable[..., DAG],
    display_name: str,
    doc: str,
    fields: dict[str, Param],
    form: Mapping[str, Any] | None,
    schedule: Any,
    pool: str | None,
    allowed_connections: Sequence[str] | None,
    dag_arguments: Mapping[str, Any],
    **operator_arguments: Any,
) -> Iterator[DAG]:
    """
    Yield a Dag with retries. Operators that are created in the ``with`` block are its tasks.

    The Dag gets its trigger form only after the block, because Airflow copies all params of a Dag for each of its
    operators. That took half of the time to import a Dag file.

    :param factory: the function that the Dag file called. Its name is the default id of the Dag.
    :param display_name: name in the UI of the Dag with the default id. Others are shown by their id.
    :param fields: the trigger form, see :mod:`klap_provider.dag_parts.trigger_form`.
    :param form: defaults that replace those of the fields, by name.
    :param pool: pool of the tasks. None: Airflow's default pool.
    :param allowed_connections: ids of Klap connections that a run may use, in addition to the form's default. None:
        those of Airflow's configuration.
    :param dag_arguments: arguments of ``airflow.sdk.DAG``. ``tags`` are added to those of this package,
        ``default_args`` are merged over them, and other arguments replace them.
    :param operator_arguments: further arguments of the operators.
    :raises TypeError: an argument is not one of the factory or of a Dag.
    :raises ValueError: the form has no such field, or a backfill could pay.
    """
    arguments = {*inspect.signature(DAG).parameters, *inspect.signature(factory).parameters}
    set_defaults(fields, form or {}, arguments)
    require_dag_arguments(dag_arguments, fields, arguments)
    if {"budget", "source_video_url"} <= fields.keys():  # a batch has the estimate of the Dag that it starts
        add_cost_estimate(fields)
    set_schema_dialect(fields)
    connections = (
        {"allowed_connections": allowlist(fields, "klap_conn_id", allowed_connections)}
        if "klap_conn_id" in fields
        else {}
    )
    own: dict[str, Any] = {
        "doc_md": doc,
        "dag_display_name": display_name if dag_id == factory.__name__ else dag_id,
        "auto_register": False,  # a file that imports the Dag file would register the Dag, too
        **dag_arguments,
        "catchup": False,
        "allowed_run_types": dag_arguments.get("allowed_run_types") or ALLOWED_RUN_TYPES,
        "tags": {"klap", "video", *(dag_arguments.get("tags") or ())},
        "default_args": {
            **DEFAULT_ARGS,
            **connections,
            **operator_arguments,
            **(dag_arguments.get("default_args") or {}),
            **({"pool": pool} if pool else {}),
        },
    }
    with DAG(dag_id, schedule=schedule, **own) as dag:
        yield dag
    dag.params = fields  # type: ignore[assignment]  # Airflow converts it to its own dict type


def require_dag_arguments(given: Mapping[str, Any], fields: Mapping[str, Param], known: set[str]) -> None:
    """
    Refuse arguments that a Dag does not have, and those that would break it or let a backfill pay.

    :param known: names of the arguments of the factory and of a Dag.
    """
    for name in given.keys() & REFUSED.keys():
        raise TypeError(f"{name}: {REFUSED[name]}")
    if of_form := {name: value for name, value in given.items() if name in fields}:
        raise TypeError(
            f"{', '.join(of_form)} {'are fields' if len(of_form) > 1 else 'is a field'} of the trigger form. Write "
            f"form={without_secrets(str(of_form))}."
        )
    if wrong := unknown(given, {*known, *fields}):
        raise TypeError(f"There is no such argument: {', '.join(wrong)}. Arguments of tasks belong in default_args.")
    run_types = given.get("allowed_run_types") or ()
    # A list, because an enum's member and its text have different hashes.
    if given.get("catchup") or "backfill" in ([run_types] if isinstance(run_types, str) else [*run_types]):
        raise ValueError(
            "A backfill or a catch-up would pay for the video once per date. Remove catchup, and 'backfill' from "
            "allowed_run_types."
        )


def form_of(dag: DAG, fields: Mapping[str, Param]) -> dict[str, Any]:
    """Return references to the values of the trigger form by name, for the arguments of operators."""
    return {name: dag.param(name) for name in fields}
