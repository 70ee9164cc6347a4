"""The client for the plugin's own routes in Airflow's API server. A worker cannot list the rows of the ledger."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import requests
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from klap_provider.errors import KlapConfigError, KlapTransportError
from klap_provider.hooks import AIRFLOW_CONN_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Seconds to wait for a connection, and for a response.
TIMEOUT = (10, 300)

#: Rows per request. Some proxies refuse a body of more than 1 MB.
ROWS_AT_ONCE = 500


class AirflowApi:
    """
    Airflow's API server, with the permissions of the user of a connection.

    :param conn_id: a connection of type HTTP with the address of the API server as its Host, and the Login and the
        Password of a user. Without a Login, the Password is a token.
    """

    def __init__(self, conn_id: str = AIRFLOW_CONN_ID) -> None:
        self.conn_id = conn_id

    def get(self, path: str, **query: Any) -> str:
        """
        GET a route of the plugin, and return the body.

        :raises KlapConfigError: the connection is missing, or the API server refused the request.
        :raises KlapTransportError: the API server failed or did not answer.
        """
        return self._request("GET", f"klap/api/{path}", params=query).text

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """GET a route of the plugin, and yield the body in parts."""
        with self._request("GET", f"klap/api/{path}", params=query, stream=True) as response, _errors(self.conn_id):
            yield from response.iter_content(chunk_size=2**20)

    def post(self, path: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """POST rows to a route of the plugin, in portions, and return the sum of the numbers that it answers."""
        total, left = 0, iter(rows)
        while part := list(islice(left, ROWS_AT_ONCE)):
            total += sum(self._request("POST", f"klap/api/{path}", json=part).json().values())
        return total

    def every_row(self) -> Iterator[bytes]:
        """
        Yield the rows of the ledger in pages, as JSON lines.

        Tasks may be writing rows. An attempt without its door would be sent again, and one without its payment is in
        doubt, so these rows are read once more after all attempts.
        """
        for prefix in ("", "door.", "paid."):
            after = prefix
            while after.startswith(prefix) and (page := self.get("ledger/rows", after=after)):
                yield page.encode()
                after = json.loads(page.rstrip("\n").rpartition("\n")[2])["key"]

    @cached_property
    def _connection(self) -> Any:
        try:
            return BaseHook.get_connection(self.conn_id)
        except AirflowNotFoundException:
            raise KlapConfigError(
                f"There is no Airflow connection {self.conn_id!r}. Create a connection of type HTTP with the address "
                "of the API server as its Host, and the Login and the Password of a user who may read and edit assets."
            ) from None

    def _url(self, path: str) -> str:
        host, port = str(self._connection.host or "").rstrip("/"), self._connection.port
        if "://" not in host:
            host = f"{self._connection.schema or 'http'}://{host}{f':{port}' if port else ''}"
        return f"{host}/{path}"

    @cached_property
    def _session(self) -> requests.Session:
        session, login, token = requests.Session(), self._connection.login, self._connection.password
        if login:
            who = {"username": login, "password": token}
            token = self._send(session, "POST", "auth/token", json=who).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    def _request(self, method: str, path: str, **more: Any) -> requests.Response:
        return self._send(self._session, method, path, **more)

    def _send(self, session: requests.Session, method: str, path: str, **more: Any) -> requests.Response:
        with _errors(self.conn_id):
            response = session.request(method, self._url(path), timeout=TIMEOUT, **more)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.status_code < 400 and not is_page:
            return response
        text = "a web page" if is_page else response.text[:300]
        answer = f"The API server of the connection {self.conn_id!r} answered {response.status_code}: {text}"
        if response.status_code >= 500:
            raise KlapTransportError(f"{answer}. If this happens again, see the log of the API server.")
        raise KlapConfigError(
            f"{answer}. Check the Host, Login and Password of the connection, and the permissions of its user."
        )


@contextmanager
def _errors(conn_id: str) -> Iterator[None]:
    try:
        yield
    except requests.RequestException as failure:
        raise KlapTransportError(
            f"The API server of the connection {conn_id!r} did not answer ({type(failure).__name__}). Check the Host "
            "of the connection."
        ) from failure
