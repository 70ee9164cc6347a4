"""The rows that many runs leave in Airflow's database, for :mod:`tests.support.seed`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from klap_provider.rules.ledger_keys import delivered_entry, payment_key

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTS = 5
#: Klap's prices in US dollars: a video, all its generated shorts, and an export.
VIDEO, FOLDER, EXPORT = 0.44, 3.2, 0.48


def many_runs(
    numbers: range, *, dag_ids: Sequence[str] = ("klap_generate_shorts",), path: str = "file:///shorts/clip.mp4"
) -> dict[str, list[dict[str, Any]]]:
    """
    Return the rows of runs that have delivered all of their five shorts: ``Episode 0`` is the newest.

    :param dag_ids: the Dags of the runs, in turn.
    :param path: the path of each short.
    """
    now = datetime.now(timezone.utc).replace(microsecond=0)
    runs, rows = [], []
    for number in numbers:
        at = (now - timedelta(hours=2 * number)).isoformat()
        who = {"dag_id": dag_ids[number % len(dag_ids)], "run_id": f"manual__{at}"}
        video = f"https://media.example.com/talks/{number}.mp4"
        runs.append({**who, "at": at, "by": "uli", "conf": {"source_video_url": video, "name": f"Episode {number}"}})
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
