"""Start a run for each new row of a table, and write the results into the table."""

from __future__ import annotations

# [START howto_klap_watch_table]
# Airflow reads only files that contain the words "airflow" and "dag".
from klap_provider.dag_parts import klap_watch
from klap_provider.sources import Pace, TableSource

dag = klap_watch(
    "example_klap_watch_table",
    name="videos_table",
    source=TableSource(
        conn_id="media_db",
        query="SELECT id, source_video_url, language FROM videos WHERE status IS NULL ORDER BY id",
        report="UPDATE videos SET status = :status, cost = :cost, links = :links WHERE id = :key",
    ),
    pace=Pace(per_day=10, back_catalogue=True),
    settings={"limit": 2, "max_clip_count": 2},
)
# [END howto_klap_watch_table]
