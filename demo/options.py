"""The options of the demo commands: environment variables, checked before anything starts."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo.airflow import port_error
from demo.state import CLUSTER, DEMO, FOLDERS, KLAP, ROOT, SANDBOX, DemoError, airflow_url
from klap_provider.api.addresses import DEFAULT_API_URL, host_of, require_reachable
from klap_provider.api.requests import VideoRequest, build_request
from klap_provider.errors import KlapError
from klap_provider.hooks.connection import KlapConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

DAG_ID = "klap_generate_shorts"
#: The port of Airflow's UI with ``make up`` and ``make cluster``.
PORT = 8080
#: The parameter that a Dag must have for ``make demo``.
VIDEO_PARAM = "source_video_url"

YOUTUBE = ("youtube.com", "youtu.be", "youtube-nocookie.com")

LIST_DAGS = f"""
import json, pathlib, sys
from airflow.dag_processing.dagbag import DagBag
folder = pathlib.Path(sys.argv[1])
found = DagBag(folder, bundle_path=folder)
dags = {{dag_id: {VIDEO_PARAM!r} in dag.params for dag_id, dag in found.dags.items()}}
errors = {{str(file): error.strip().rpartition("\\n")[2] for file, error in found.import_errors.items()}}
json.dump({{"dags": dags, "errors": errors}}, open(sys.argv[2], "w"))
"""


@dataclass(frozen=True)
class Options:
    """
    Options of a command.

    :param command: ``demo``, ``up`` or ``cluster``.
    :param api_key: the API key of a Klap account; None = use the sandbox.
    :param video_url: the source video; None = the sandbox's sample.
    :param dag_id: the Dag that ``demo`` runs.
    :param port: the port of Airflow's UI; None = a free one.
    """

    command: str
    api_key: str | None = None
    video_url: str | None = None
    dag_id: str = DAG_ID
    port: int | None = None

    @classmethod
    def read(cls, command: str, environ: Mapping[str, str]) -> Options:
        """
        Read and check the environment variables.

        :raises DemoError: a variable is invalid.
        """
        # An empty variable counts as not set.
        values = {name: environ.get(name, "").strip() or None for name in ("KLAP_API_KEY", "VIDEO_URL", "DAG", "PORT")}
        api_key, video_url = values["KLAP_API_KEY"], values["VIDEO_URL"]
        if api_key:
            _check_key(command, api_key)
        if command == "demo":
            if video_url:
                _check_video(video_url, sandbox=api_key is None)
            elif api_key:
                raise DemoError(
                    "KLAP_API_KEY is set, so this uses the real Klap, which bills you. Set the video: "
                    "make demo VIDEO_URL=https://…\nTo use the sandbox instead: make demo KLAP_API_KEY="
                )
            if values["DAG"]:
                check_dag(values["DAG"], ROOT / "dags")
        return cls(
            command,
            api_key=api_key,
            video_url=video_url,
            dag_id=values["DAG"] or DAG_ID,
            port=None if command == "demo" else _port(values["PORT"]),
        )

    @property
    def folder(self) -> str:
        """The folder that the command uses, one of :data:`~demo.state.FOLDERS`."""
        if self.command == "cluster":
            return CLUSTER
        if self.api_key:
            return KLAP
        return SANDBOX if self.command == "up" else DEMO

    @property
    def keeps_state(self) -> bool:
        """Whether the folder is kept for the next start."""
        return self.folder in (SANDBOX, KLAP)

    def require_free_port(self) -> None:
        """
        Check that the port is free.

        :raises DemoError: it is in use, or cannot be used.
        """
        if self.port is None:
            return
        other = f"Set another port, such as: make {self.command} PORT={self.port + 1 if self.port < 65535 else PORT}"
        for folder in FOLDERS:
            url = None if folder == self.folder else airflow_url(folder)
            if url and url.endswith(f":{self.port}"):
                raise DemoError(f"Port {self.port} is used by the Airflow at {url}. {other}")
        if problem := port_error(self.port):
            in_use = problem.errno == errno.EADDRINUSE
            why = "is used by another program" if in_use else f"cannot be used ({problem.strerror})"
            raise DemoError(f"Port {self.port} {why}. {other}")


@dataclass
class _Connection:
    """An Airflow connection with the API key, for :class:`KlapConnection` to check."""

    password: str | None
    conn_type: str | None = "klap"
    host: str | None = None
    schema: str | None = None
    port: int | None = None
    extra: str | None = None


def _check_key(command: str, api_key: str) -> None:
    if command == "cluster":
        raise DemoError(
            "make cluster deletes its data when it stops, so it refuses KLAP_API_KEY: paid shorts would be lost. "
            "To use the sandbox: make cluster KLAP_API_KEY=\nTo use the real Klap: make up"
        )
    try:
        KlapConnection.read("klap_default", _Connection(api_key))
    except KlapError as problem:
        raise DemoError(f"KLAP_API_KEY cannot be used. {problem}") from None


def _check_video(video_url: str, *, sandbox: bool) -> None:
    try:
        build_request(VideoRequest, {VIDEO_PARAM: video_url})
        if not sandbox:
            require_reachable(VIDEO_PARAM, video_url, api_url=DEFAULT_API_URL)
    except KlapError as problem:
        raise DemoError(f"VIDEO_URL cannot be used. {problem}") from None
    if not video_url.lower().startswith(("http://", "https://")):
        raise DemoError(
            "VIDEO_URL must be an http(s) address, as make demo has no connection to object storage. "
            "Run make up, add a connection, and trigger the Dag."
        )
    host = host_of(video_url)
    if sandbox and any(host == name or host.endswith(f".{name}") for name in YOUTUBE):
        raise DemoError(
            "VIDEO_URL is a YouTube page, which the sandbox cannot fetch. Set the address of a video file, or use the "
            f"real Klap, which bills you: make demo VIDEO_URL='{video_url}' KLAP_API_KEY=…"
        )


def check_dag(dag_id: str, dags: Path) -> None:
    """
    Check that ``make demo`` can run a Dag.

    :raises DemoError: the Dag does not exist, or has no parameter for a video.
    """
    print(f"Reading the Dag {dag_id} …", flush=True)
    with tempfile.TemporaryDirectory(prefix="klap-demo-") as home:
        # In another process: when Airflow is imported, it writes configuration and logs to its home.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        answer = Path(home) / "dags.json"
        command = [sys.executable, "-c", LIST_DAGS, str(dags), str(answer)]
        environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        subprocess.run(command, env=environ, capture_output=True, cwd=home, check=False)
        read = json.loads(answer.read_text()) if answer.exists() else {"dags": {}, "errors": {}}
    found: dict[str, bool] = read["dags"]
    if found.get(dag_id):
        return
    why = f"has no parameter {VIDEO_PARAM}, which make demo sets" if dag_id in found else f"is not in {dags}"
    usable = ", ".join(sorted(name for name, has_video in found.items() if has_video))
    broken = "".join(f"\n{file} cannot be imported: {error}" for file, error in read["errors"].items())
    raise DemoError(f"DAG cannot be used: {dag_id} {why}. Set one of: {usable or '(none could be read)'}.{broken}")


def _port(text: str | None) -> int:
    if text is None:
        return PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise DemoError(f"PORT must be a number from 1 to 65535, not {text}. Without PORT, {PORT} is used.")
    return int(text)
