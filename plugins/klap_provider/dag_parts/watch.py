"""Start a run for each new item of a source. See docs/how-to/watch-a-source.md."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetWatcher, Param

from klap_provider.dag_parts.dag import form_of, klap_dag
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.operators import StartSourceRunsOperator
from klap_provider.rules.ledger_keys import source_asset
from klap_provider.sources.check import pause_scopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import BaseNotifier

    from klap_provider.rules.pace import Pace
    from klap_provider.rules.source_runs import Source

DOC = """
### Start a run for each new item of a source
Each item of the source gets **one** run, ever, whatever is retried, cleared or renamed. The runs are **billed** like
any other. Items that exist at the first check are not started, unless the Dag file sets `back_catalogue`.

To check the source now, press **Trigger**. To start an item now, or to skip it for ever, put its id into the form.
*Klap → Sources* shows what waits, and why.
"""

#: Seconds between two polls of a source in the triggerer.
POLL_INTERVAL = 300.0

#: How often a source is checked that the triggerer cannot poll.
SCHEDULE = timedelta(minutes=15)

DEFAULT: Any = object()


def klap_watch(
    dag_id: str = "klap_watch",
    *,
    name: str,
    source: Source,
    pace: Pace | None = None,
    settings: Mapping[str, Any] | None = None,
    trigger_dag_id: str = "klap_generate_shorts",
    schedule: Any = DEFAULT,
    poll_interval: float = POLL_INTERVAL,
    pool: str | None = None,
    notifiers: Sequence[BaseNotifier] = (),
    **dag_arguments: Any,
) -> DAG:
    """
    Return a Dag that starts a run for each new item of a source. Assign it to a module variable such as ``dag``.

    :param dag_id: id of the Dag. It can be changed at any time.
    :param name: name of the source in the ledger, such as ``talks``. With another name, the source starts from the
        beginning, and its items can get second runs.
    :param source: object that lists the items: a ``FeedSource``, ``YouTubeSource``, ``PrefixSource`` or ``TableSource``
        of :mod:`klap_provider.sources`, or an object of your own with a method ``list()``.
    :param pace: how many items start, when, and which. Default: all new items at once, none of the first check.
    :param settings: form parameters of all runs, such as ``{"limit": 3}``. Those of an item take precedence.
    :param trigger_dag_id: id of the Dag that runs the items, if it is not ``klap_generate_shorts``.
    :param schedule: schedule of the checks, as for any Dag. Default: the triggerer polls feeds and prefixes without a
        worker, and starts a run only if there is something to do; other sources are checked every 15 minutes.
    :param poll_interval: seconds between two polls in the triggerer. Default 300.
    :param pool: pool of the task. Default: Airflow's default pool.
    :param notifiers: Airflow's notifiers that send a notice if the source failed; see docs/how-to/get-notified.md.
        Default: those of the connection ``klap_default``.
    :param dag_arguments: arguments of ``airflow.sdk.DAG``, as for ``klap_generate_shorts``.
    """
    if schedule is DEFAULT:
        scopes = pause_scopes(name, trigger_dag_id, (settings or {}).get("klap_conn_id") or DEFAULT_CONN_ID)
        is_polled = getattr(source, "is_polled", False)
        schedule = _watched(name, source, pace, poll_interval, scopes) if is_polled else SCHEDULE
    fields = {
        "start": _ids("Start now", "Ids of items to start now, one per line, whatever the pace."),
        "skip": _ids("Skip", "Ids of items that must never start, one per line."),
    }
    with klap_dag(
        dag_id,
        factory=klap_watch,
        display_name="Klap: watch a source",
        doc=DOC,
        fields=fields,
        form=None,
        schedule=schedule,
        pool=pool,
        allowed_connections=None,
        dag_arguments={"max_active_runs": 1, **dag_arguments},
    ) as dag:
        values = form_of(dag, fields)
        StartSourceRunsOperator(
            task_id="check",
            task_display_name="Check",
            name=name,
            source=source,
            trigger_dag_id=trigger_dag_id,
            settings=settings,
            pace=pace,
            start=values["start"],
            skip=values["skip"],
            notifiers=notifiers,
        )
    return dag


def _ids(title: str, description: str) -> Param:
    return Param([], type=["array", "null"], items={"type": "string"}, title=title, description=description)


def _watched(name: str, source: Source, pace: Pace | None, poll_interval: float, scopes: list[str]) -> list[Asset]:
    """Return the asset of a source, whose events the triggerer makes."""
    from klap_provider.triggers import SourceTrigger

    asset = source_asset(name)
    trigger = SourceTrigger.of(source, asset=asset, name=name, pace=pace, poll_interval=poll_interval, scopes=scopes)
    return [Asset(asset, watchers=[AssetWatcher(name=asset, trigger=trigger)])]
