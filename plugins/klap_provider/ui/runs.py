"""What a run is called and consists of, for the page Klap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.api_server import existing_runs
from klap_provider.api.public_form import shown
from klap_provider.rules.video_list import URL, label, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klap_provider.airflow_internals.api_server import RunRow

#: The operator of a batch's videos, that of the question, and those that each have a video's name.
BATCH, REVIEW = "VideoRunOperator", "ReviewShortsOperator"
NAMED = (BATCH, "SubmitShortsOperator", "SubmitVideoOperator")
OPERATORS = (*NAMED, REVIEW)


def parts_of(run: RunRow, dag_ids: set[str]) -> set[tuple[str, str]]:
    """Return the runs that a run consists of: itself, and those of a batch's videos, as far as they may be read."""
    asked = [task.fields for task in run.tasks if task.operator == BATCH]
    videos = {(str(each.get("trigger_dag_id")), str(each.get("trigger_run_id"))) for each in asked}
    return {(run.dag_id, run.run_id)} | {video for video in videos if video[0] in dag_ids}


def name_of(run: RunRow) -> str:
    """Return what people know a run by: what they have called it, or its video, or its videos."""
    url, name, path = (str(run.conf.get(field) or "") for field in (URL, "name", "list_path"))
    if name or run.note or url:
        return name or run.note or label(shown(url))
    pasted = run.conf.get("source_video_urls")
    listed = [row.source_video_url for row in read_lines(map(str, pasted))] if isinstance(pasted, list) else []
    begun = [task for task in run.tasks if task.operator in NAMED]
    videos = [task.name for task in begun if task.name]
    more = (len(begun) if videos else len(listed)) - 1
    if videos := videos or [label(shown(each)) for each in listed]:
        return f"{videos[0]}{f' and {more} more' if more else ''}"
    return shown(path) if path else run.run_id


def run_names(runs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the names of those of some runs that have not been deleted."""
    return {key: name_of(run) for key, run in existing_runs(runs, operators=NAMED).items()}


def has_words(words: Iterable[str], *texts: Any) -> bool:
    """Whether all of some words, in small letters, are in some texts, of which some may be None."""
    whole = " ".join(str(text) for text in texts if text).lower()
    return all(word in whole for word in words)
