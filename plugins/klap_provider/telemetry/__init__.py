"""What whoever watches Airflow is told."""
