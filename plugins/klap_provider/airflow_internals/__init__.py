"""
The one door to what Airflow does not publish. What it publishes, other modules import from ``airflow.sdk`` themselves.

Each function says why Airflow's published names do not do, and what to look at when an upgrade breaks it. All of them
import where they are called: nothing here costs a parse of a DAG file.
"""
