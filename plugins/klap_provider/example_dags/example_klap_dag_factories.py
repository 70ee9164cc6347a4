"""Make Dags with a trigger form, with a schedule and defaults of your own."""

from __future__ import annotations

# [START howto_klap_dag_factories]
# Airflow reads only files that contain the words "airflow" and "dag".
from datetime import timedelta

from klap_provider.dag_parts import klap_caption_video, klap_generate_shorts

weekly = klap_generate_shorts(
    dag_id="example_klap_weekly_webinar",
    schedule="0 6 * * MON",
    form={"source_video_url": "https://example.com/webinars/latest.mp4", "max_clip_count": 5, "limit": 2},
    task_timeout=timedelta(hours=1),
    max_active_runs=1,
    default_args={"retries": 5},
    tags=["example"],
)
# [END howto_klap_dag_factories]

# [START howto_klap_caption_video_factory]
square_captions = klap_caption_video(
    dag_id="example_klap_square_captions",
    form={"source_video_url": "https://example.com/talk.mp4", "aspect_ratio": "1:1", "translate_to": "en"},
    tags=["example"],
)
# [END howto_klap_caption_video_factory]
