"""The command line: ``python -m klap_sandbox --help``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from klap_sandbox.app import make_app
from klap_sandbox.certificate import make_certificate
from klap_sandbox.desk import Desk
from klap_sandbox.ffmpeg import Ffmpeg
from klap_sandbox.render import FfmpegStudio
from klap_sandbox.server import HOST, Tls, listen, serve
from klap_sandbox.settings import Settings
from klap_sandbox.shelf import Shelf
from klap_sandbox.source import SAMPLE_PATH, SampleVideo
from klap_sandbox.studio import StandInStudio

if TYPE_CHECKING:
    from klap_sandbox.studio import Studio


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m klap_sandbox",
        description="A local Klap: the same API on 127.0.0.1, real clips, no account. Any API key will do.",
        epilog="What was paid is in GET /_sandbox/ledger, what was asked in GET /_sandbox/requests; "
        "POST /_sandbox/settings changes what 'Klap as it may be' lists, POST /_sandbox/faults orders misbehaviour. "
        "docs/reference/sandbox.md says more.",
    )
    parser.add_argument("--port", type=_port, default=8899, help="0 = any free port (default: %(default)s)")
    parser.add_argument(
        "--https",
        type=_new_file,
        metavar="FILE",
        help="serve https, with a certificate that is made anew and written to this file, for clients to trust",
    )
    parser.add_argument(
        "--no-render",
        action="store_true",
        help="fetch no sources and make no clips: every export is the same tiny MP4, at once",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep jobs and finished clips in this folder, and continue with those that are there",
    )
    parser.add_argument("--verbose", action="store_true", help="log every request")
    switches = parser.add_argument_group("Klap as it may be")
    for name, setting in Settings.model_fields.items():
        switch, words = f"--{name.replace('_', '-')}", f"{setting.description} (default: {setting.default})"
        how: dict[str, Any] = {"metavar": "S"}
        if isinstance(setting.default, bool):
            how = {"action": "store_true"}
        elif choices := get_args(setting.annotation):
            how = {"choices": choices, "type": type(choices[0])}
        switches.add_argument(switch, dest=name, default=argparse.SUPPRESS, help=words, **how)
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 0 to 65535")
    return int(text)


def _new_file(text: str) -> Path:
    try:
        Path(text).touch()
    except OSError as problem:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {problem.strerror}") from None
    return Path(text)


def main(arguments: list[str] | None = None) -> None:
    """Run the sandbox until SIGINT or SIGTERM.

    :param arguments: instead of those of the command line.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = Settings.model_validate({k: v for k, v in vars(options).items() if k in Settings.model_fields})
    except ValidationError as problem:
        wrong = problem.errors()[0]
        parser.error(f"argument --{str(wrong['loc'][0]).replace('_', '-')}: {wrong['input']}: {wrong['msg']}")
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, lambda *_: sys.exit(0))
    try:
        listener = listen(options.port)
    except OSError as problem:
        sys.exit(f"Port {options.port} of {HOST} cannot be used: {problem.strerror}. Choose another with --port.")
    root = f"{'https' if options.https else 'http'}://{HOST}:{listener.getsockname()[1]}"

    def announce() -> None:
        print(f"Klap sandbox: {root}/v2  (sample video: {root}{SAMPLE_PATH})", flush=True)

    with tempfile.TemporaryDirectory(prefix="klap-sandbox-") as name:
        folder, ffmpeg = Path(name), Ffmpeg()
        tls = None
        if options.https:
            tls = Tls(certificate=options.https, key=folder / "key.pem")
            make_certificate(HOST, tls.certificate, tls.key)
        sample = SampleVideo(folder, ffmpeg, listener.getsockname()[1])
        shelf = Shelf(options.keep) if options.keep else None
        studio: Studio = (
            StandInStudio(shelf.clips if shelf else folder, ffmpeg, sample)
            if options.no_render
            else FfmpegStudio(folder, ffmpeg, sample, clips=shelf.clips if shelf else None)
        )
        app = make_app(Desk(studio, settings, shelf), sample)
        serve(app, listener, tls, verbose=options.verbose, on_start=announce)


if __name__ == "__main__":
    main()
