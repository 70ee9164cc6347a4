"""A sandbox for tests: a process of ``python -m klap_sandbox`` on a free port."""

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
    """A running sandbox. Use as a context manager.

    :param render: make real clips (slow) instead of one small MP4 for all exports.
    :param port: its port; 0 = a free one.
    :param https: file for the certificate; None = serve http.
    :param strict: refuse what Klap's docs do not name.
    :param keep: the folder for its jobs; None = they are not kept.
    :param settings: settings of :mod:`klap_sandbox.settings`. By default, jobs take no time.
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
            raise RuntimeError(f"The sandbox did not start; exit code {self.process.returncode}, output {line!r}.")
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
        """Send an API request with a key.

        :param more: arguments for requests.
        """
        headers = {"Authorization": "Bearer kak_test", **more.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=10, verify=self._verify, **more)

    def outcome(self, path: str, seconds: float = 60, **more: Any) -> dict[str, Any]:
        """Poll a task or export until it is no longer processing, and return it.

        :param more: arguments for requests.
        """
        deadline = time.monotonic() + seconds
        while (job := self.call("GET", path, **more).json())["status"] == "processing":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is still processing after {seconds} s.")
            time.sleep(0.1)
        return dict(job)

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the accepted paid POSTs, oldest first.

        :param kind: ``task`` or ``export``; None = both.
        """
        return [entry for entry in self._control("GET", "ledger") if kind in (None, entry["kind"])]

    def requests(self, method: str | None = None, path: str | None = None) -> list[dict[str, Any]]:
        """Return the received requests, oldest first.

        :param path: regular expression on the path without ``/v2``.
        """
        return [
            entry
            for entry in self._control("GET", "requests")
            if method in (None, entry["method"]) and (path is None or re.search(path, entry["path"]))
        ]

    def fault(self, method: str, path: str, action: str, times: int | None = 1, **more: Any) -> None:
        """Add a fault; see :mod:`klap_sandbox.faults` for the actions and their fields."""
        fault = {"method": method, "path": path, "action": action, "times": times, **more}
        self._control("POST", "faults", [fault])

    def clear_faults(self) -> None:
        """Delete all faults. Those that jobs already have stay."""
        self._control("DELETE", "faults")

    def reset(self, task_seconds: float = 0, export_seconds: float = 0, **settings: Any) -> None:
        """Delete everything, and restore the initial settings with these changes."""
        self._control("POST", "reset", {"task_seconds": task_seconds, "export_seconds": export_seconds, **settings})

    def set(self, **settings: Any) -> None:
        """Change settings from now on."""
        self._control("POST", "settings", settings)

    def user(self) -> str:
        """Create a managed user, and return the id."""
        return str(self.call("POST", "/users", json={}).json()["id"])

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

    def _control(self, method: str, name: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.root}/_sandbox/{name}", json=body, timeout=10, verify=self._verify)
        if not answer.ok:
            raise ValueError(f"{method} /_sandbox/{name}: HTTP {answer.status_code} {answer.text}")
        return answer.json()
