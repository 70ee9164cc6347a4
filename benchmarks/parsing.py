"""4. Parsing: what the DAG files and the plugin file take to import, beyond Airflow itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from benchmarks.report import HERE, Bar, Section, Table, spread

ROUNDS = 3
ROOT = HERE.parent

#: What is imported in a fresh process before the clock starts, and what then.
FORKED = "airflow.sdk, klap_provider.dag_parts.preload"
IMPORTS = {
    "the Dag file, as workers and the Dag processor load it": (FORKED, "klap_generate_shorts"),
    "a Dag file with only Airflow's operators and a mapped task group": (FORKED, "benchmarks.dags.airflow_alone"),
    "the Dag file, if nothing is loaded yet": ("airflow.sdk", "klap_generate_shorts"),
    "a Dag file with only Airflow's operators, if nothing is loaded yet": (
        "airflow.sdk",
        "benchmarks.dags.airflow_alone",
    ),
    "the plugin file": ("airflow.plugins_manager", "klap_provider.plugin"),
    "airflow.providers.http.hooks.http": ("airflow.sdk", "airflow.providers.http.hooks.http"),
    "a second Dag file, `klap_caption_video`": ("klap_generate_shorts", "klap_caption_video"),
    "a third, `klap_generate_shorts_batch`": (
        "klap_generate_shorts, klap_caption_video",
        "klap_generate_shorts_batch",
    ),
}


def run() -> Section:
    """Measure."""
    seconds: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(ROUNDS):
        for name, (before, timed) in IMPORTS.items():
            seconds[name].append(import_seconds(before, timed))
    ours, alone, ours_fresh, alone_fresh, plugin, peer, second, third = (
        statistics.median(times) for times in seconds.values()
    )
    return Section(
        name="parsing",
        title="4. Parsing",
        said=(
            f"{ROUNDS} fresh processes each, beyond `import airflow.sdk` (for the plugin, `import "
            "airflow.plugins_manager`). `airflow.sdk` loads most of itself when a name is taken from it: what any DAG "
            "file with a mapped task group makes Airflow load is in the fourth row. The bars are about what this "
            "project adds to that. Workers and the DAG processor are forked from a process that has loaded what tasks "
            "need (`klap_provider/dag_parts/preload.py`): the first two rows. What is there before is kept out of "
            "garbage collection, as Airflow does before it parses."
        ),
        table=Table(
            ("import of", "ms"), [[name, spread(1000 * each for each in times)] for name, times in seconds.items()]
        ),
        bars=[
            Bar(
                "import of the Dag file beyond that of a mapped Dag with only Airflow's operators",
                (ours - alone) * 1000,
                25,
                " ms",
            ),
            Bar(
                "the same, if nothing is loaded yet",
                (ours_fresh - alone_fresh) * 1000,
                25,
                " ms",
                note="[why](../docs/evidence/performance.md#parsing)",
            ),
            Bar("import of a second or third Dag file, against the first", max(second, third) / ours, 1),
            Bar("import of the plugin file, against airflow.providers.http.hooks.http", plugin / peer, 0.05),
        ],
    )


def import_seconds(before: str, timed: str) -> float:
    """Return what an import takes in a fresh process, after another one."""
    code = (
        f"import gc, time, {before}; gc.freeze(); start = time.perf_counter(); import {timed}; "
        "print(time.perf_counter() - start)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "plugins", "dags"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return float(done.stdout.splitlines()[-1])
