"""A list of video URLs in, one run of klap_generate_shorts for each. See docs/batches.md."""

# Airflow looks only into files in which it finds the words "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts_batch

dag = klap_generate_shorts_batch()
