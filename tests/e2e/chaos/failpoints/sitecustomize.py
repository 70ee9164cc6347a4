"""
Kill or freeze a worker at a chosen moment. Only the Airflow of the chaos tests imports it.

A moment is armed by a file ``<kind>.<moment>`` in the folder that ``KLAP_FAILPOINTS`` names, and goes off once. If the
file says ``freeze``, the process is stopped, and ``<kind>.<moment>.frozen`` says on which machine; else it is killed.

- ``task`` and ``export``, around the paid POST: ``before_intent`` (it is about to be written), ``before_post``,
  ``before_body`` (the head of the request is sent), ``during_post`` (a second into it), ``after_answer`` (before the id
  is recorded) and ``after_record`` (before the XCom is written);
- ``download``: ``midway``, with half of a video written.

With ``KLAP_LINE``, ``klap.localhost`` is that address on this machine.

As long as there is a file ``<kind>.hold``, a worker waits before its POST, and creates ``<kind>.held``.

As long as there is a file ``now``, its time, in ISO 8601, decides which month it is for monthly limits.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from klap_provider.files import download
from klap_provider.hooks.deadline_adapter import DeadlineConnection
from klap_provider.operators import monthly_limit
from klap_provider.operators.submit_once import KlapJob
from klap_provider.rules import in_doubt, polling
from klap_provider.rules.idempotent_submit import IdempotentSubmit

if TYPE_CHECKING:
    from klap_provider.rules.attempt_log import Submission
    from klap_provider.rules.ledger import Attempt

FOLDER = Path(os.environ["KLAP_FAILPOINTS"])

#: Instead of two minutes: long enough for some polls with an unknown status.
polling.UNKNOWN_GRACE = 8.0

#: Instead of 30 s, two minutes and one minute. The connection of the chaos tests has short timeouts, too.
in_doubt.SEND_WITHIN, in_doubt.LATE_ARRIVAL, in_doubt.CLOCKS = 12.0, 3.0, 0.0

send, submit, attempt, fetch = KlapJob.send, IdempotentSubmit.submit, IdempotentSubmit._attempt, download.download
send_data = DeadlineConnection.send


look_up = socket.getaddrinfo
utc_now = monthly_limit.utc_now


def look_up_here(host: Any, *arguments: Any, **more: Any) -> Any:
    """Look up a host, or return the address of this machine's proxy to Klap."""
    return look_up(os.environ["KLAP_LINE"] if host == "klap.localhost" else host, *arguments, **more)


if "KLAP_LINE" in os.environ:
    socket.getaddrinfo = look_up_here


def strike(kind: str, moment: str) -> None:
    """Kill or freeze this process if the moment is armed."""
    file = FOLDER / f"{kind}.{moment}"
    mine = file.with_suffix(f".{moment}.{os.getpid()}")  # one of several workers is killed
    try:
        file.rename(mine)
    except FileNotFoundError:
        return
    freeze = mine.read_text() == "freeze"
    mine.unlink()
    if freeze:
        file.with_suffix(f".{moment}.frozen").write_text(os.environ["KLAP_MACHINE"])
    os.kill(os.getpid(), signal.SIGSTOP if freeze else signal.SIGKILL)


def hold(kind: str) -> None:
    order = FOLDER / f"{kind}.hold"
    if order.exists():
        (FOLDER / f"{kind}.held").touch()
    while order.exists():
        time.sleep(0.1)


def _kind(job: Any) -> str:
    return "export" if job.has_list else "task"


def _send_job(self: KlapJob, until: float) -> str:
    kind = _kind(self)
    hold(kind)
    strike(kind, "before_post")
    if (FOLDER / f"{kind}.during_post").exists():
        threading.Timer(1, strike, (kind, "during_post")).start()
    job_id = send(self, until)
    strike(kind, "after_answer")
    return job_id


def _submit(self: IdempotentSubmit) -> Submission:
    submission = submit(self)
    strike(_kind(self.job), "after_record")
    return submission


def _attempt(self: IdempotentSubmit, *args: Any) -> Attempt:
    strike(_kind(self.job), "before_intent")
    return attempt(self, *args)


def _send(self: DeadlineConnection, data: bytes) -> None:
    if not data.startswith(b"POST "):  # the head of the request
        strike("task" if b"source_video_url" in data else "export", "before_body")
    send_data(self, data)


class _HalfWrite:
    """Strikes after half of the data is written, if the moment is still armed."""

    def __init__(self, sink: IO[bytes]) -> None:
        self.sink = sink

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self.sink.write(data[:half])
        self.sink.flush()
        strike("download", "midway")
        self.sink.write(data[half:])


def _download(url: str, sink: Any, limits: download.Limits) -> download.Fetched:
    return fetch(url, _HalfWrite(sink) if (FOLDER / "download.midway").exists() else sink, limits)


def _utc_now() -> datetime:
    file = FOLDER / "now"
    return datetime.fromisoformat(file.read_text()) if file.exists() else utc_now()


KlapJob.send = _send_job  # type: ignore[method-assign]  # what a failpoint is
IdempotentSubmit.submit = _submit  # type: ignore[method-assign]  # likewise
IdempotentSubmit._attempt = _attempt  # type: ignore[method-assign]  # likewise
DeadlineConnection.send = _send  # type: ignore[method-assign]  # likewise
download.download = _download
monthly_limit.utc_now = _utc_now
