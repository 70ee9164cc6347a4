"""Write the payments or the whole ledger to your storage. See docs/operations/ledger-maintenance.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_ledger_export

dag = klap_ledger_export()
