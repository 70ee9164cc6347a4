"""
The exceptions of this package.

Each exception answers two questions. ``transient``: is the error transient, so that the same request may succeed later?
``refused``: is it certain that Klap did not accept the request, so that a paid request can be sent again?
"""

from __future__ import annotations

from typing import TypedDict


class OpenDecision(TypedDict):
    """A decision about a paid request that the user has to make before the task can continue."""

    #: Key of the request in the ledger.
    entry: str
    #: When the request was sent, ISO 8601.
    sent_at: str
    #: Ids of the jobs at Klap that the request may have created, as far as they are known.
    jobs: list[str]
    #: Price of sending the request again, in US dollars.
    price: float
    #: Whether the price is estimated.
    estimated: bool


class KlapError(Exception):
    """
    Base of the exceptions of this package. The message names the cause and what to do.

    :param error_code: Klap's ``error_code``, if there is one.
    :param retry_after: seconds to wait before the next try, if they are known.
    """

    #: Whether the error is transient: the same request may succeed later.
    transient: bool = False
    #: Whether it is certain that Klap did not accept the request: nothing was started and nothing was billed.
    refused: bool = False
    #: Number of paid POSTs of this task that Klap accepted before the error.
    paid: int = 0
    #: What the user has to decide, if a decision is needed.
    open_decision: OpenDecision | None = None

    def __init__(self, message: str, *, error_code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.retry_after = retry_after


class _NothingSentError(KlapError):
    refused = True


class KlapConfigError(_NothingSentError):
    """The Airflow connection is missing, incomplete or wrong. The message names the setting."""


class KlapInputError(_NothingSentError):
    """A parameter is wrong. The message names it. Nothing was sent to Klap."""


class KlapLimitError(_NothingSentError):
    """The monthly limit of the connection or of the Dag is reached. The message says when the month ends."""


class KlapLookUpError(_NothingSentError):
    """
    The secrets backend did not answer, so the connection could not be read.

    :param conn_id: the connection.
    :param backend: name of that backend.
    """

    transient = True

    def __init__(self, conn_id: str, backend: str) -> None:
        super().__init__(
            f"The connection {conn_id!r} could not be read, because the secrets backend {backend} did not answer. If "
            "this happens again, see the log of that backend."
        )


class KlapTemplateError(_NothingSentError):
    """A template field of the task could not be rendered: an upstream result is missing, or the template is wrong."""


class KlapTransportError(KlapError):
    """No HTTP response was received."""

    transient = True


class KlapConnectionError(KlapTransportError):
    """No connection to Klap was made (DNS, connection refused, connect timeout, TLS). Nothing was sent."""

    refused = True


class KlapNoResponseError(KlapTransportError):
    """The connection broke or timed out, and the request may have been sent."""


class KlapResponseError(KlapError):
    """
    Klap answered with an error, or with something unexpected.

    :param status: the HTTP status code.
    """

    def __init__(
        self, message: str, *, status: int, error_code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, error_code=error_code, retry_after=retry_after)
        self.status = status


class _RefusalError(KlapResponseError):
    refused = True


class KlapAuthError(_RefusalError):
    """401 or 403: the API key, or the managed user, is wrong or lacks a permission."""


class KlapCreditsError(_RefusalError):
    """402: the Klap account is out of credits."""


class KlapNotFoundError(_RefusalError):
    """404: Klap does not have this id, or this API key may not see it."""


class KlapRejectedError(_RefusalError):
    """400, 422 or another 4xx: Klap rejects the request. The message has Klap's reason."""


class KlapRateLimitError(_RefusalError):
    """429: too many requests."""

    transient = True


class KlapServerError(KlapResponseError):
    """
    5xx, 408, 425, or a code that HTTP does not have. Klap, or a proxy in front of it, failed.

    Only a 503 with ``Retry-After`` and JSON proves that Klap did not accept the request. Some proxies answer with 503,
    ``Retry-After`` and a web page after they forwarded the request and got no response.
    """

    transient = True
    #: Whether the body was JSON, as the API's is.
    is_json: bool = True

    @property
    def refused(self) -> bool:  # type: ignore[override]  # it depends on the response
        """Whether this response proves that Klap did not accept the request."""
        return self.status == 503 and self.retry_after is not None and self.is_json


class KlapInvalidResponseError(KlapResponseError):
    """
    The response is not the API's JSON, but an HTML page, an empty body, or JSON without the required fields.

    It has a success code or a redirect, or it is a 4xx response to a GET, which a firewall may have sent.
    """

    transient = True


class KlapJobError(KlapError):
    """An error of a task or an export, rather than of a request."""


class KlapJobFailedError(KlapJobError):
    """The task or the export failed at Klap (status ``error``). The message has Klap's reason."""


class KlapUnknownStatusError(KlapJobError):
    """For two minutes, Klap has reported a status that its API does not have. The message has the status."""


class KlapTimeoutError(KlapJobError):
    """The deadline of the wait has passed. Sensors raise it as ``AirflowSensorTimeout``."""


class KlapWaitError(KlapJobError):
    """The triggerer failed, and the job is not ready."""

    transient = True


class KlapNoShortsError(KlapError):
    """The task is ready, but Klap generated no shorts."""


class KlapSubmitUncertainError(KlapError):
    """A paid request is in doubt: its response never arrived. Only the user can find out whether Klap received it."""


class KlapSubmitPendingError(KlapError):
    """A paid request is in doubt, and it is too early to decide, because it may still reach Klap."""

    transient = True


class KlapChangedError(KlapError):
    """After a clear, the settings differ from those of the request that was paid for."""


class _TransferError(KlapError):
    """A file could not be read or written. ``transient``: whether another try may succeed."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class KlapDownloadError(_TransferError):
    """The exported file could not be downloaded completely."""


class KlapStorageError(_TransferError):
    """Your own storage failed: it does not exist, refuses access, or does not answer."""

    refused = True


class KlapMissingFileError(KlapStorageError):
    """A delivered file no longer exists, or cannot be read from this machine."""


class KlapNotServedError(KlapStorageError):
    """The API server may not send the file: it is outside ``[klap] allowed_destinations``, or it is not an MP4 file."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class KlapSourceError(KlapError):
    """A watched source could not be listed, or some of its runs could not be started."""

    transient = True


class KlapIncompleteError(KlapError):
    """Some of the selected shorts, or videos of a batch, are missing. The message and the manifest name them."""


class KlapResultError(KlapError):
    """The task did its work, but Airflow could not store its result as an XCom."""
