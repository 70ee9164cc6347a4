"""
``make test-system``: run example Dags with the real Klap, which bills them.

The tests in ``tests/`` may use this machine only, so this suite is collected without ``tests/conftest.py``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

NEEDED = """\
KLAP_API_KEY and VIDEO_URL are not set, so all tests are skipped. To run them:
  make test-system KLAP_API_KEY=kak_… VIDEO_URL=https://…
Use a short video with speech that Klap can download. KLAP_API_URL replaces Klap's own base URL."""


def main() -> int:
    """Print the cost of the tests, ask for confirmation, run them, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="klap-system-tests-") as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        import pytest

        from tests.system.test_example_dags import MAX_COST, SETTINGS

        if all(SETTINGS.values()):
            print(f"Klap bills {MAX_COST} at most.", flush=True)
            if not is_approved():
                print("Nothing was paid.")
                return 1
        else:
            print(NEEDED)
        return pytest.main([str(HERE), "-m", "system", "--confcutdir", str(HERE), "--exitfirst"])


def is_approved() -> bool:
    """Return whether the user agrees to pay: with ``YES=1``, or on the terminal."""
    if os.environ.get("YES", "").strip() == "1":
        return True
    if not sys.stdin.isatty():
        print("There is no terminal to ask on. To run without a question: make test-system YES=1")
        return False
    print("Type yes to run the tests: ", end="", flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


if __name__ == "__main__":
    sys.exit(main())
