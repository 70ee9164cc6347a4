"""Klap's API: requests and responses. Pure: no Airflow, no I/O, no clock."""
