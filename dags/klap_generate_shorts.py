"""One video URL in, delivered shorts out. The README has the parameters, and how to run it on a schedule."""

# Airflow looks only into files in which it finds the words "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts

dag = klap_generate_shorts()
