"""One video URL in, the same video captioned and reframed out. docs/parameters.md has the parameters."""

# Airflow looks only into files in which it finds the words "airflow" and "dag".
from klap_provider.dag_parts import klap_caption_video

dag = klap_caption_video()
