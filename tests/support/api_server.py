"""An API server with a database that a test fills, for the routes of the plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import requests

from demo.airflow import ROOT, LocalAirflow, allowlists

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Names of users, which are also their passwords. The viewer may not read XComs, and the user no private Dag.
ADMIN, OP, USER, VIEWER = "ada", "otto", "uli", "vic"


class ApiServer:
    """
    A context manager that starts and stops it.

    :param home: a folder for it.
    :param connections: Airflow connections by id, which are put into its database.
    :param path: the path of its address, such as ``/airflow``.
    :param env: further environment variables; None removes a variable.
    """

    def __init__(
        self,
        home: Path,
        *,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        path: str = "",
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps({name: name for name in (ADMIN, OP, USER, VIEWER)}))
        self.connections = connections or {}
        self._tokens: dict[str, dict[str, str]] = {}
        self.airflow = LocalAirflow(
            home,
            connections={},
            env={
                "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.auth.DiscreetAuthManager",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{OP}:op,{USER}:user,{VIEWER}:viewer",
                "PYTHONPATH": str(ROOT),
                **allowlists(self.connections),
            },
        )
        self.url = f"{self.airflow.url}{path}"
        self.airflow.env["AIRFLOW__API__BASE_URL"] = self.url
        self.airflow.env |= {name: value for name, value in (env or {}).items() if value is not None}
        for name in (name for name, value in (env or {}).items() if value is None):
            self.airflow.env.pop(name, None)

    def __enter__(self) -> ApiServer:
        try:
            self.run("-m", "airflow", "db", "migrate")
            for name, conn in self.connections.items():
                self.run("-m", "airflow", "connections", "add", name, "--conn-json", json.dumps(conn))
            self.airflow.start_component("api-server")
            self.airflow.wait_for(self._answers, seconds=300, what=f"{self.url} to answer")
        except BaseException:
            self.airflow.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.airflow.stop()

    def run(self, *arguments: str, stdin: Any = None) -> None:
        """Run Python in its Airflow, with a value on its standard input as JSON."""
        subprocess.run(
            [sys.executable, *arguments],
            env=self.airflow.env,
            input=json.dumps(stdin),
            stdout=subprocess.DEVNULL,
            text=True,
            timeout=300,
            check=True,
        )

    def seed(self, **tables: Any) -> None:
        """Put rows into its database, see :mod:`tests.support.seed`."""
        self.run("-m", "tests.support.seed", stdin=tables)

    def token(self, name: str) -> dict[str, str]:
        """Return the header with which a user is signed in."""
        if name not in self._tokens:
            self._tokens[name] = self._sign_in(name)
        return self._tokens[name]

    def _sign_in(self, name: str) -> dict[str, str]:
        answer = requests.post(f"{self.url}/auth/token", json={"username": name, "password": name}, timeout=30)
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/v2/version", timeout=10).ok
        except requests.RequestException:
            return False
