"""A whole Airflow on this machine, in a folder of its own: for ``make demo``, ``make up`` and the end-to-end tests."""
