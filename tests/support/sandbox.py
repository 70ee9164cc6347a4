"""A sandbox for tests: ``python -m klap_sandbox`` as a process of its own, on a free port."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

REPOSITORY = Path(__file__).resolve().parents[2]


class Sandbox:
    """A running sandbox; a context manager that ends it.

    :param render: make real clips (slow) instead of serving the same tiny MP4 for every export.
    :param port: 0 = a free one.
    :param https: where to write the certificate, if it is to serve https.
    :param strict: refuse whatever Klap's docs do not name, so that no client of ours sends it.
    :param keep: the folder that it keeps its jobs in, if it is to keep them.
    :param settings: more of :mod:`klap_sandbox.settings`. Jobs take no time unless told to.
    """

    def __init__(
        self,
        *,
        render: bool = False,
        port: int = 0,
        https: Path | None = None,
        strict: bool = True,
        keep: Path | None = None,
        **settings: Any,
    ) -> None:
        command = [sys.executable, "-m", "klap_sandbox", "--port", str(port)]
        for name, value in {"task_seconds": 0, "export_seconds": 0, **settings}.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        command += ["--strict"] if strict else []
        command += [] if render else ["--no-render"]
        command += ["--https", str(https)] if https else []
        command += ["--keep", str(keep)] if keep else []
        self._verify = str(https) if https else True
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,  # where Python finds klap_sandbox
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        address = re.search(r"https?://\S+/v2", line)
        if address is None:
            self.stop()
            raise RuntimeError(f"The sandbox did not start; exit code {self.process.returncode}, it said {line!r}.")
        self.url = address[0]
        self.root = self.url.removesuffix("/v2")

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def sample(self) -> str:
        """URL of the sandbox's own sample video."""
        return f"{self.root}/sample.mp4"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send one API request with a key; ``more`` goes to requests."""
        headers = {"Authorization": "Bearer kak_test", **more.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=10, verify=self._verify, **more)

    def outcome(self, path: str, seconds: float = 60, **more: Any) -> dict[str, Any]:
        """Look at a task or export until it is no longer processing; ``more`` goes to requests."""
        deadline = time.monotonic() + seconds
        while (job := self.call("GET", path, **more).json())["status"] == "processing":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is still processing after {seconds} s.")
            time.sleep(0.1)
        return dict(job)

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The accepted paid POSTs, oldest first; ``kind`` is "task" or "export"."""
        return [entry for entry in self._control("GET", "ledger") if kind in (None, entry["kind"])]

    def requests(self, method: str | None = None, path: str | None = None) -> list[dict[str, Any]]:
        """The requests that came, oldest first; ``path`` is a regular expression on the path without /v2."""
        return [
            entry
            for entry in self._control("GET", "requests")
            if method in (None, entry["method"]) and (path is None or re.search(path, entry["path"]))
        ]

    def fault(self, method: str, path: str, action: str, times: int | None = 1, **more: Any) -> None:
        """Order a fault; see :mod:`klap_sandbox.faults` for the actions and what ``more`` they take."""
        fault = {"method": method, "path": path, "action": action, "times": times, **more}
        self._control("POST", "faults", [fault])

    def behave(self) -> None:
        """Take all orders of faults back. Jobs keep the fate that they were given."""
        self._control("DELETE", "faults")

    def reset(self, task_seconds: float = 0, export_seconds: float = 0, **settings: Any) -> None:
        """Forget everything, and be as at the start but for the times and these settings."""
        self._control("POST", "reset", {"task_seconds": task_seconds, "export_seconds": export_seconds, **settings})

    def set(self, **settings: Any) -> None:
        """Change settings from now on."""
        self._control("POST", "settings", settings)

    def user(self) -> str:
        """Make a managed user and return their id."""
        return str(self.call("POST", "/users", json={}).json()["id"])

    def stop(self) -> None:
        """End the process; does nothing if it has ended."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def _control(self, method: str, name: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.root}/_sandbox/{name}", json=body, timeout=10, verify=self._verify)
        if not answer.ok:
            raise ValueError(f"{method} /_sandbox/{name}: HTTP {answer.status_code} {answer.text}")
        return answer.json()
