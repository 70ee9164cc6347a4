"""The shared servers of a cluster, as processes on this machine: PostgreSQL, Redis and S3."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from demo.airflow import Service, free_ports, kill_group

#: Credentials for moto, which accepts any.
ACCESS_KEY, SECRET_KEY = "AKIAKLAPTESTS", "an-s3-secret-of-the-tests"

#: Folders of PostgreSQL's programs on Debian, which are not on the PATH.
POSTGRESQL = "/usr/lib/postgresql/*/bin"


class Server(Service):
    """
    A server on a free port of the loopback interface, the same for each start. Use as a context manager.

    :param command: its command line; ``{port}`` is replaced by the port.
    :param log: its log file.
    :param scheme: the scheme of its address.
    :param stop_signal: the signal for a clean exit.
    :param user: the account that it runs as. Default: this one.
    :ivar url: its address.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        scheme: str,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        (self.port,) = free_ports(1)
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = [word.format(port=self.port) for word in command]
        self._log, self._stop_signal, self._user = log, stop_signal, user

    def start(self) -> None:
        """
        Start the server, and return when it accepts connections.

        :raises RuntimeError: it is not installed or did not start.
        """
        self.process = self._spawn(self._command)
        deadline = time.monotonic() + 60
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(self._command[0]).name} did not start, see {self._log}")
            time.sleep(0.1)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [find_program(command[0]), *command[1:]],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )

    def _is_ready(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    @property
    def pid(self) -> int | None:
        """Its process id; None = it does not run."""
        return self.process.pid if self.process else None

    def has_exited(self) -> bool:
        """Return whether it exited without being stopped."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """Stop it, and kill it if it does not exit in time; do nothing if it does not run."""
        if self.process is None:
            return
        self.process.send_signal(self._stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        kill_group(self.process)
        self.process = None


class S3(Server):
    """S3 of moto, which accepts any key and keeps its data in memory."""

    def __init__(self, log: Path) -> None:
        super().__init__([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"], log, scheme="http")

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection to this server."""
        return aws_connection(self.url)


class Redis(Server):
    """Redis, which is empty at each start."""

    def __init__(self, log: Path) -> None:
        command = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", ""]
        super().__init__(command, log, scheme="redis")


class PostgreSQL(Server):
    """
    PostgreSQL with the database and the superuser ``postgres``, without a password.

    Its files are in a temporary folder: it refuses to run as root, and its own account cannot read a checkout of root.
    """

    def __init__(self, log: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="klap-postgresql-", ignore_cleanup_errors=True)
        self._data = f"{self._folder.name}/data"
        # Faster; the data need not survive a power cut.
        command = ["postgres", "-D", self._data, "-p", "{port}", "-h", "127.0.0.1", "-k", self._folder.name]
        command += ["-c", "fsync=off", "-c", "max_connections=300"]
        user = "postgres" if os.geteuid() == 0 else None
        super().__init__(command, log, scheme="postgresql", stop_signal=signal.SIGINT, user=user)

    def start(self) -> None:
        """Create the database at the first start, and start."""
        if not Path(self._data).exists():
            initdb = find_program("initdb")
            if self._user:
                shutil.chown(self._folder.name, self._user, self._user)
            command = [initdb, "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync"]
            self._spawn([*command, "--encoding=UTF8"]).wait()
        super().start()

    def _is_ready(self) -> bool:
        command = [find_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def address(self, driver: str | None = None) -> str:
        """Return the address of its database; with a driver, in SQLAlchemy's format."""
        scheme = "postgresql" if driver is None else f"postgresql+{driver}"
        return f"{scheme}://postgres@127.0.0.1:{self.port}/postgres"

    def __exit__(self, *_: object) -> None:
        """Stop it, and delete its files."""
        self.stop()
        self._folder.cleanup()


def aws_connection(url: str) -> dict[str, Any]:
    """Return an Airflow connection to S3 at this address."""
    return {
        "conn_type": "aws",
        "login": ACCESS_KEY,
        "password": SECRET_KEY,
        "extra": {"endpoint_url": url, "region_name": "us-east-1"},
    }


def find_program(name: str) -> str:
    """
    Return the path of a program.

    :raises RuntimeError: it is not installed.
    """
    folders = [*sorted(map(str, Path("/").glob(POSTGRESQL[1:])), reverse=True), os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise RuntimeError(f"{name} is missing. Run: apt-get install postgresql redis-server")
    return found
