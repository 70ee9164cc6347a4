"""
The only imports of Airflow's private API. Other modules import only from Airflow's public API.

Each docstring says why the public API is not enough (*Why*), and what to check when an upgrade breaks the function
(*When it moves*). Imports are inside the functions, so that the parse of a Dag file does not pay for them.
"""
