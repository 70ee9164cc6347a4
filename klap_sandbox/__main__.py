"""The command line: ``python -m klap_sandbox --help``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from klap_sandbox.app import make_app
from klap_sandbox.desk import Desk
from klap_sandbox.ffmpeg import Ffmpeg
from klap_sandbox.render import FfmpegStudio
from klap_sandbox.server import HOST, listen, serve
from klap_sandbox.source import SAMPLE_PATH, SampleVideo
from klap_sandbox.studio import StandInStudio


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m klap_sandbox",
        description="A local Klap: the same API on 127.0.0.1, real clips, no account. Any API key will do.",
    )
    parser.add_argument("--port", type=int, default=8899, help="0 = any free port (default: %(default)s)")
    parser.add_argument(
        "--task-seconds",
        type=_seconds,
        default=5.0,
        metavar="S",
        help="least time a task takes (default: %(default)s)",
    )
    parser.add_argument(
        "--export-seconds",
        type=_seconds,
        default=3.0,
        metavar="S",
        help="least time an export takes (default: %(default)s)",
    )
    parser.add_argument(
        "--no-render",
        action="store_true",
        help="fetch no sources and make no clips: every export is the same tiny MP4, at once",
    )
    parser.add_argument("--verbose", action="store_true", help="log every request")
    return parser.parse_args()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


def main() -> None:
    """Run the sandbox until SIGINT or SIGTERM."""
    options = _arguments()
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, lambda *_: sys.exit(0))
    try:
        listener = listen(options.port)
    except OSError as problem:
        sys.exit(f"Port {options.port} of {HOST} cannot be used: {problem.strerror}. Choose another with --port.")
    root = f"http://{HOST}:{listener.getsockname()[1]}"

    def announce() -> None:
        print(f"Klap sandbox: {root}/v2  (sample video: {root}{SAMPLE_PATH})", flush=True)

    with tempfile.TemporaryDirectory(prefix="klap-sandbox-") as name:
        folder, ffmpeg = Path(name), Ffmpeg()
        sample = SampleVideo(folder, ffmpeg, listener.getsockname()[1])
        studio = (StandInStudio if options.no_render else FfmpegStudio)(folder, ffmpeg, sample)
        desk = Desk(studio, task_seconds=options.task_seconds, export_seconds=options.export_seconds)
        serve(make_app(desk, sample), listener, verbose=options.verbose, on_start=announce)


if __name__ == "__main__":
    main()
