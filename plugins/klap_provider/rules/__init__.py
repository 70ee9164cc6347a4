"""Decisions. Pure: no Airflow, no I/O, no clock."""
