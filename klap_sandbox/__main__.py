"""The command line: ``python -m klap_sandbox --help``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from klap_sandbox.app import make_app
from klap_sandbox.ffmpeg import Ffmpeg, find_ffmpeg
from klap_sandbox.persistence import JobFolder
from klap_sandbox.rendering import FfmpegRenderer, Renderer
from klap_sandbox.server import HOST, listen, serve
from klap_sandbox.settings import Settings
from klap_sandbox.sources import SAMPLE_PATH, SampleVideo
from klap_sandbox.state import SandboxState

NO_FFMPEG = """\
ffmpeg was not found, so the sandbox makes no clips: every export is the same small MP4, as with --no-render.
For real clips, install the extra: klap-sandbox[rendering]"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="klap-sandbox",
        description="A local server with Klap's API: real clips, no account, any API key.",
        epilog="GET /_sandbox/ledger lists paid requests, GET /_sandbox/requests all requests. "
        "POST /_sandbox/settings changes the variants of behavior, POST /_sandbox/faults adds faults. "
        "See docs/reference/sandbox.md.",
    )
    parser.add_argument(
        "--host",
        default=HOST,
        help="IPv4 address or name of the interface; 0.0.0.0 = all interfaces, for other machines and containers, "
        "which can then make the sandbox fetch any URL (default: %(default)s)",
    )
    parser.add_argument("--port", type=_port, default=8899, help="0 = any free port (default: %(default)s)")
    parser.add_argument(
        "--https",
        type=_new_file,
        metavar="FILE",
        help="serve https, and write the certificate that clients have to trust to this file",
    )
    parser.add_argument(
        "--no-render",
        action="store_true",
        help="fetch no sources and make no clips: every export is the same small MP4",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep jobs and finished clips in this folder, and resume those of an earlier start",
    )
    parser.add_argument("--verbose", action="store_true", help="log each request")
    variants = parser.add_argument_group("variants of behavior")
    for name, setting in Settings.model_fields.items():
        options: dict[str, Any] = {"metavar": "S" if setting.annotation is float else "N"}
        if isinstance(setting.default, bool):
            options = {"action": "store_true"}
        elif get_origin(setting.annotation) is Literal:
            choices = get_args(setting.annotation)
            options = {"choices": choices, "type": type(choices[0])}
        text = f"{setting.description} (default: {setting.default})"
        variants.add_argument(f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS, help=text, **options)
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port from 0 to 65535")
    return int(text)


def _new_file(text: str) -> Path:
    try:
        Path(text).touch()
    except OSError as problem:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {problem.strerror}") from None
    return Path(text)


def _make_certificate(host: str, authority_file: Path, certificate_file: Path) -> None:
    """Write a certificate authority for clients to trust, and the server's key and certificate."""
    import trustme  # slow to import

    authority = trustme.CA()
    authority.cert_pem.write_to_path(authority_file)
    authority.issue_cert(host, HOST, "localhost").private_key_and_cert_chain_pem.write_to_path(certificate_file)


def main(arguments: list[str] | None = None) -> None:
    """Run the sandbox until SIGINT or SIGTERM.

    :param arguments: instead of those of the command line.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = Settings.model_validate({k: v for k, v in vars(options).items() if k in Settings.model_fields})
    except ValidationError as problem:
        error = problem.errors()[0]
        parser.error(f"argument --{str(error['loc'][0]).replace('_', '-')}: {error['input']}: {error['msg']}")
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: sys.exit(0))
    try:
        listener = listen(options.host, options.port)
    except OSError as problem:
        address = f"Port {options.port} of {options.host}"
        sys.exit(f"{address} cannot be used: {problem.strerror}. Set another one with --port or --host.")
    port = listener.getsockname()[1]
    root = f"{'https' if options.https else 'http'}://{options.host}:{port}"
    program = find_ffmpeg()
    if not program and not options.no_render:
        print(NO_FFMPEG, file=sys.stderr)

    def announce() -> None:
        print(f"Klap sandbox: {root}/v2  (sample video: {root}{SAMPLE_PATH})", flush=True)

    with tempfile.TemporaryDirectory(prefix="klap-sandbox-") as name:
        folder, ffmpeg = Path(name), Ffmpeg(program) if program else None
        certificate = folder / "server.pem" if options.https else None
        if certificate:
            _make_certificate(options.host, options.https, certificate)
        sample = SampleVideo(folder, ffmpeg, port)
        kept = JobFolder(options.keep) if options.keep else None
        renderer = (
            FfmpegRenderer(folder, ffmpeg, sample, clips=kept.clips if kept else None)
            if ffmpeg and not options.no_render
            else Renderer(sample)
        )
        app = make_app(SandboxState(renderer, settings, kept), sample)
        serve(app, listener, certificate, verbose=options.verbose, on_start=announce)


if __name__ == "__main__":
    main()
