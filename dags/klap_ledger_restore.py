"""Read archives of the ledger back. See docs/operations/ledger-maintenance.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_ledger_restore

dag = klap_ledger_restore()
