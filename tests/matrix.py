"""
``make test-matrix``: run the tests that depend on Airflow with each supported version, in its own environment.

``managed-3.3.1``, which is ``make test-managed``, is a managed service: its versions of everything, and its shape.

``lowest`` has the lowest versions that pyproject.toml allows. It is not part of ``make test-matrix``.

``--pythons``, which is ``make test-pythons``: the unit tests on each supported Python that this machine has. Versions
behind it replace the Airflow of ``make test``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".matrix"

#: Airflow, and the task SDK that goes with it. The first one is the lowest that pyproject.toml allows.
VERSIONS = {"3.3.0": "1.3.0", "3.3.1": "1.3.1", "3.3.2": "1.3.2", "3.4.0b2": "1.4.0b2"}

#: The newest Airflow, and the first Python that it supports.
NEWEST, ITS_PYTHON = "3.4.0b2", "3.11"

#: What the image of a managed service has.
MANAGED = {"managed-3.3.1": ROOT / "tests" / "data" / "managed-3.3.1.txt"}

#: Packages that constraints.txt pins for one Airflow version, and another version needs in other versions.
OF_ITS_OWN = re.compile(r"(apache-airflow(-core|-task-sdk)?|aiosqlite)==")

#: The Airflow of constraints.txt, on which ``make test`` runs.
(TESTED,) = re.findall(r"^apache-airflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

#: Supported versions of Python, and the version that runs this.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Where pyenv has its Pythons; not all of them are on the PATH.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"

#: Try a test of a whole Airflow once more if it ran out of time, see pyproject.toml.
RETRY_LATE = ["--reruns", "1"]

#: The unit and integration tests; a whole Airflow with every Dag; and on it, what is paid whatever changes.
PARTS = {
    "unit and integration": ["tests/unit", "tests/integration", "tests/upstream", "--numprocesses", "4"],
    "main path": ["tests/e2e/test_main_path.py", *RETRY_LATE],
    "paid once": [
        "-m",
        "chaos",
        "tests/e2e/chaos/test_changes.py",
        "tests/e2e/chaos/test_user_actions.py",
        *RETRY_LATE,
    ],
}

#: On the versions of a managed service; and a whole Airflow of its shape.
PARTS_OF_MANAGED = {
    "unit and integration": PARTS["unit and integration"],
    "Celery over SQS": ["-m", "managed", "tests/e2e/test_managed.py", *RETRY_LATE],
}

UNIT = {"unit": ["tests/unit", "--numprocesses", "4"]}

#: The lowest versions that pyproject.toml allows.
LOWEST = "lowest"
PARTS_OF_LOWEST = {
    "unit": ["tests/unit", "--numprocesses", "4"],
    "hook, operators, triggers": [f"tests/integration/test_{name}.py" for name in ("hook", "operators", "triggers")],
}


def environment(version: str, python: str, name: str = "") -> Path:
    """
    Return the Python of an environment with this Airflow and the project.

    :param python: the Python to make it with.
    :param name: name of the environment. Default: the version.
    """
    if version == LOWEST:
        return installed(LOWEST, python, "--constraint", str(lowest_versions(python)))
    if version in MANAGED:  # without pycurl, Celery does not speak to SQS
        return installed(version, python, "pycurl", "--constraint", str(MANAGED[version]))
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = ENVIRONMENTS / f"{version}.txt"
    ENVIRONMENTS.mkdir(exist_ok=True)
    constraints.write_text("\n".join(pin for pin in pins if not OF_ITS_OWN.match(pin)))
    airflow = [f"apache-airflow=={version}", f"apache-airflow-core=={version}"]
    airflow += [f"apache-airflow-task-sdk=={VERSIONS[version]}"]
    return installed(name or version, python, *airflow, "--constraint", str(constraints))


def lowest_versions(python: str) -> Path:
    """Return a file with the lowest versions of the direct dependencies that pyproject.toml and Airflow allow."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--python",
        python,
        "--no-header",
        "--no-annotate",
    ]
    command += [
        "--resolution",
        "lowest-direct",
        "--extra",
        "s3",
        "--extra",
        "openlineage",
        str(ROOT / "pyproject.toml"),
    ]
    pins = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    direct = set(re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    found = ENVIRONMENTS / f"{LOWEST}.txt"
    ENVIRONMENTS.mkdir(exist_ok=True)
    lowest = [pin for pin in pins if pin.startswith("apache-airflow") or pin.partition("==")[0] in direct]
    found.write_text("\n".join(lowest))
    return found


def installed(name: str, python: str, *packages: str) -> Path:
    """
    Return the Python of an environment with the project, made unless it is there and as new as its requirements.

    :param packages: more packages, and options of ``uv pip install``.
    """
    folder = ENVIRONMENTS / name
    ready, found = folder / "ready", folder / "bin" / "python"
    asked = max((ROOT / file).stat().st_mtime for file in ("pyproject.toml", "constraints.txt"))
    if ready.exists() and ready.stat().st_mtime >= asked:
        return found
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", python, folder], check=True)
    wanted = [
        *packages,
        "uv",
        "--editable",
        f"{ROOT}[s3,openlineage,feeds]",
        "--group",
        f"{ROOT / 'pyproject.toml'}:dev",
    ]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", found, *wanted], check=True)
    ready.touch()
    return found


def found_python(version: str) -> str | None:
    """Return the path of a Python of this version: one of uv's, one on the PATH or one of pyenv's."""
    of_pyenv = sorted(PYENV.glob(f"{version}.*/bin/python"), key=lambda path: path.parts[-3])
    command = [sys.executable, "-m", "uv", "python", "find", "--no-project", "--no-python-downloads"]
    for candidate in (version, *map(str, reversed(of_pyenv))):
        done = subprocess.run([*command, candidate], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def run(name: str, python: Path, parts: Mapping[str, Sequence[str]]) -> list[tuple[str, str, str]]:
    """Run parts of the tests in an environment, and return a line of the table for each."""
    lines = []
    for part, chosen in parts.items():
        print(f"{name}: {part}", flush=True)
        command = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *chosen]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "COLUMNS": "120"}, check=False)
        lines.append((name, part, "passed" if done.returncode == 0 else "FAILED"))
    return lines


def supports(airflow: str, python: str) -> bool:
    """Return whether an Airflow can be installed on a Python, such as ``3.10``."""
    minor, needed = (int(each.partition(".")[2]) for each in (python, ITS_PYTHON))
    return airflow != NEWEST or minor >= needed


def python_for(airflow: str) -> str | None:
    """Return the path of a Python for an Airflow: this one, or else the first supported one that is found."""
    if supports(airflow, THIS_PYTHON):
        return sys.executable
    return next(filter(None, (found_python(each) for each in PYTHONS if supports(airflow, each))), None)


def on_airflows(versions: Sequence[str]) -> list[tuple[str, str, str]]:
    """Run all parts on these versions of Airflow."""
    lines = []
    for version in versions:
        name = f"Airflow {version}"
        if (python := python_for(version)) is None:
            lines.append((name, "", f"needs Python {ITS_PYTHON}, which was not found: not tested"))
            continue
        print(f"{name}: the environment, with {python}", flush=True)
        parts = PARTS_OF_MANAGED if version in MANAGED else PARTS_OF_LOWEST if version == LOWEST else PARTS
        lines += run(name, environment(version, python), parts)
    return lines


def on_pythons(airflows: Sequence[str]) -> list[tuple[str, str, str]]:
    """Run the unit tests on the supported versions of Python, with these versions of Airflow."""
    lines = []
    for version in PYTHONS:
        python = sys.executable if version == THIS_PYTHON else found_python(version)
        if python is None:
            lines.append((f"Python {version}", "", "not found on this machine: not tested"))
            continue
        for airflow in airflows:
            name = f"Python {version}, {airflow}"
            if not supports(airflow, version):
                lines.append((name, "", f"this Airflow needs Python {ITS_PYTHON}"))
            elif (version, airflow) == (THIS_PYTHON, TESTED):
                lines.append((name, "", "is the one of make test"))
            else:
                print(f"{name}: the environment, with {python}", flush=True)
                lines += run(name, environment(airflow, python, f"python-{version}-{airflow}"), UNIT)
    return lines


def main(versions: list[str]) -> int:
    """Run all parts on these versions, or on every one, print a table, and return the exit code."""
    on_each_python = versions[:1] == ["--pythons"]
    versions = versions[on_each_python:]
    known = [*VERSIONS, *(() if on_each_python else (*MANAGED, LOWEST))]
    unknown = set(versions).difference(known)
    if unknown:
        print(f"No such version here: {', '.join(sorted(unknown))}. There are: {', '.join(known)}")
        return 2
    lines = on_pythons(versions or [TESTED]) if on_each_python else on_airflows(versions or [*VERSIONS, *MANAGED])
    print("\n".join(["", *(f"{name:<21}  {part:<20}  {end}" for name, part, end in lines)]))
    return int(any(end == "FAILED" for _, _, end in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
