"""What Klap is asked and what it answers. Pure: no Airflow, no I/O, no clock."""
