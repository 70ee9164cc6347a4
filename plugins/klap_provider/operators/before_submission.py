"""Checks just before a video is sent to Klap and paid for."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from airflow.sdk import conf

from klap_provider import __version__
from klap_provider.airflow_internals.tasks import arguments_in_dag_file
from klap_provider.api.addresses import is_local
from klap_provider.errors import KlapInputError
from klap_provider.files.preflight import require_video
from klap_provider.rules.cost import affordable, dollars

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from klap_provider.operators.video import KlapVideoOperator
    from klap_provider.rules.cost import Cost

#: The newest minor version of Airflow that was tested.
NEWEST_AIRFLOW = (3, 4)


def max_map_length() -> int:
    """Return the maximum number of items that this Airflow maps a task over."""
    return int(conf.getint("core", "max_map_length", fallback=1024))


def checked_destination(operator: KlapVideoOperator) -> str | None:
    """Return the destination after writing a test file; None if neither the task nor a downstream one uses it."""
    from klap_provider.files.storage import check_destination

    if not (operator.has_destination or _delivery_follows(operator)):
        return None
    destination = operator.resolve_destination(operator.allowed_destinations)
    check_destination(destination)
    operator.log.info("The shorts will be delivered to %s", destination)
    return destination


def _delivery_follows(operator: KlapVideoOperator) -> bool:
    """Return whether a downstream task delivers to the default destination, or may do so."""
    from klap_provider.operators.deliver import DeliverShortOperator

    following = operator.get_flat_relatives(upstream=False)
    deliveries = (task for task in following if issubclass(task.operator_class, DeliverShortOperator))
    return not all(all(arguments_in_dag_file(task, "destination")) for task in deliveries)


def require_budget(budget: Decimal | None, max_cost: Cost) -> None:
    """
    Refuse a submission if the budget does not cover it and one export.

    :param budget: US dollars; None: no limit.
    :param max_cost: the maximum cost of the run.
    """
    min_cost = max_cost._replace(exports=1)
    if budget is None or min_cost.total <= budget:
        return
    shorts = affordable(budget, min_cost._replace(generated_shorts=0), min_cost.prices.generated_short)
    action = (
        f"Lower max_clip_count (Maximum number of shorts) to {shorts}, or raise"
        if shorts and max_cost.generated_shorts
        else "Raise"
    )
    raise KlapInputError(
        f"Nothing was sent to Klap. The budget is {dollars(budget)}, but even with one export the run may cost "
        f"{min_cost}. {action} the budget."
    )


def check(url: str, max_cost: Cost, *, api_url: str, warn: Callable[..., None]) -> None:
    """
    Refuse a submission whose result could not be used.

    :param url: address of the source video.
    :param max_cost: the maximum cost of the run.
    :param api_url: base URL of Klap's API.
    :param warn: logs a warning.
    :raises KlapInputError: there is no video at the address, or the run could select more shorts than Airflow maps a
        task over.
    """
    if max_cost.exports > (allowed := max_map_length()):
        raise KlapInputError(
            f"Nothing was sent to Klap. The run could select {max_cost.exports} shorts, and this Airflow maps a task "
            f"over at most {allowed} ([core] max_map_length). Lower max_clip_count (and target_clip_count) to "
            f"{allowed}, or set limit (max_exports of the operator) to at most {allowed}."
        )
    if is_untested(airflow := version("apache-airflow-core")):
        warn("Airflow %s was not tested with version %s of this package. The task continues", airflow, __version__)
    require_video(url, local=is_local(api_url), warn=warn)


def is_untested(airflow: str) -> bool:
    """Return whether a version of Airflow, such as ``3.4.0b2``, is of a newer minor version than those tested."""
    major, minor = airflow.split(".")[:2]
    return (int(major), int(minor)) > NEWEST_AIRFLOW
