"""Notify users about a run with Airflow's notifiers, once per event. A notifier never fails or blocks a task."""

from __future__ import annotations

import copy
import importlib
import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from klap_provider.airflow_internals.asset_store import AssetStore
from klap_provider.airflow_internals.tasks import run_address
from klap_provider.api import redaction
from klap_provider.errors import KlapConfigError, KlapCreditsError, KlapError, KlapInputError, KlapLimitError
from klap_provider.operators.base import KlapOperator
from klap_provider.operators.failures import cause_of, log_failure
from klap_provider.rules import ledger, ledger_keys
from klap_provider.xcoms import LEDGER, NOTICE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk import Context

    from klap_provider.xcoms import Failure, NoticeRow

log = logging.getLogger(__name__)

#: Exceptions after which Airflow does not retry a task.
NEVER_RETRIED = (AirflowFailException, AirflowSensorTimeout)

#: Maximum number of shorts that a notice lists.
MAX_LINES = 10

#: Seconds before each retry of a notifier that failed.
RETRY_DELAYS = (1.0, 4.0)

#: Seconds that a task waits for its notifiers. A notifier that takes longer counts as failed.
PATIENCE = 20.0


class Event(str, Enum):
    """What a notice is about."""

    REVIEW_WAITING = "review_waiting"
    RUN_FINISHED = "run_finished"
    RUN_FAILED = "run_failed"
    DECISION_NEEDED = "decision_needed"
    CREDIT_USED_UP = "credit_used_up"
    LIMIT_NEAR = "limit_near"
    LIMIT_REACHED = "limit_reached"
    BATCH_FINISHED = "batch_finished"
    BATCH_FAILED = "batch_failed"
    SOURCE_FAILED = "source_failed"


@dataclass(frozen=True)
class Notice:
    """
    A notice, as the templates of notifiers see it: ``{{ klap.text }}``.

    :param event: value of an :class:`Event`.
    :param title: one line.
    :param body: further lines; empty if there are none.
    :param url: address of the run in Airflow's UI. Without a host if ``[api] base_url`` is not set.
    """

    event: str
    title: str
    body: str
    url: str

    @property
    def text(self) -> str:
        """The title, the body and the address, in lines."""
        return "\n".join(filter(None, (self.title, self.body, self.url)))


class KlapNotifyingOperator(KlapOperator):
    """
    Base of the operators that notify users about the run.

    :param notifiers: Airflow's notifiers, such as ``SlackWebhookNotifier``. Their templates can use ``klap``, which is
        a :class:`Notice`: ``text="{{ klap.text }}"``. The connection can name further ones. Default: none.
    """

    #: Name of the tab of the run's page that notices link to. Default: the page itself.
    notice_tab = "plugin/shorts"

    def __init__(self, *, notifiers: Sequence[BaseNotifier] | BaseNotifier | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.notifiers: Sequence[BaseNotifier] = (
            [notifiers] if isinstance(notifiers, BaseNotifier) else list(notifiers or ())
        )

    def notify(self, context: Context, event: Event, title: str, body: str = "", *, entry: str | None = None) -> None:
        """
        Send a notice, unless this task of this run has sent one about the same event.

        The row of the ledger is written before the notifiers run, so that a task that is restarted meanwhile does not
        send the notice again. It gets the errors of the notifiers, which the run's *Shorts* tab shows.

        :param title: one line.
        :param body: further lines.
        :param entry: key of the ledger's row, if the notice is sent once for several runs.
        """
        with log_failure(f"The notice {event.value}"):
            notifiers = [*self.notifiers, *self._notifiers_of_connection()]
            if notifiers:
                row = self._send_once(context, notifiers, event, title, body, entry)
                context["ti"].xcom_push(key=NOTICE_KEY, value=row)

    def _send_once(
        self,
        context: Context,
        notifiers: Sequence[BaseNotifier],
        event: Event,
        title: str,
        body: str,
        entry: str | None,
    ) -> NoticeRow:
        ti, store = context["ti"], AssetStore(LEDGER)
        key = entry or ledger_keys.notice_entry(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, event.value)
        before = cast("NoticeRow | None", store.get(key))
        if before is not None:
            self.log.info("The notice %s was sent before, at %s", event.value, before["at"])
            return before
        notice = Notice(
            event=event.value,
            title=redaction.without_secrets(title),
            body=redaction.without_secrets(body),
            url=f"{run_address(ti.dag_id, ti.run_id)}/{self.notice_tab}".rstrip("/"),
        )
        row: NoticeRow = {
            "version": ledger.VERSION,
            "event": notice.event,
            "run": f"{ti.dag_id} {ti.run_id}",
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "title": notice.title,
            "errors": [],
        }
        store.set(key, row)
        errors = _send(context, notifiers, notice)
        if errors:
            self.log.warning("The notice %s was not sent: %s", notice.event, "; ".join(errors))
            row = {**row, "errors": errors}
            store.set(key, row)
        else:
            self.log.info("Sent the notice %s", notice.event)
        return row

    def _notifiers_of_connection(self) -> list[BaseNotifier]:
        try:
            return [create_notifier(each) for each in self.connection.notifiers or ()]
        except (KlapConfigError, KlapInputError) as failure:
            self.log.warning("The notifiers of the connection %r are not used: %s", self.klap_conn_id, failure)
            return []

    def is_final(self, context: Context, failure: BaseException) -> bool:
        """Return whether the task is not retried after a failure."""
        ti = context["ti"]
        is_refused = isinstance(failure, KlapError) and not failure.transient
        return ti.try_number > ti.max_tries or is_refused or isinstance(failure, NEVER_RETRIED)


def event_of(failures: Iterable[Failure]) -> Event:
    """Return the event of a run that failed with these errors."""
    failures = list(failures)
    if any(failure.get("open_decision") for failure in failures):
        return Event.DECISION_NEEDED
    if any(failure["type"] == KlapCreditsError.__name__ for failure in failures):
        return Event.CREDIT_USED_UP
    if any(failure["type"] == KlapLimitError.__name__ for failure in failures):
        return Event.LIMIT_REACHED
    return Event.RUN_FAILED


def name_lines(shorts: Sequence[Mapping[str, Any]]) -> str:
    """Return the names of delivered shorts, one per line."""
    lines = [f"• {short['short_name']}" for short in shorts[:MAX_LINES]]
    return "\n".join([*lines, f"and {len(shorts) - MAX_LINES} more"] if len(shorts) > MAX_LINES else lines)


def create_notifier(setting: Mapping[str, Any]) -> BaseNotifier:
    """Return the notifier that a setting of the connection describes: ``{"notifier": class path, …arguments}``."""
    arguments = dict(setting)
    path = str(arguments.pop("notifier", ""))
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
            raise KlapConfigError(f"{path!r} is not a notifier of Airflow.")
        return found(**arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as failure:
        raise KlapConfigError(f"the notifier {path!r} cannot be created: {failure}.") from failure


def _send(context: Context, notifiers: Sequence[BaseNotifier], notice: Notice) -> list[str]:
    """Run all notifiers, and return the error of each one that failed or took too long."""
    errors: dict[int, str] = {}

    def run(number: int, notifier: BaseNotifier) -> None:
        for seconds in (*RETRY_DELAYS, None):
            try:
                # A copy, because a notifier replaces its templates with their values.
                copy.copy(notifier)({**context, "klap": notice})
            except Exception as failure:
                # The text can have a secret, such as the path of a webhook. Airflow masks those in the log.
                log.warning("%s failed: %s", type(notifier).__name__, cause_of(failure))
                errors[number] = f"{type(notifier).__name__}: {type(failure).__name__}, see the task's log"
                if seconds is not None:
                    time.sleep(seconds)
            else:
                errors.pop(number, None)
                return

    # Daemon threads, because the task must be able to end while a notifier hangs.
    threads = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(notifiers)]
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for number, (thread, notifier) in enumerate(zip(threads, notifiers, strict=True)):
        if thread.is_alive():
            errors.setdefault(number, f"{type(notifier).__name__}: no answer within {PATIENCE:g} s")
    return [errors[number] for number in sorted(errors)]
