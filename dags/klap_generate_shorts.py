"""Make shorts from one video. See docs/how-to/trigger-a-run.md and docs/how-to/schedule.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts

dag = klap_generate_shorts()
