"""One video URL in, delivered shorts out. docs/parameters.md has the parameters; the README, a schedule."""

# Airflow looks only into files in which it finds the words "airflow" and "dag".
from klap_provider.dag_parts import klap_generate_shorts

dag = klap_generate_shorts()
