"""
The exceptions of this package.

.. code-block:: text

    KlapError
    ├── KlapConfigError            the Airflow connection is missing, incomplete or wrong
    ├── KlapInputError             a parameter is wrong; nothing was sent
    ├── KlapLookUpError            the secrets backend did not answer
    ├── KlapTemplateError          a template field of the task could not be rendered; nothing was sent
    ├── KlapTransportError
    │   ├── KlapConnectionError    no connection to Klap was made
    │   └── KlapNoAnswerError      the request may have arrived, its response did not
    ├── KlapResponseError          Klap answered with an error or with something unexpected
    │   ├── KlapAuthError          401, 403
    │   ├── KlapCreditsError       402
    │   ├── KlapNotFoundError      404
    │   ├── KlapRejectedError      400, 422 and every other 4xx
    │   ├── KlapRateLimitError     429
    │   ├── KlapServerError        5xx, 408, 425 and codes that HTTP does not have, such as 499
    │   └── KlapAnswerError        2xx or 3xx, or 4xx to a GET, with a body that is not the API's JSON
    ├── KlapJobError
    │   ├── KlapJobFailedError     a task or an export ended with the status "error"
    │   ├── KlapUnknownStatusError Klap reports a status that the API does not have
    │   ├── KlapTimeoutError       the deadline of a wait has passed
    │   └── KlapWaitError          the triggerer could not wait
    ├── KlapNoShortsError          Klap generated no shorts from the video
    ├── KlapSubmitUncertainError   a paid request is in doubt, and the user has to decide
    ├── KlapSubmitPendingError     a paid request is in doubt, and it is too early to decide
    ├── KlapChangedError           after a clear, the settings differ from those that were paid for
    ├── KlapDownloadError          an exported file could not be downloaded completely
    ├── KlapStorageError           the team's own storage failed
    │   ├── KlapMissingFileError   a delivered file no longer exists, or cannot be read from this machine
    │   └── KlapNotServedError     the API server may not send a file
    ├── KlapResultError            the task did its work, but Airflow could not store its result
    └── KlapIncompleteError        the run ended, and some shorts are missing

Each exception answers two questions. ``transient``: is the error transient, so that the same request may succeed later?
``refused``: is it certain that Klap did not accept the request, so that a paid request can be sent again?
"""

from __future__ import annotations

from typing import NamedTuple


class OpenDecision(NamedTuple):
    """
    A decision about a paid request that the user has to make before the task can continue.

    :param entry: key of the request in the ledger.
    :param sent_at: when the request was sent, ISO 8601.
    :param jobs: ids of the jobs at Klap that the request may have created, as far as they are known.
    :param price: price of sending the request again, in US dollars.
    :param estimated: whether the price is estimated.
    """

    entry: str
    sent_at: str
    jobs: tuple[str, ...]
    price: float
    estimated: bool = True


class KlapError(Exception):
    """Base of the exceptions of this package. The message says what to do."""

    #: Whether the error is transient: the same request may succeed later.
    transient: bool = False
    #: Whether it is certain that Klap did not accept the request: nothing was started and nothing was billed.
    refused: bool = False
    #: Seconds to wait before the next try, if Klap sent ``Retry-After``.
    retry_after: float | None = None
    #: Klap's ``error_code``, if there is one.
    error_code: str | None = None
    #: Number of paid POSTs of this task that Klap accepted before the error.
    paid: int = 0
    #: What the user has to decide, if a decision is needed.
    open_decision: OpenDecision | None = None


class _NothingSentError(KlapError):
    refused = True


class KlapConfigError(_NothingSentError):
    """
    The Airflow connection is missing, incomplete or wrong. The message names the setting.

    What to do: correct the connection, then clear the task.
    """


class KlapInputError(_NothingSentError):
    """
    A parameter is wrong. The message names it. Nothing was sent to Klap.

    What to do: start a new run with the corrected value. If the value comes from the connection or from the Airflow
    configuration, correct it there and clear the task.
    """


class KlapLookUpError(_NothingSentError):
    """
    The secrets backend did not answer, so the connection could not be read.

    What to do: nothing, if the backend recovers before the retries end. Otherwise fix the backend and clear the task.

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
    """
    A template field of the task could not be rendered: an upstream result is missing, or the template is wrong.

    What to do: clear the upstream task that the message names, together with its downstream tasks. If the template is
    wrong, correct the Dag file.
    """


class KlapTransportError(KlapError):
    """No HTTP response was received."""

    transient = True


class KlapConnectionError(KlapTransportError):
    """
    No connection to Klap was made (DNS, connection refused, connect timeout, TLS). Nothing was sent.

    What to do: check the network, the proxy, the certificates and the Host of the connection.
    """

    refused = True


class KlapNoAnswerError(KlapTransportError):
    """
    The connection broke or timed out, and the request may have been sent.

    What to do: nothing. A GET is repeated. A paid request is in doubt: the next try finds out what became of it.
    """


class KlapResponseError(KlapError):
    """
    Klap answered with an error, or with something unexpected.

    :param message: what happened and what to do.
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
    """
    401 or 403: the API key, or the managed user, is wrong or lacks a permission.

    What to do: correct the Password or ``on_behalf_of`` of the connection, then clear the task.
    """


class KlapCreditsError(_RefusalError):
    """
    402: the Klap account is out of credits.

    What to do: top up the Klap account, then clear the run.
    """


class KlapNotFoundError(_RefusalError):
    """
    404: Klap does not have this id, or this API key may not see it.

    What to do: correct the id, or use the connection and the managed user that the id belongs to.
    """


class KlapRejectedError(_RefusalError):
    """
    400, 422 or another 4xx: Klap rejects the request. The message has Klap's reason.

    What to do: correct the parameter that Klap names, and start a new run.
    """


class KlapRateLimitError(_RefusalError):
    """
    429: too many requests.

    What to do: nothing. The request is repeated, no sooner than ``Retry-After`` says. If it happens often, lower
    ``requests_per_second`` of the connection.
    """

    transient = True


class KlapServerError(KlapResponseError):
    """
    5xx, 408, 425, or a code that HTTP does not have. Klap, or a proxy in front of it, failed.

    Only a 503 with ``Retry-After`` and JSON proves that Klap did not accept the request. Some proxies answer with 503,
    ``Retry-After`` and a web page after they forwarded the request and got no response.

    What to do: nothing. A GET is repeated. A paid request is in doubt: the next try finds out what became of it.
    """

    transient = True
    #: Whether the body was JSON, as the API's is.
    is_json: bool = True

    @property
    def refused(self) -> bool:  # type: ignore[override]  # it depends on the response
        """Whether this response proves that Klap did not accept the request."""
        return self.status == 503 and self.retry_after is not None and self.is_json


class KlapAnswerError(KlapResponseError):
    """
    The response is not the API's JSON, but an HTML page, an empty body, or JSON without the required fields.

    It has a success code or a redirect, or it is a 4xx response to a GET, which a firewall may have sent. A 4xx
    response to a POST is always a refusal.

    What to do: nothing, if a retry succeeds. Otherwise check the Host of the connection, and firewalls between Airflow
    and Klap.
    """

    transient = True


class KlapJobError(KlapError):
    """An error of a task or an export, rather than of a request."""


class KlapJobFailedError(KlapJobError):
    """
    The task or the export failed at Klap (status ``error``). The message has Klap's reason.

    What to do: for an export, clear its ``export`` task and the tasks after it, which pays for a new export. For a
    video, fix the video or its address, and start a new run.

    :param message: what happened and what to do.
    :param error_code: Klap's ``error_code``, if it gave one.
    """

    def __init__(self, message: str, *, error_code: str | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code


class KlapUnknownStatusError(KlapJobError):
    """
    For two minutes, Klap has reported a status that its API does not have. The message has the status.

    What to do: look at the job in the Klap app. Clear the task to continue the wait.
    """


class KlapTimeoutError(KlapJobError):
    """
    The deadline of the wait has passed. Sensors raise it as ``AirflowSensorTimeout``.

    What to do: raise the sensor's ``timeout`` and clear the task. It continues the wait and pays nothing again.
    """


class KlapWaitError(KlapJobError):
    """
    The triggerer failed, and the job is not ready.

    What to do: nothing. The next try continues the wait with the same deadline. If it happens again, see the log of the
    triggerer.
    """

    transient = True


class KlapNoShortsError(KlapError):
    """
    The task is ready, but Klap generated no shorts.

    What to do: use a video in which somebody speaks. With ``allow_empty`` this counts as a success.
    """


class KlapSubmitUncertainError(KlapError):
    """
    A paid request is in doubt: its response never arrived, and only the user can find out whether Klap received it.

    What to do: look in the Klap app for a job of that time, and decide in the run's *Shorts* tab.
    """


class KlapSubmitPendingError(KlapError):
    """
    A paid request is in doubt, and it is too early to decide, because it may still reach Klap.

    What to do: nothing. The task is retried after the in-doubt window.

    :param message: what happened and what comes next.
    :param retry_after: seconds until it may be sent again.
    """

    transient = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KlapChangedError(KlapError):
    """
    After a clear, the settings differ from those of the request that was paid for.

    What to do: decide in the run's *Shorts* tab: continue with what was paid for, or pay for the new request.
    """


class _TransferError(KlapError):
    """
    A file could not be read or written.

    :param message: what happened and what to do.
    :param transient: whether another try may succeed.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class KlapDownloadError(_TransferError):
    """
    The exported file could not be downloaded completely.

    What to do: clear the ``deliver`` task. The export is not paid for again.
    """


class KlapStorageError(_TransferError):
    """
    Your own storage failed: it does not exist, refuses access, or does not answer.

    What to do: fix the bucket, the folder or its connection, then clear the task.
    """

    refused = True


class KlapMissingFileError(KlapStorageError):
    """
    A delivered file no longer exists, or cannot be read from this machine.

    What to do: clear the ``deliver`` task to download the file again, if Klap still has it.
    """


class KlapNotServedError(KlapStorageError):
    """
    The API server may not send the file: it is outside ``[klap] allowed_destinations``, or it is not an MP4 file.

    What to do: ask your administrator to add the destination to ``[klap] allowed_destinations`` on the API server.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class KlapIncompleteError(KlapError):
    """
    Some of the selected shorts, or videos of a batch, are missing. The message and the manifest name them.

    What to do: fix the reason that the message gives for each short or video, and clear the failed tasks.
    """


class KlapResultError(KlapError):
    """
    The task did its work, but Airflow could not store its result as an XCom.

    What to do: fix the XCom backend and clear the task. Nothing is paid again.
    """
