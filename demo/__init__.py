"""A complete Airflow on this machine, for ``make demo``, ``make up`` and the end-to-end tests."""
