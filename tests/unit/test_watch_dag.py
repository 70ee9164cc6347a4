"""The Dag that watches a source: what starts it, and what a Dag file may give to the function that makes it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.trigger import Trigger
from airflow.sdk import Asset
from airflow.serialization.encoders import encode_trigger
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import BaseEventTrigger

from klap_provider.dag_parts import klap_watch
from klap_provider.sources import FeedSource, Pace, PrefixSource, TableSource

if TYPE_CHECKING:
    from airflow.sdk import DAG

FEED = FeedSource(urls=("https://example.com/feed.xml",))
PREFIX = PrefixSource(path="s3://media_s3@media/in")
TABLE = TableSource(conn_id="media_db", query="SELECT 1")
PACE = Pace(per_day=1, since=datetime(2026, 11, 1, tzinfo=timezone.utc))


def triggers_of(dag: DAG) -> list[Any]:
    return [watcher.trigger for asset in dag.schedule for watcher in asset.watchers]  # type: ignore[union-attr]  # its schedule is a list of assets


@pytest.mark.parametrize("source", [FEED, PREFIX], ids=["feed", "prefix"])
def test_a_source_polled_by_the_triggerer_has_no_schedule_by_time(source: Any) -> None:
    dag = klap_watch(name="talks", source=source, pace=PACE, poll_interval=60)
    [trigger] = triggers_of(dag)
    path, kwargs = trigger.serialize()
    assert path == "klap_provider.triggers.SourceTrigger"
    assert (kwargs["asset"], kwargs["name"], kwargs["poll_interval"]) == ("klap_source_talks", "talks", 60)
    assert dag.max_active_runs == 1
    again = klap_watch(name="talks", source=source, pace=PACE, poll_interval=60)
    assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(again)


@pytest.mark.parametrize("source", [FEED, PREFIX], ids=["feed", "prefix"])
def test_stored_trigger_arguments_have_the_same_hash(source: Any) -> None:
    """Otherwise Airflow drops the watcher without a message."""
    [trigger] = triggers_of(klap_watch(name="talks", source=source, pace=PACE))
    encoded = encode_trigger(trigger)
    stored = Trigger(encoded["classpath"], encoded["kwargs"])
    hashes = {BaseEventTrigger.hash(each["classpath"], each["kwargs"]) for each in [encoded]}
    assert {BaseEventTrigger.hash(stored.classpath, stored.kwargs)} == hashes


def test_two_sources_with_the_same_feed_have_triggers_of_their_own() -> None:
    first, second = (triggers_of(klap_watch(name=name, source=FEED))[0].serialize() for name in ("a", "b"))
    assert first != second


@pytest.mark.parametrize("names", [("подкаст", "новости"), ("talks a", "talks-a"), ("Talks", "talks")])
def test_each_source_has_an_asset_of_its_own_whatever_its_name(names: tuple[str, str]) -> None:
    """Otherwise Airflow removes the watcher of one Dag each time that it parses the file of the other."""
    first, second = (triggers_of(klap_watch(name=name, source=FEED))[0].asset for name in names)
    assert first != second
    assert first.isascii()


def test_a_source_that_blocks_is_checked_by_a_schedule() -> None:
    assert klap_watch(name="talks", source=TABLE).schedule == timedelta(minutes=15)
    assert klap_watch(name="talks", source=FEED, schedule="@daily").schedule == "@daily"


def test_the_dag_takes_the_arguments_of_a_dag() -> None:
    dag = klap_watch("mine", name="talks", source=TABLE, tags=["team"], default_args={"retries": 7}, pool="klap")
    assert (dag.dag_id, dag.tags, dag.dag_display_name) == ("mine", {"klap", "video", "team"}, "mine")
    [task] = dag.tasks
    assert (task.retries, task.pool) == (7, "klap")
    assert Asset("klap_ledger") in task.inlets


def test_a_custom_source_must_be_serializable_to_be_polled() -> None:
    class Mine:
        is_polled = True

        def list(self) -> list[Any]:
            return []

    with pytest.raises(TypeError):
        klap_watch(name="mine", source=Mine())
    assert klap_watch(name="mine", source=Mine(), schedule="@hourly").schedule == "@hourly"


def test_the_shipped_file_defines_no_dag_without_feeds() -> None:
    import klap_watch as shipped

    assert not hasattr(shipped, "dag")
