"""The data of a batch for the tab: the run of each video, its state and its error. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.ui.facts import LIST, OF_A_BATCH, SUMMARY, VIDEO_RUN, Facts, is_over, items, mapping, text
from klap_provider.ui.runs import videos_of_list
from klap_provider.ui.texts import last_parts
from klap_provider.xcoms import ERROR_KEY, LIST_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Stands for a run that was deleted, or that the user may not read.
UNKNOWN: Mapping[str, Any] = {"state": None, "shorts": 0, "cost": None, "estimated": False}


def batch_of(facts: Facts, runs: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any] | None:
    """
    Return the data of a batch; None if the run is not a batch.

    :param runs: the runs of its videos, as :func:`klap_provider.ui.run_list.rows_of` returns them.
    :return: ``{"ended": bool, "problem": str | None, "videos": [{"dag_id", "run_id", "line", "name", "label", "state",
        "error", "cost", "estimated"}], "left_out": [{"line", "source_video_url", "reason"}]}``. ``label`` is the name
        of a video, or the last part of its address that the other videos of the list do not have.
        ``problem`` is the error of the list as a whole.
    """
    if not facts.all(OF_A_BATCH):
        return None
    read_list, summarize = facts.first(LIST), facts.first(SUMMARY)
    list_facts = mapping(facts.xcom(read_list, LIST_KEY))
    summary = mapping(facts.xcom(summarize, RETURN_KEY))
    tasks = {each.map_index: each for each in facts.all(VIDEO_RUN)}
    failed = [facts.xcom(task, RETURN_KEY) for task in tasks.values() if task.state == "failed"]
    outcomes = items(summary.get("incomplete")) or items(failed)
    errors = {text(each.get("run_id")): text(each.get("error")) for each in outcomes}
    problem = text(mapping(facts.xcom(read_list, ERROR_KEY)).get("error"))
    listed, videos = videos_of_list(facts.xcom(read_list, RETURN_KEY), list_facts), []
    labels = iter(last_parts([video.name for video in listed if video.given_name is None]))
    for video in listed:
        task, run = tasks.get(video.map_index), runs.get(video.key, UNKNOWN)
        # While the task waits, the state of the video's run matters.
        is_waiting = task is not None and task.state == "deferred"
        videos.append(
            {
                "dag_id": video.key[0],
                "run_id": video.key[1],
                "line": video.line,
                "name": video.name,
                "label": video.given_name or next(labels),
                "state": (run["state"] if is_waiting else None) or (task and task.state),
                "error": errors.get(video.key[1]),
                "cost": run["cost"],
                "estimated": run["estimated"],
            }
        )
    return {
        "ended": facts.has_ended or is_over(summarize),
        "problem": problem if read_list is not None and read_list.state == "failed" else None,
        "videos": videos,
        "left_out": [
            {
                "line": each.get("line") if isinstance(each.get("line"), int) else None,
                "source_video_url": text(each.get("source_video_url")) or "",
                "reason": text(each.get("reason")) or "",
            }
            for each in items((summary or list_facts).get("left_out"))
        ],
    }
