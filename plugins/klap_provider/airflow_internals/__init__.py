"""
The only imports of Airflow's private API. Other modules import only from Airflow's public API.

Each docstring has the reason why the public API is not enough (*Why*), and what to check when an upgrade breaks the
module (*When it moves*). The docstring of a module applies to its functions, unless they have a reason of their own.

To support a new Airflow version, begin with ``VERSIONS`` in ``tests/matrix.py``. ``docs/explanation/design.md`` has all
steps.
"""
