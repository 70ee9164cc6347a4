"""
What can go wrong, as a tree.

.. code-block:: text

    KlapError
    ├── KlapConfigError            the Airflow connection is missing something
    ├── KlapInputError             what was asked for cannot be right; nothing was sent
    ├── KlapLookUpError            Airflow cannot say just now what a connection is
    ├── KlapTemplateError          a field of the task could not be filled in; nothing was sent
    ├── KlapTransportError
    │   ├── KlapConnectionError    no connection to Klap was ever made
    │   └── KlapNoAnswerError      the request may have arrived, its answer did not
    ├── KlapResponseError          Klap answered, and the answer is not the one asked for
    │   ├── KlapAuthError          401, 403
    │   ├── KlapCreditsError       402
    │   ├── KlapNotFoundError      404
    │   ├── KlapRejectedError      400, 422 and every other 4xx
    │   ├── KlapRateLimitError     429
    │   ├── KlapServerError        5xx, 408, 425 and what HTTP does not have, such as 499
    │   └── KlapAnswerError        2xx or 3xx, or 4xx to a GET, with something that is not the API's JSON
    ├── KlapJobError
    │   ├── KlapJobFailedError     a task or an export ended with the status "error"
    │   ├── KlapUnknownStatusError a status word that the API does not have
    │   ├── KlapTimeoutError       the deadline of a wait has passed
    │   └── KlapWaitError          the triggerer could not wait
    ├── KlapNoShortsError          the video yielded no shorts
    ├── KlapSubmitUncertainError   a paid request went out and nobody knows whether it arrived
    ├── KlapSubmitPendingError     the same, and it is too early to tell
    ├── KlapChangedError           the inputs are not those of what was paid for
    ├── KlapDownloadError          an exported file could not be fetched whole
    ├── KlapStorageError           the team's own storage failed
    │   ├── KlapMissingFileError   a delivered file is not there any more, or cannot be seen from here
    │   └── KlapNotServedError     the API server may not send a file
    ├── KlapResultError            the task did its work, and Airflow could not store its result
    └── KlapIncompleteError        the run ended and some shorts are missing

Two questions decide what happens after a failure, and both are answered by the exception itself:
``passing``, may the same request succeed a little later, and ``refused``, is it certain that Klap did not
take the request, so that a paid one may be sent again.
"""

from __future__ import annotations

from typing import NamedTuple


class Fate(NamedTuple):
    """
    What a person has to decide about a paid request before its task can go on.

    :param entry: the request's name in the ledger.
    :param sent_at: when it was sent, in ISO 8601.
    :param jobs: ids of Klap's jobs that may be what it has made, as far as any are known.
    :param price: US dollars for sending it once more.
    :param second_hand: whether nobody at Klap has confirmed that price.
    """

    entry: str
    sent_at: str
    jobs: tuple[str, ...]
    price: float
    second_hand: bool = True


class KlapError(Exception):
    """Base of everything this package raises on purpose. The message says what to do."""

    #: A later try of the same thing may succeed.
    passing: bool = False
    #: Klap certainly did not take the request: nothing was started and nothing was billed.
    refused: bool = False
    #: Seconds that Klap asked to wait before the next try, if it did.
    retry_after: float | None = None
    #: Klap's own ``error_code``, if it gave one.
    error_code: str | None = None
    #: How many paid POSTs of the task Klap had accepted all the same.
    paid: int = 0
    #: What a person has to decide, if only a person can.
    fate: Fate | None = None


class _NothingSentError(KlapError):
    refused = True


class KlapConfigError(_NothingSentError):
    """The Airflow connection is missing, incomplete or wrong; the message names the setting."""


class KlapInputError(_NothingSentError):
    """A parameter cannot be right; the message names it. Raised before anything is sent."""


class KlapLookUpError(_NothingSentError):
    """
    A secrets backend does not answer, so that nobody knows whether there is a connection.

    :param conn_id: the connection.
    :param backend: name of that backend.
    """

    passing = True

    def __init__(self, conn_id: str, backend: str) -> None:
        super().__init__(
            f"Airflow cannot say what the connection {conn_id!r} is: its secrets backend {backend} did not answer. If "
            "this stays so, see the log of that backend."
        )


class KlapTemplateError(_NothingSentError):
    """A template field of the task could not be filled in: an upstream result is missing, or the template is wrong."""


class KlapTransportError(KlapError):
    """No HTTP answer was received."""

    passing = True


class KlapConnectionError(KlapTransportError):
    """No connection was made (DNS, refused, connect timeout, TLS), so nothing was sent."""

    refused = True


class KlapNoAnswerError(KlapTransportError):
    """The connection broke or timed out after the request may have been sent."""


class KlapResponseError(KlapError):
    """
    Klap answered with something other than what was asked for.

    :param message: what happened and what to do, for a person.
    :param status: the HTTP status code.
    :param error_code: Klap's ``error_code``, if the body had one.
    :param retry_after: seconds from the ``Retry-After`` header, if there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.retry_after = retry_after


class _RefusalError(KlapResponseError):
    refused = True


class KlapAuthError(_RefusalError):
    """401 or 403: the API key is wrong or may not do this."""


class KlapCreditsError(_RefusalError):
    """402: the Klap account is out of credits."""


class KlapNotFoundError(_RefusalError):
    """404: Klap does not know the id, or not for this key."""


class KlapRejectedError(_RefusalError):
    """400, 422 and other 4xx: Klap does not accept the request as it is."""


class KlapRateLimitError(_RefusalError):
    """429: too many requests."""

    passing = True


class KlapServerError(KlapResponseError):
    """
    5xx, or a code of something on the way that may have handed the request on.

    Only a 503 with ``Retry-After`` and JSON says for certain that it was not taken. Some proxies answer with 503,
    ``Retry-After`` and a web page when they have handed the request on and got no response.
    """

    passing = True
    #: Whether the body was JSON, as the API's is.
    is_json: bool = True

    @property
    def refused(self) -> bool:  # type: ignore[override]  # a fact of this answer, not of the class
        """Whether Klap said that it turned the request away."""
        return self.status == 503 and self.retry_after is not None and self.is_json


class KlapAnswerError(KlapResponseError):
    """
    Not the API's JSON, but an HTML page, an empty body, or missing fields: with a success code or a redirect, or with
    a 4xx to a GET, which may be a firewall's. To a POST such a 4xx is a refusal all the same: it was not carried out.
    """

    passing = True


class KlapJobError(KlapError):
    """Something about a task or an export, rather than about a request."""


class KlapJobFailedError(KlapJobError):
    """
    A task or an export ended with the status ``error``.

    :param message: what happened and what to do, for a person.
    :param error_code: Klap's ``error_code``, if it gave one.
    """

    def __init__(self, message: str, *, error_code: str | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code


class KlapUnknownStatusError(KlapJobError):
    """Klap reported a status word that its API does not have, and went on doing so."""


class KlapTimeoutError(KlapJobError):
    """The wait's deadline has passed. Sensors raise it as ``AirflowSensorTimeout``."""


class KlapWaitError(KlapJobError):
    """The triggerer could not wait, and the job is not ready. The next try goes on waiting, with the same deadline."""

    passing = True


class KlapNoShortsError(KlapError):
    """The task is ready but its folder holds no shorts."""


class KlapSubmitUncertainError(KlapError):
    """A paid request was sent and its fate is unknown. Never raised where it could be found out."""


class KlapSubmitPendingError(KlapError):
    """
    A paid request got no answer, and may still be under way to Klap: too early to send it again.

    :param message: what happened and what comes next, for a person.
    :param retry_after: seconds until it may be sent again.
    """

    passing = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KlapChangedError(KlapError):
    """After a clear, the inputs are not those of what was paid for, and only a person can say which it shall be."""


class _TransferError(KlapError):
    """
    Bytes did not get through.

    :param message: what happened and what to do, for a person.
    :param passing: whether another try may succeed.
    """

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class KlapDownloadError(_TransferError):
    """An exported file could not be fetched whole."""


class KlapStorageError(_TransferError):
    """The team's own storage failed: it is not there, refuses, or does not answer."""

    refused = True


class KlapMissingFileError(KlapStorageError):
    """A delivered file is not where it was delivered to, or cannot be seen from this machine."""


class KlapNotServedError(KlapStorageError):
    """The API server may not send a file: its administrator does not allow the place, or the file is no MP4."""

    def __init__(self, message: str) -> None:
        super().__init__(message, passing=False)


class KlapIncompleteError(KlapError):
    """Some of the selected shorts were not delivered; the message and the manifest name them."""


class KlapResultError(KlapError):
    """The task did its work, and Airflow could not store what it returned."""
