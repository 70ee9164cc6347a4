"""Start a run of klap_generate_shorts for each video of a list. See docs/how-to/run-a-batch.md."""

# Airflow looks only into files in which it finds the words "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts_batch

dag = klap_generate_shorts_batch()
