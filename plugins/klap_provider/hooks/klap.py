"""KlapHook: the Airflow hook for the Klap API."""

from __future__ import annotations

import posixpath
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.log import mask_secret

from klap_provider.api import calls
from klap_provider.errors import KlapAuthError, KlapError, KlapInputError, KlapInvalidResponseError, KlapNotFoundError
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.hooks.client import KlapClient
from klap_provider.hooks.connection import CONN_TYPE, KlapConnection
from klap_provider.rules.retry import Backoff

if TYPE_CHECKING:
    import requests

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import User

T = TypeVar("T")

#: A valid id that no task has. Requesting this task tests the API key and starts nothing.
TEST_TASK_ID = "connectiontest00"

#: The paths of the POSTs that Klap bills, and the operators that send them.
PAID_PATHS = {
    r"/tasks/video-to-shorts$": "SubmitShortsOperator or GenerateShortsOperator",
    r"/tasks/video-to-video$": "SubmitVideoOperator",
    r"/projects/.+/exports$": "ExportShortOperator",
}


class KlapHook(HttpHook):
    """
    Call the Klap API.

    :param klap_conn_id: the Airflow connection, of type ``klap``.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection.
    :param backoff: how often a call is repeated after a transient error. Default: 4 attempts within about 10 s.

    :mod:`klap_provider.api.calls` has every call of the API, and :meth:`call` sends one:

    .. code-block:: python

        KlapHook().call(calls.list_projects(folder_id))

    API: https://docs.klap.app/
    """

    conn_name_attr = "klap_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "Klap"

    def __init__(
        self,
        klap_conn_id: str = DEFAULT_CONN_ID,
        *,
        on_behalf_of: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(http_conn_id=klap_conn_id)
        self.klap_conn_id = klap_conn_id
        self.client = KlapClient(klap_conn_id, on_behalf_of=on_behalf_of, backoff=backoff)

    @property
    def connection(self) -> KlapConnection:
        """The checked connection, with the managed user of this hook. It is read once."""
        return self.client.connection

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> requests.Session:
        """
        Return the HTTP session of this hook. It sends the API key, and nothing of the connection's Extra.

        :param headers: additional headers for this session.
        :param extra_options: ``timeout`` and ``check_response``, as for ``HttpHook``.
        """
        session = self.client.session
        session.headers.update(headers or {})
        self.base_url, self._base_url_initialized = self.connection.api_url, True
        self.merged_extra = {"timeout": self.client.timeout, "allow_redirects": False, **(extra_options or {})}
        return session

    def check_response(self, response: requests.Response) -> None:
        """
        Raise an error unless the status is 2xx. The body is not logged.

        :raises KlapResponseError: the subclass depends on the status.
        """
        any_answer: Call[Any] = calls.Call(response.request.method or "", response.request.path_url, lambda _: None)
        self.client.read(any_answer, response)

    def run_and_check(
        self, session: requests.Session, prepped_request: requests.PreparedRequest, extra_options: dict[Any, Any]
    ) -> Any:
        """
        Send a request of :meth:`run`, unless Klap bills it, because the ledger would not record it.

        :raises KlapInputError: it is a POST that Klap bills; the message names the operator to use.
        """
        method = (prepped_request.method or "").upper()
        path = re.sub("/+", "/", posixpath.normpath(unquote(urlsplit(prepped_request.url or "").path)))
        for paid, operator in PAID_PATHS.items():
            if method == "POST" and re.search(paid, path, re.IGNORECASE):
                raise KlapInputError(
                    f"Nothing was sent to Klap. Klap bills POST {path}, and KlapHook.run does not record it in the "
                    f"ledger, so a retry would pay again. Use {operator}."
                )
        return super().run_and_check(session, prepped_request, extra_options)

    def call(self, call: Call[T], *, backoff: Backoff | None = None) -> T:
        """
        Send an API call and return its parsed response.

        :param call: the call, from :mod:`klap_provider.api.calls`.
        :param backoff: how often the call is repeated, instead of the hook's own value.
        :raises KlapError: the call failed, see :mod:`klap_provider.errors`.
        """
        return self.client.call(call, backoff=backoff)

    def create_user(self) -> User:
        """
        Create a managed user for ``on_behalf_of``. Each call creates another user.

        :return: the user, with ``id`` and ``email``.
        """
        return self.call(calls.create_user())

    def create_user_token(self, user_id: str) -> str:
        """
        Create a token that opens the embedded players of a managed user. It is masked in the log of the task.

        :param user_id: id of the user, as :meth:`create_user` returns it.
        :return: the token. It is a secret: do not return it from a task, because results are stored as XComs.
        """
        token = self.call(calls.create_user_token(user_id)).external_access_token
        mask_secret(token)
        return token

    def embed_url(self, project_id: str, token: str | None = None) -> str:
        """
        Return the address of a short's player for embedding in a web page.

        :param project_id: id of the short.
        :param token: token of the user, as :meth:`create_user_token` returns it. Default: ``external_access_token`` of
            the connection. The address contains the token, so it is a secret, too. Without a token, the address is that
            of the public player.
        """
        connection, project = self.connection, quote(project_id, safe="")
        token = token or connection.external_access_token
        if token is None:
            return f"{connection.player_url}/{project}"
        mask_secret(token)
        return f"{connection.embed_url}/{project}#external_access_token={quote(token, safe='')}"

    def test_connection(self) -> tuple[bool, str]:
        """
        Test the key and the host with a request for a task that does not exist, which costs nothing.

        If the connection has a destination in object storage, a file is written there. A folder is not tested, because
        only workers may see it.

        :return: whether the connection works, and a message for the user.
        """
        try:
            self.call(calls.get_task(TEST_TASK_ID), backoff=Backoff(attempts=1))
        except KlapNotFoundError:
            pass  # Klap accepts the key
        except KlapAuthError:
            return False, f"{self.connection.api_url} refuses the API key: check the Password of the connection"
        except KlapInvalidResponseError as odd:
            if odd.status == HTTPStatus.NOT_FOUND:
                return False, f"{self.connection.api_url} is not Klap's API: check the Host of the connection"
            return False, str(odd)
        except KlapError as failure:
            return False, str(failure)
        from klap_provider.files.destination import is_local
        from klap_provider.files.storage import check_destination

        good = f"{self.connection.api_url} accepts the API key"
        destination = self.connection.destination
        if not destination:
            return True, good
        if is_local(destination):
            return True, f"{good}. Not tested: {destination}, a folder that all workers must share"
        try:
            check_destination(destination)
        except KlapError as failure:
            return False, f"{good}. But {failure}"
        return True, f"{good}, and shorts can be written to {destination}"
