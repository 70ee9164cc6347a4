"""The servers that several machines share: PostgreSQL, Redis and an S3, each a process of its own on this machine."""

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

from demo.airflow import Running, free_ports, kill_group

#: What moto is told; it lets everybody in.
ACCESS_KEY, SECRET_KEY = "AKIAKLAPTESTS", "an-s3-secret-of-the-tests"

#: Where Debian keeps PostgreSQL's programs, which are not on the PATH.
POSTGRESQL = "/usr/lib/postgresql/*/bin"


class Server(Running):
    """
    A server on a port of the loopback interface, which it has whenever it is started. Use as a context manager.

    :param command: its command line; ``{port}`` stands for the port. The program is looked up when the server starts.
    :param log: the file that it writes to.
    :param scheme: of its address.
    :param ending: the signal that ends it gently.
    :param user: the account that it runs under, for who is root. Default: this one.
    :ivar url: its address.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        scheme: str,
        ending: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        (self.port,) = free_ports(1)
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = [word.format(port=self.port) for word in command]
        self._log, self._ending, self._user = log, ending, user

    def start(self) -> None:
        """
        Start the server, and return when it accepts connections.

        :raises RuntimeError: its program is not installed, or it did not start.
        """
        self.process = self._spawn(self._command)
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(self._command[0]).name} did not start, see {self._log}")
            time.sleep(0.1)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [program(command[0]), *command[1:]],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    @property
    def pid(self) -> int | None:
        """The id of its process; None: it does not run."""
        return self.process.pid if self.process else None

    def has_died(self) -> bool:
        """Whether it has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """End it, gently at first; does nothing if it has ended."""
        if self.process is None:
            return
        self.process.send_signal(self._ending)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        kill_group(self.process)
        self.process = None


class S3(Server):
    """An S3, moto's: it takes every key, and forgets everything when it ends."""

    def __init__(self, log: Path) -> None:
        super().__init__([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"], log, scheme="http")

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection to it."""
        return aws_connection(self.url)


class Redis(Server):
    """A Redis that keeps nothing: whenever it is started it is empty."""

    def __init__(self, log: Path) -> None:
        command = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", ""]
        super().__init__(command, log, scheme="redis")


class PostgreSQL(Server):
    """
    A PostgreSQL with the database and the superuser ``postgres``, whom it lets in without a password.

    Its files lie in a folder of its own in the system's for temporary ones, which goes when this ends: PostgreSQL
    refuses to run as root, and Debian's account for it may not read everything that root may.
    """

    def __init__(self, log: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="klap-postgresql-", ignore_cleanup_errors=True)
        self._data = f"{self._folder.name}/data"
        # Nothing here need survive a power cut.
        command = ["postgres", "-D", self._data, "-p", "{port}", "-h", "127.0.0.1", "-k", self._folder.name]
        command += ["-c", "fsync=off", "-c", "max_connections=300"]
        user = "postgres" if os.geteuid() == 0 else None
        super().__init__(command, log, scheme="postgresql", ending=signal.SIGINT, user=user)

    def start(self) -> None:
        """Start it, the first time with a new database."""
        if not Path(self._data).exists():
            initdb = program("initdb")
            if self._user:
                shutil.chown(self._folder.name, self._user, self._user)
            command = [initdb, "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync"]
            self._spawn([*command, "--encoding=UTF8"]).wait()
        super().start()

    def _answers(self) -> bool:
        command = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def address(self, driver: str | None = None) -> str:
        """Return the address of its database; with a driver: as SQLAlchemy takes it."""
        scheme = "postgresql" if driver is None else f"postgresql+{driver}"
        return f"{scheme}://postgres@127.0.0.1:{self.port}/postgres"

    def __exit__(self, *_: object) -> None:
        """End it, and remove its files."""
        self.stop()
        self._folder.cleanup()


def aws_connection(url: str) -> dict[str, Any]:
    """Return an Airflow connection to an S3 at this address."""
    return {
        "conn_type": "aws",
        "login": ACCESS_KEY,
        "password": SECRET_KEY,
        "extra": {"endpoint_url": url, "region_name": "us-east-1"},
    }


def program(name: str) -> str:
    """
    Return the path of a server's program.

    :raises RuntimeError: it is not installed.
    """
    folders = [*sorted(map(str, Path("/").glob(POSTGRESQL[1:])), reverse=True), os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise RuntimeError(f"{name} is missing. Run: apt-get install postgresql redis-server")
    return found
