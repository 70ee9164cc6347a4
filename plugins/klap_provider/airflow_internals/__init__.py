"""
The only imports of Airflow's private API. Other modules import only from Airflow's public API.

A module, class or function says why the public API is not enough (*Why*), and what to check when an upgrade breaks it
(*When it moves*). What a module says holds for each of its functions that says nothing else.
"""
