"""4. Parsing: import time of the Dag files and the plugin file, without Airflow's own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from benchmarks.report import HERE, Bar, Section, Table, spread

ROUNDS = 3
ROOT = HERE.parent

#: Modules imported before the measurement, and the measured one.
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
    """Run the benchmark."""
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
        method=(
            f"{ROUNDS} new processes each, after `import airflow.sdk` (for the plugin, after `import "
            "airflow.plugins_manager`). `airflow.sdk` loads most of its modules on demand: the fourth row has what any "
            "Dag file with a mapped task group loads. The targets are for what this project adds. With preloading "
            "(`klap_provider/dag_parts/preload.py`), workers and the Dag processor are forked from a process that has "
            "loaded what tasks need: the first two rows. Earlier objects are frozen in garbage collection, as Airflow "
            "does before it parses."
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
            ),
            Bar("import of a second or third Dag file, against the first", max(second, third) / ours, 1),
            Bar("import of the plugin file, against airflow.providers.http.hooks.http", plugin / peer, 0.05),
        ],
    )


def import_seconds(before: str, timed: str) -> float:
    """Return the time of an import in a new process, after other imports, in seconds."""
    code = (
        f"import gc, time, {before}; gc.freeze(); start = time.perf_counter(); import {timed}; "
        "print(time.perf_counter() - start)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "plugins", "dags"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return float(done.stdout.splitlines()[-1])
