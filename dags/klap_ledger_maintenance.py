"""Move rows of the ledger that nothing needs any more to your storage. See docs/operations/ledger-maintenance.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_ledger_maintenance

dag = klap_ledger_maintenance()
