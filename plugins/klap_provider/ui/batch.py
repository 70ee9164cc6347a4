"""What the tab shows of a batch: the run of each video, its state, and what went wrong. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.ui.facts import LIST, OF_A_BATCH, SUMMARY, VIDEO_RUN, Facts, is_over, items, mapping, text
from klap_provider.ui.runs import videos_of_list
from klap_provider.xcoms import ERROR_KEY, LIST_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What is said of a video whose run was deleted, or may not be read.
UNKNOWN: Mapping[str, Any] = {"state": None, "shorts": 0, "cost": None, "estimated": False}


def batch_of(facts: Facts, runs: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any] | None:
    """
    Return what the tab shows of a batch; None if the run is none.

    :param runs: what is known of the runs of its videos, as the page Klap lists runs.
    :return: ``{"ended": bool, "problem": str | None, "videos": [{"dag_id", "run_id", "line", "name", "state", "error",
        "cost", "estimated"}], "left_out": [{"line", "source_video_url", "reason"}], "duplicates": int}``,
        ``problem`` being that of the list as a whole.
    """
    if not facts.all(OF_A_BATCH):
        return None
    read_list, summarize = facts.first(LIST), facts.first(SUMMARY)
    left = mapping(facts.left(read_list, LIST_KEY))
    summary = mapping(facts.left(summarize, RETURN_KEY))
    tasks = {each.map_index: each for each in facts.all(VIDEO_RUN)}
    failed = [facts.left(task, RETURN_KEY) for task in tasks.values() if task.state == "failed"]
    outcomes = items(summary.get("incomplete")) or items(failed)
    errors = {text(each.get("run_id")): text(each.get("error")) for each in outcomes}
    problem = text(mapping(facts.left(read_list, ERROR_KEY)).get("error"))
    videos = []
    for video in videos_of_list(facts.left(read_list, RETURN_KEY), left):
        task, run = tasks.get(video.map_index), runs.get(video.key, UNKNOWN)
        # While the task waits, the run of the video is what goes on.
        is_waiting = task is not None and task.state == "deferred"
        videos.append(
            {
                "dag_id": video.key[0],
                "run_id": video.key[1],
                "line": video.line,
                "name": video.name,
                "state": (run["state"] if is_waiting else None) or (task and task.state),
                "error": errors.get(video.key[1]),
                "cost": run["cost"],
                "estimated": run["estimated"],
            }
        )
    unlisted = summary or left
    duplicates = unlisted.get("duplicates")
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
            for each in items(unlisted.get("left_out"))
        ],
        "duplicates": duplicates if isinstance(duplicates, int) else 0,
    }
