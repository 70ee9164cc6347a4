"""A sandbox as a process of its own, for tests in Python."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib import error, parse, request

if TYPE_CHECKING:
    from typing_extensions import Self

#: What makes jobs ready at once, without clips.
FAST = ("--no-render", "--task-seconds", "0", "--export-seconds", "0")
#: Python finds the package there.
_FOLDER = str(Path(__file__).resolve().parents[1])


class SandboxProcess:
    """A running sandbox. Use as a context manager.

    :param options: options of the command line. Without ``--port``, the sandbox takes a free one.
    :param certificate: the file of the option ``--https``; None = the sandbox serves http.
    :raises RuntimeError: it did not start.
    """

    api_key = "kak_sandbox"
    """an API key for clients; the sandbox accepts any"""
    url: str
    """base URL of the API, such as ``http://127.0.0.1:8899/v2``"""
    root: str
    """the same without ``/v2``"""

    def __init__(self, *options: str, certificate: Path | None = None) -> None:
        https = ["--https", str(certificate)] if certificate else []
        path = os.pathsep.join(filter(None, (_FOLDER, os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "klap_sandbox", "--port", "0", *https, *options],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        address = re.search(r"https?://\S+/v2", line)
        if address is None:
            self.stop()
            raise RuntimeError(f"The sandbox did not start; exit code {self.process.returncode}, output {line!r}.")
        self.url = address[0]
        self.root = self.url.removesuffix("/v2")
        tls = request.HTTPSHandler(context=ssl.create_default_context(cafile=certificate)) if certificate else None
        self._opener = request.build_opener(request.ProxyHandler({}), *filter(None, [tls]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def sample(self) -> str:
        """URL of the sandbox's own sample video."""
        return f"{self.root}/sample.mp4"

    def ledger(self, kind: str | None = None, *, key: str | None = None) -> list[dict[str, Any]]:
        """Return the accepted paid POSTs, oldest first.

        :param kind: ``task`` or ``export``; None = both.
        :param key: API key of the requests; None = any.
        """
        return [entry for entry in self._control("GET", "ledger", key=key) if kind in (None, entry["kind"])]

    def requests(
        self, method: str | None = None, path: str | None = None, *, key: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the received requests, oldest first.

        :param path: regular expression on the path without ``/v2``.
        :param key: API key of the requests; None = any.
        """
        return [
            entry
            for entry in self._control("GET", "requests", key=key)
            if method in (None, entry["method"]) and (path is None or re.search(path, entry["path"]))
        ]

    def fault(self, method: str, path: str, action: str, times: int | None = 1, **fields: Any) -> None:
        """Add a fault; see :mod:`klap_sandbox.faults` for the actions and their fields."""
        self._control("POST", "faults", [{"method": method, "path": path, "action": action, "times": times, **fields}])

    def clear_faults(self, *, key: str | None = None) -> None:
        """Delete all faults, or those for an API key. Those that jobs already have stay."""
        self._control("DELETE", "faults", key=key)

    def set(self, **settings: Any) -> None:
        """Change settings from now on."""
        self._control("POST", "settings", settings)

    def reset(self, **settings: Any) -> None:
        """Delete all jobs, records and faults, and restore the initial settings with these changes."""
        self._control("POST", "reset", settings)

    def stop(self) -> None:
        """End the process; do nothing if it has exited."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def _control(self, method: str, name: str, body: Any = None, *, key: str | None = None) -> Any:
        query = "" if key is None else f"?{parse.urlencode({'key': key})}"
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        call = request.Request(f"{self.root}/_sandbox/{name}{query}", content, headers, method=method)
        try:
            with self._opener.open(call, timeout=10) as response:
                return json.load(response)
        except error.HTTPError as problem:
            text = problem.read().decode()
            raise ValueError(f"{method} /_sandbox/{name}: HTTP {problem.code} {text}") from None
