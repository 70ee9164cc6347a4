"""7. Worker starts: what this project adds to the CPU of a task's process, step by step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.report import HERE, Section, Table, spread

ROUNDS = 3
ROOT = HERE.parent

#: What each kind of task does beyond Airflow's own work, in the order in which it does it.
STEPS = {
    "import the Dag file": "import klap_generate_shorts",
    "read and check the connection": ("from klap_provider.hooks.lookup import look_up; look_up('klap_default')"),
    "import requests": "import klap_provider.hooks.client",
    "validate the request": (
        "from klap_provider.api.requests import *; "
        "build_request(ShortsRequest, {'source_video_url': 'https://a.example/v.mp4', 'max_clip_count': 3})"
    ),
    "import the rules of the ledger": "import klap_provider.rules.idempotent_submit",
    "parse a response": (
        "from klap_provider.api import calls; calls.read_answer(calls.get_task('t'), status=200, headers={}, "
        'body=b\'{"id": "t", "status": "ready", "output_id": "f"}\', secrets=(), now=0)'
    ),
    "check the destination, a local folder": (
        "from klap_provider.files.storage import check_destination; check_destination({destination!r})"
    ),
    "import the download": "import klap_provider.files.download",
}

#: Which of them a task of that kind takes, beside the DAG file.
TAKES = {
    "submit": (1, 2, 3, 4, 5, 6),
    "select": (1, 2, 5),
    "export": (1, 2, 3, 4, 5),
    "wait, for a job submitted just before": (1,),
    "deliver": (1, 2, 6, 7),
    "publish": (1, 6),
}


#: What has been loaded when the process is forked: see klap_provider/dag_parts/preload.py.
PRELOAD = "import airflow.sdk.execution_time.supervisor, klap_provider.dag_parts.preload"


def run() -> Section:
    """Measure."""
    both = [[seconds_of_steps(before) for _ in range(ROUNDS)] for before in (PRELOAD, "pass")]
    names = list(STEPS)
    rows = [[f"**{name}**", *(spread(1000 * found[name] for found in rounds) for rounds in both)] for name in names]
    for task, takes in TAKES.items():
        whole = (spread(1000 * sum(found[names[step]] for step in (0, *takes)) for found in rounds) for rounds in both)
        rows.append([f"a task `{task}`: all steps that it needs", *whole])
    return Section(
        name="starts",
        title="5. Worker starts",
        said=(
            f"{ROUNDS} fresh processes that have loaded what a task's process of Airflow has when it begins "
            "(`airflow.sdk.execution_time.task_runner`), kept out of garbage collection; CPU of each step, done for "
            "the first time. Without Airflow's own work: rendering, and the requests for XComs and rows of the ledger."
        ),
        table=Table(("", "CPU, ms", "CPU without preloading, ms"), rows),
        bars=[],
    )


def seconds_of_steps(before: str) -> dict[str, float]:
    """Do all steps in one fresh process, after another one, and return the CPU of each."""
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
