"""The rows that many runs leave in Airflow's database, for :mod:`tests.support.seed`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from klap_provider.rules.ledger_keys import delivered_entry, payment_key

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTS = 5
BATCH = "klap_generate_shorts_batch"
#: A quarter of the id of the newest run.
NEWEST = 1_000_000
#: Time between two runs of a team with 100 videos a day.
EVERY = timedelta(days=1) / 100
#: Klap's prices in US dollars: a video, all its generated shorts, and an export.
VIDEO, FOLDER, EXPORT = 0.44, 3.2, 0.48


def many_runs(
    numbers: range,
    *,
    dag_ids: Sequence[str] = ("klap_generate_shorts",),
    path: str = "file:///shorts/clip.mp4",
    every: timedelta = EVERY,
    in_batch: int = 0,
) -> dict[str, list[dict[str, Any]]]:
    """
    Return the rows of runs that have delivered all of their five shorts: ``Episode 0`` is the newest.

    :param dag_ids: the Dags of the runs, in turn.
    :param path: the path of each short.
    :param every: time between two runs.
    :param in_batch: number of videos of a batch. 0: each run is triggered alone.
    """
    now = datetime.now(timezone.utc).replace(microsecond=0)
    runs, rows = [], []
    for number in numbers:
        started = number // in_batch * in_batch if in_batch else number
        at = (now - every * started).isoformat()
        run_id = run_id_in_batch(number) if in_batch else f"manual__{at}"
        who = {"dag_id": dag_ids[number % len(dag_ids)], "run_id": run_id}
        if in_batch and number == started:
            runs.append(_batch(now - every * started, range(started, started + in_batch), who["dag_id"]))
        video = f"https://media.example.com/talks/{number}.mp4"
        conf = {"source_video_url": video, "name": f"Episode {number}"}
        # Newer runs have greater ids, in whatever order they are written.
        runs.append({**who, "id": 4 * (NEWEST - number), "at": at, "by": "uli", "conf": conf})
        paid: dict[str, dict[str, Any]] = {
            f"task{number}": {"price": VIDEO, "budget": 10.0},
            f"folder{number}": {"price": FOLDER},
        }
        for index in range(SHORTS):
            project_id, export_id = f"short{number}x{index}", f"export{number}x{index}"
            paid[export_id] = {"price": EXPORT, "what": "export of it", "settings": "watermark acme.png"}
            value = {
                "project_id": project_id,
                "export_id": export_id,
                "name": f"Moment {index} of {number}",
                "score": (number * 7 + index) % 90,
                "video": video,
                "path": path,
                "size": 100_000,
                "sha256": "",
                "at": at,
            }
            key = delivered_entry(who["dag_id"], who["run_id"], project_id)
            rows.append({**who, "task_id": "deliver", "map_index": index, "key": key, "value": value})
        for job_id, line in paid.items():
            value = {"id": job_id, "run": f"{who['dag_id']} {who['run_id']}", "at": at, "estimated": True}
            value |= {"version": 1, "video": video, **line}
            rows.append({**who, "key": payment_key(at, job_id), "value": value})
    return {"runs": runs, "rows": rows}


def run_id_in_batch(number: int) -> str:
    """Return the id of the run for a video of a batch."""
    return f"klap__{number}__{number:012}"


def _batch(at: datetime, numbers: range, trigger_dag_id: str) -> dict[str, Any]:
    listed = [
        {
            "source_video_url": f"https://media.example.com/talks/{number}.mp4",
            "trigger_run_id": run_id_in_batch(number),
            "settings": {},
            "line": line,
        }
        for line, number in enumerate(numbers, 1)
    ]
    read = {"trigger_dag_id": trigger_dag_id, "left_out": [], "duplicates": 0}
    xcoms = {"return_value": listed, "klap_list": read}
    return {
        "dag_id": BATCH,
        "run_id": f"scheduled__{at.isoformat()}",
        "id": 4 * (NEWEST - numbers[-1]) - 1,
        "at": at.isoformat(),
        "conf": {"list_path": f"/lists/{at:%Y-%m-%d}.csv", "name": f"Batch {numbers[0]}"},
        "tasks": [{"operator": "ReadVideoListOperator", "map_index": -1, "xcoms": xcoms}],
    }
