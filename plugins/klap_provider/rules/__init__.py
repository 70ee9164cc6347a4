"""What is decided, and why. Pure: no Airflow, no I/O, no clock."""
