"""The names of runs, and the videos of batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import permitted
from klap_provider.airflow_internals.xcoms import read_values, xcoms
from klap_provider.rules.video_list import URL, read_lines
from klap_provider.ui.facts import SUBMIT, mapping, text
from klap_provider.ui.texts import label_of
from klap_provider.xcoms import RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from klap_provider.airflow_internals.runs import Key, Run
    from klap_provider.airflow_internals.xcoms import StoredXCom

#: Prefix of the ids of runs that a batch starts.
OF_A_BATCH = "klap__"
#: The Dag of a batch's runs, if the batch did not record it.
DEFAULT_DAG = "klap_generate_shorts"


class BatchVideo(NamedTuple):
    """
    A video of a batch.

    :param key: Dag and run id of its run.
    :param line: its line in the list.
    :param given_name: its name; None if it has none.
    """

    key: Key
    line: int | None
    address: str
    given_name: str | None
    map_index: int

    @property
    def name(self) -> str:
        """Its name, or its address for display."""
        return self.given_name or label_of(self.address)


def as_readable(user: Any, runs: Iterable[Run]) -> list[Run]:
    """Return runs, without conf, note and author if the user may not read the runs of their Dag."""
    runs = list(runs)
    readable = permitted(user, {run.dag_id for run in runs}, "RUN")
    return [run if run.dag_id in readable else replace(run, conf={}, note=None, by=None) for run in runs]


def batch_videos(session: Any, lists: Sequence[StoredXCom]) -> dict[Key, list[BatchVideo]]:
    """
    Return the videos of batches.

    :param lists: the XComs ``klap_list`` of the tasks that read their lists.
    """
    tasks = {(each.run, each.task_id): mapping(value) for each, value in read_values(lists)}
    found = xcoms(session, {run for run, _ in tasks}, (RETURN_KEY,), task_ids={task_id for _, task_id in tasks})
    return {
        (each.dag_id, each.run_id): videos_of_list(value, tasks[each.run, each.task_id])
        for each, value in read_values(found)
        if (each.run, each.task_id) in tasks
    }


def videos_of_list(listed: Any, read: Mapping[str, Any]) -> list[BatchVideo]:
    """
    Return the videos of a list.

    :param listed: what the task that read the list returned.
    :param read: the mapping that the task pushed as ``klap_list``.
    """
    dag_id = text(read.get("trigger_dag_id")) or DEFAULT_DAG
    videos: list[BatchVideo] = []
    for map_index, video in enumerate(listed if isinstance(listed, list) else []):
        run_id, address = text(mapping(video).get("trigger_run_id")), text(mapping(video).get(URL))
        if run_id is None or address is None or not run_id.startswith(OF_A_BATCH):
            continue
        line, name = video.get("line"), text(mapping(video.get("settings")).get("name"))
        videos.append(BatchVideo((dag_id, run_id), line if isinstance(line, int) else None, address, name, map_index))
    return videos


def last_day(runs: Iterable[Run]) -> str:
    """Return the UTC day on which the last of some runs ended, or today, ``YYYY-MM-DD``."""
    now = datetime.now(timezone.utc).isoformat()
    return max(run.ended_at or now for run in runs)[:10]


def parts_of(key: Key, batches: Mapping[Key, Sequence[BatchVideo]], dag_ids: Collection[str]) -> set[Key]:
    """Return the run itself and, for a batch, the runs of its videos in Dags that the user may read."""
    return {key} | {video.key for video in batches.get(key, ()) if video.key[0] in dag_ids}


def names_of(session: Any, runs: Collection[Run], batches: Mapping[Key, Sequence[BatchVideo]]) -> dict[Key, str]:
    """Return the name of each run: its given name, or its note, or that of its video or list."""
    given = {run.key: _given_name(run, batches.get(run.key, ())) for run in runs}
    unnamed = {run.id: run for run in runs if given[run.key] is None}
    tasks = database.instances(session, [run.key for run in unnamed.values()], SUBMIT)
    found = xcoms(session, unnamed, (RETURN_KEY,), task_ids={task.task_id for task in tasks}) if tasks else []
    for each, value in read_values(found):
        recorded = mapping(value)
        address = text(recorded.get("video"))
        given[each.dag_id, each.run_id] = text(recorded.get("name")) or (address and label_of(address))
    return {run.key: given[run.key] or run.run_id for run in runs}


def _given_name(run: Run, videos: Sequence[BatchVideo]) -> str | None:
    url, name, path = (text(run.conf.get(field)) for field in (URL, "name", "list_path"))
    if name or run.note or url:
        return name or run.note or label_of(str(url))
    pasted = run.conf.get("source_video_urls")
    listed = [row.source_video_url for row in read_lines(map(str, pasted))] if isinstance(pasted, list) else []
    if names := videos or listed:
        first = videos[0].name if videos else label_of(listed[0])
        return f"{first}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
    return label_of(path) if path and "://" in path else path


def run_names(user: Any, session: Any, keys: Iterable[Key]) -> dict[Key, str]:
    """Return the names of runs, except deleted ones."""
    return names_of(session, as_readable(user, database.runs(session, keys).values()), {})


def has_words(words: Iterable[str], *texts: Any) -> bool:
    """Return whether all words, in lower case, are in at least one of the texts. A text may be None."""
    whole = " ".join(str(text) for text in texts if text).lower()
    return all(word in whole for word in words)
