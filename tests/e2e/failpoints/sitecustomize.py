"""
Kills a worker at a chosen moment of a paid submission; on the path of the chaos tests' Airflow alone.

A moment is armed by a file ``<kind>.<moment>`` in the folder that ``KLAP_FAILPOINTS`` names, and goes off once. Kinds
are ``task`` and ``export``; moments are ``before_post``, ``during_post`` (a second into it), ``after_answer`` (before
the id is recorded) and ``after_record`` (before the XCom is written).
"""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from klap_provider.submission import Submission, Submitter

FOLDER = Path(os.environ["KLAP_FAILPOINTS"])

post_once, submit = Submitter._post, Submitter.submit


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def armed(submitter: Submitter, moment: str) -> bool:
    kind = "task" if submitter.find_orphans is None else "export"
    try:
        (FOLDER / f"{kind}.{moment}").unlink()
    except FileNotFoundError:
        return False
    return True


def _post(self: Submitter, *args: Any) -> Submission:
    def post() -> str:
        if armed(self, "before_post"):
            die()
        if armed(self, "during_post"):
            threading.Timer(1, die).start()
        job_id = self.post()
        if armed(self, "after_answer"):
            die()
        return job_id

    return post_once(replace(self, post=post), *args)


def _submit(self: Submitter, *args: Any, **kwargs: Any) -> tuple[Submission, bool]:
    submission = submit(self, *args, **kwargs)
    if armed(self, "after_record"):
        die()
    return submission


Submitter._post = _post  # type: ignore[method-assign]
Submitter.submit = _submit  # type: ignore[method-assign]
