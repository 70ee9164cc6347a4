"""
``make test-matrix``: the tests that a version of Airflow can break, on each one, in an environment of its own.

``managed-3.3.1``, which is ``make test-managed``, is a managed service: its versions of everything, and its shape.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".matrix"

#: Airflow, and the task SDK that goes with it. The first one is the lowest that pyproject.toml allows.
VERSIONS = {"3.3.0": "1.3.0", "3.3.1": "1.3.1", "3.3.2": "1.3.2", "3.4.0b2": "1.4.0b2"}

#: What the image of a managed service has.
MANAGED = {"managed-3.3.1": ROOT / "tests" / "data" / "managed-3.3.1.txt"}

#: What constraints.txt pins for the one version, and another one wants otherwise.
OF_ITS_OWN = re.compile(r"(apache-airflow(-core|-task-sdk)?|aiosqlite)==")

#: The unit and integration tests; a whole Airflow with every DAG; and on it, what is paid whatever changes.
PARTS = {
    "unit and integration": ["tests/unit", "tests/integration", "--numprocesses", "4"],
    "main path": ["tests/e2e/test_main_path.py"],
    "paid once": ["-m", "chaos", "tests/e2e/chaos/test_changes.py", "tests/e2e/chaos/test_people.py"],
}

#: On the versions of a managed service; and a whole Airflow of its shape.
PARTS_OF_MANAGED = {
    "unit and integration": PARTS["unit and integration"],
    "Celery over SQS": ["-m", "managed", "tests/e2e/test_managed.py"],
}


def environment(version: str) -> Path:
    """Return the Python of an environment with this Airflow and the project; made if it is not there."""
    folder = ENVIRONMENTS / version
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    if version in MANAGED:
        constraints, airflow = MANAGED[version], ["pycurl"]  # without which Celery does not speak to SQS
    else:
        pins = (ROOT / "constraints.txt").read_text().splitlines()
        constraints = ENVIRONMENTS / f"{version}.txt"
        ENVIRONMENTS.mkdir(exist_ok=True)
        constraints.write_text("\n".join(pin for pin in pins if not OF_ITS_OWN.match(pin)))
        airflow = [f"apache-airflow=={version}", f"apache-airflow-core=={version}"]
        airflow += [f"apache-airflow-task-sdk=={VERSIONS[version]}"]
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    wanted = [*airflow, "uv", "--editable", f"{ROOT}[dev]"]
    subprocess.run(
        [*uv, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, *wanted], check=True
    )
    (folder / "ready").touch()
    return python


def main(versions: list[str]) -> int:
    """Run all parts on these versions, or on every one, print a table, and return the exit code."""
    known = [*VERSIONS, *MANAGED]
    unknown = set(versions).difference(known)
    if unknown:
        print(f"No such version here: {', '.join(sorted(unknown))}. There are: {', '.join(known)}")
        return 2
    lines, code = [], 0
    for version in versions or known:
        print(f"Airflow {version}: the environment", flush=True)
        python = environment(version)
        for part, chosen in (PARTS_OF_MANAGED if version in MANAGED else PARTS).items():
            print(f"Airflow {version}: {part}", flush=True)
            command = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *chosen]
            done = subprocess.run(command, cwd=ROOT, env={**os.environ, "COLUMNS": "120"}, check=False)
            lines.append(f"{version:<13}  {part:<20}  {'passed' if done.returncode == 0 else 'FAILED'}")
            code = code or done.returncode
    print("\n".join(["", *lines]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
