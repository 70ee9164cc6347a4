"""Start a run of klap_generate_shorts for each video of a list. See docs/how-to/run-a-batch.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts_batch

dag = klap_generate_shorts_batch()
