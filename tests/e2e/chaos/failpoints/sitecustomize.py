"""
Kills a worker at a chosen moment; on the path of the chaos tests' Airflow alone.

A moment is armed by a file ``<kind>.<moment>`` in the folder that ``KLAP_FAILPOINTS`` names, and goes off once:

- ``task`` and ``export``, around the paid POST: ``before_post``, ``during_post`` (a second into it), ``after_answer``
  (before the id is recorded) and ``after_record`` (before the XCom is written);
- ``download``: ``midway``, with half of a video written.

As long as there is a file ``<kind>.hold``, a worker waits before its POST, and says so with ``<kind>.held``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from klap_provider.files import download
from klap_provider.rules import polling, submitter
from klap_provider.rules.submitter import Submitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.rules.ledger import Submission

FOLDER = Path(os.environ["KLAP_FAILPOINTS"])

#: Instead of two minutes: long enough for some looks at a status word that is not known.
polling.UNKNOWN_GRACE = 8.0

#: Instead of a minute and three, and with the short timeouts of the chaos tests' connection.
submitter.SEND_WITHIN, submitter.SETTLE = 12.0, 3.0

post_once, submit, fetch = Submitter._post, Submitter.submit, download.download


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def armed(kind: str, moment: str) -> bool:
    try:
        (FOLDER / f"{kind}.{moment}").unlink()
    except FileNotFoundError:
        return False
    return True


def hold(kind: str) -> None:
    while (FOLDER / f"{kind}.hold").exists():
        (FOLDER / f"{kind}.held").touch()
        time.sleep(0.1)


def _kind(submitter: Submitter) -> str:
    return "task" if submitter.list_jobs is None else "export"


def _post(self: Submitter, *args: Any, **kwargs: Any) -> Submission:
    kind = _kind(self)

    def prepare(paid: int) -> Callable[[float], str]:
        send = self.prepare(paid)

        def post(until: float) -> str:
            hold(kind)
            if armed(kind, "before_post"):
                die()
            if armed(kind, "during_post"):
                threading.Timer(1, die).start()
            job_id = send(until)
            if armed(kind, "after_answer"):
                die()
            return job_id

        return post

    return post_once(replace(self, prepare=prepare), *args, **kwargs)


def _submit(self: Submitter, *args: Any, **kwargs: Any) -> tuple[Submission, bool]:
    submission = submit(self, *args, **kwargs)
    if armed(_kind(self), "after_record"):
        die()
    return submission


class _LastWrite:
    def __init__(self, sink: IO[bytes]) -> None:
        self.sink = sink

    def write(self, data: bytes) -> None:
        self.sink.write(data[: len(data) // 2])
        self.sink.flush()
        die()


def _download(url: str, sink: Any, limits: download.Limits) -> download.Fetched:
    return fetch(url, _LastWrite(sink) if armed("download", "midway") else sink, limits)


Submitter._post = _post  # type: ignore[method-assign]  # what a failpoint is
Submitter.submit = _submit  # type: ignore[method-assign]  # likewise
download.download = _download
