"""Caption and reframe one whole video. See docs/how-to/caption-a-video.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_caption_video

dag = klap_caption_video()
