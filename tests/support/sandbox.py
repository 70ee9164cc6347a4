"""A sandbox for tests: a process of ``python -m klap_sandbox`` on a free port."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

from klap_sandbox.process import SandboxProcess

REPOSITORY = Path(__file__).resolve().parents[2]


class Sandbox(SandboxProcess):
    """A running sandbox. Use as a context manager.

    :param render: make real clips (slow) instead of one small MP4 for all exports.
    :param port: its port; 0 = a free one.
    :param https: file for the certificate; None = serve http.
    :param strict: refuse what Klap's docs do not name.
    :param keep: the folder for its jobs; None = they are not kept.
    :param settings: settings of :mod:`klap_sandbox.settings`. By default, jobs take no time.
    """

    api_key = "kak_test"

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
        options = ["--port", str(port)]
        for name, value in {"task_seconds": 0, "export_seconds": 0, **settings}.items():
            options += [f"--{name.replace('_', '-')}", str(value)]
        options += ["--strict"] if strict else []
        options += [] if render else ["--no-render"]
        options += ["--keep", str(keep)] if keep else []
        super().__init__(*options, certificate=https)
        self._verify = str(https) if https else True

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send an API request with a key.

        :param more: arguments for requests.
        """
        headers = {"Authorization": f"Bearer {self.api_key}", **more.pop("headers", {})}
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

    def reset(self, task_seconds: float = 0, export_seconds: float = 0, **settings: Any) -> None:
        """Delete everything, and restore the initial settings with these changes."""
        super().reset(task_seconds=task_seconds, export_seconds=export_seconds, **settings)

    def user(self) -> str:
        """Create a managed user, and return the id."""
        return str(self.call("POST", "/users", json={}).json()["id"])
