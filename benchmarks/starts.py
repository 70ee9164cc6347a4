"""5. Worker starts: CPU time that this project adds to a task process, by step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.report import HERE, Section, Table, spread

ROUNDS = 3
ROOT = HERE.parent

#: Steps of tasks, without Airflow's own, in their order.
STEPS = {
    "import the Dag file": "import klap_generate_shorts",
    "read and check the connection": (
        "from klap_provider.hooks.lookup import get_connection; get_connection('klap_default')"
    ),
    "import requests": "import klap_provider.hooks.client",
    "validate the request": (
        "from klap_provider.api.requests import *; "
        "build_request(ShortsRequest, {'source_video_url': 'https://a.example/v.mp4', 'max_clip_count': 3})"
    ),
    "import the rules of the ledger": "import klap_provider.rules.idempotent_submit",
    "parse a response": (
        "from klap_provider.api import calls, response_parser; "
        "response_parser.parse_response(calls.get_task('t'), status=200, headers={}, "
        'body=b\'{"id": "t", "status": "ready", "output_id": "f"}\', secrets=(), now=0)'
    ),
    "check the destination, a local folder": (
        "from klap_provider.files.storage import check_destination; check_destination({destination!r})"
    ),
    "import the download": "import klap_provider.files.download",
}

#: Steps of each kind of task, besides the import of the Dag file.
STEPS_OF_TASKS = {
    "submit": (1, 2, 3, 4, 5, 6),
    "select": (1, 2, 5),
    "export": (1, 2, 3, 4, 5),
    "wait": (1,),
    "deliver": (1, 2, 6, 7),
    "publish": (1, 6),
}


#: Modules that are loaded before the process is forked, see klap_provider/dag_parts/preload.py.
PRELOAD = "import airflow.sdk.execution_time.supervisor, klap_provider.dag_parts.preload"


def run() -> Section:
    """Run the benchmark."""
    both = [[cpu_of_steps(before) for _ in range(ROUNDS)] for before in (PRELOAD, "pass")]
    names = list(STEPS)
    rows = [[f"**{name}**", *(spread(1000 * found[name] for found in rounds) for rounds in both)] for name in names]
    for task, indexes in STEPS_OF_TASKS.items():
        whole = (
            spread(1000 * sum(found[names[step]] for step in (0, *indexes)) for found in rounds) for rounds in both
        )
        rows.append([f"a task `{task}`: all steps that it needs", *whole])
    return Section(
        name="starts",
        title="5. Worker starts",
        method=(
            f"{ROUNDS} new processes that have loaded Airflow's task runner "
            "(`airflow.sdk.execution_time.task_runner`), "
            "frozen in garbage collection; CPU time of the first execution of each step. Without Airflow's own work: "
            "rendering, and the requests for XComs and rows of the ledger."
        ),
        table=Table(("", "CPU, ms", "CPU without preloading, ms"), rows),
        bars=[],
    )


def cpu_of_steps(before: str) -> dict[str, float]:
    """Execute all steps in a new process, and return the CPU time of each in seconds."""
    with tempfile.TemporaryDirectory(prefix="klap-bench-") as folder:
        steps = {name: code.replace("{destination!r}", repr(folder)) for name, code in STEPS.items()}
        code = (
            f"import airflow.sdk.execution_time.task_runner, gc, json, time; {before}\n"
            "gc.freeze()\n"
            "found = {}\n"
            f"for name, code in {steps!r}.items():\n"
            "    start = time.process_time()\n"
            "    exec(code)\n"
            "    found[name] = time.process_time() - start\n"
            "print(json.dumps(found))\n"
        )
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "plugins", "dags")),
            "AIRFLOW_CONN_KLAP_DEFAULT": json.dumps({"conn_type": "klap", "password": "kak_bench"}),
        }
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return dict(json.loads(done.stdout.splitlines()[-1]))
