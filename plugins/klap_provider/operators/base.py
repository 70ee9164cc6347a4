"""What the operators and sensors have in common: the connection, the retries, and a failure that can be read."""

from __future__ import annotations

import functools
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowRuntimeError,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.sdk.log import mask_secret

from klap_provider.airflow_internals.rendering import HooksRendering
from klap_provider.airflow_internals.tasks import is_unmapped
from klap_provider.api import redaction
from klap_provider.errors import KlapError, KlapInputError, KlapTemplateError
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.operators.pull_once import pull, pulling_once, unreadable
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.rules import polling, retry
from klap_provider.rules.conf_validation import require_known
from klap_provider.xcoms import ERROR_KEY, Failure, OpenDecision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.sdk import BaseOperator, Context, RetryPolicy

    from klap_provider.files.storage import Writer
    from klap_provider.hooks.client import KlapClient
    from klap_provider.hooks.connection import KlapConnection
    from klap_provider.operators.pull_once import PullsOnce
    from klap_provider.rules.polling import Done, PollAgain, PollState, Target
    from klap_provider.xcoms import Submitted

P = ParamSpec("P")
R = TypeVar("R")
SelfT = TypeVar("SelfT", bound="KlapOperator")

log = logging.getLogger(__name__)

#: What a task ends with that has not failed.
NO_FAILURES = (AirflowSkipException, AirflowRescheduleException)

#: Characters of a short's name that Airflow's lists show.
LONGEST_NAME = 200

#: Characters that are left of what is none of this package's errors.
LONGEST_REASON = 500


def reports_failure(
    execute: Callable[Concatenate[SelfT, Context, P], R],
) -> Callable[Concatenate[SelfT, Context, P], R]:
    """Leave an XCom that says why the task failed, so that who joins behind it can name the reason."""

    @functools.wraps(execute)
    def wrapper(self: SelfT, context: Context, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result = execute(self, context, *args, **kwargs)
        except NO_FAILURES:
            raise
        except (Exception, AirflowTaskTimeout) as failure:
            leave_reason(context, failure, self.project_id)
            raise
        self.has_executed = True
        return result

    return cast("Callable[Concatenate[SelfT, Context, P], R]", wrapper)


def leave_reason(context: Context, failure: BaseException, project_id: str | None) -> None:
    """Leave the XCom ``klap_error``; what fails here is logged, as the task fails anyway."""
    try:
        context["ti"].xcom_push(key=ERROR_KEY, value=_said_of(failure, project_id))
    except Exception:
        log.exception("The reason of the failure could not be left: %s", failure)


def _said_of(failure: BaseException, project_id: str | None) -> Failure:
    kind, words = type(failure).__name__, str(failure)
    if not isinstance(failure, KlapError | AirflowSensorTimeout | AirflowFailException):
        words = redaction.without_secrets(f"{kind}: {words}")[:LONGEST_REASON]
    said: Failure = {"error": words, "type": kind, "project_id": project_id}
    if isinstance(failure, KlapError) and failure.paid:
        said["paid"] = failure.paid
    if isinstance(failure, KlapError) and failure.open_decision is not None:
        said["open_decision"] = cast(
            "OpenDecision", {**failure.open_decision._asdict(), "jobs": [*failure.open_decision.jobs]}
        )
    return said


class KlapOperator(HooksRendering):
    """
    Base of the operators and sensors.

    :param klap_conn_id: the Airflow connection, of type ``klap``. Default ``klap_default``. Templated.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection. Templated.
    :param retry_policy: which errors are retried. Default
        :class:`~klap_provider.operators.retry_policy.KlapRetryPolicy`.
    """

    ui_color = "#ece4ff"

    #: The short that a task is about, if it is about one; shown as the map index and named in the manifest.
    project_id: str | None = None
    folder_id: str | None = None
    short_name: str | None = None

    #: Where its videos go, of a task that delivers or sees to it that there can be delivered.
    destination: str | None = None

    #: The task that submitted the video of the run, of a task that delivers.
    submit_task_id: str | None = None

    #: Whether it has ended well, and only its result is still to be stored.
    has_executed = False

    _words_of_author: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        klap_conn_id: str = DEFAULT_CONN_ID,
        on_behalf_of: str | None = None,
        retry_policy: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy or KlapRetryPolicy(), **kwargs)
        self.klap_conn_id = klap_conn_id
        self.on_behalf_of = on_behalf_of

    def around_rendering(self, context: Context, render: Callable[[Context], None]) -> None:
        """
        Render the template fields; mask the secrets in them before Airflow stores them.

        :raises KlapTemplateError: a field could not be filled in; left as ``klap_error``.
        """
        templates = {name: getattr(self, name) for name in self.template_fields}
        pulling, pulls = pulling_once(context)
        try:
            render(pulling)
        except (*NO_FAILURES, AirflowRuntimeError, KlapError):  # Airflow's API failed: that may pass
            raise
        except Exception as failure:
            problem = self._unrendered(failure, templates, pulling, pulls)
            leave_reason(context, problem, self._rendered_alone(templates.get("project_id"), pulling))
            raise problem from failure
        for secret in _secrets([getattr(self, name) for name in self.template_fields]):
            mask_secret(secret)

    def _unrendered(
        self, failure: Exception, templates: Mapping[str, Any], context: Context, pulls: PullsOnce
    ) -> KlapTemplateError:
        """
        Return the error for fields that could not be filled in.

        :param templates: the fields as the Dag file has them. What is rendered must not be rendered once more.
        """
        fields = (name for name, value in templates.items() if not self._can_render(value, context))
        field = next(fields, "one of its fields")
        cause = redaction.without_secrets(f"{type(failure).__name__}: {failure}")[:LONGEST_REASON]
        if pulls.missing:
            return KlapTemplateError(
                f"Nothing was done: {field} needs the result of the task {pulls.missing[-1]!r}, which has none "
                f"({cause}). That task was marked as success by hand, or its XCom was deleted. Clear that task and "
                "its downstream tasks: what was paid for is not paid for again."
            )
        for task_id, text in pulls.texts.items():
            if f"/{task_id}/" in text:  # as in the path of each file of an XCom backend
                return unreadable(task_id, text)
        return KlapTemplateError(
            f"Nothing was done: {field} could not be filled in ({cause}). Correct its template in the Dag file, or the "
            "value that it is made of, and clear this task."
        )

    def _can_render(self, template: Any, context: Context) -> bool:
        try:
            self.render_template(template, context)
        except Exception:  # whatever a template raises
            return False
        return True

    def _rendered_alone(self, template: Any, context: Context) -> str | None:
        """Return what a template says, if that is a text."""
        try:
            rendered = self.render_template(template, context)
        except Exception:
            return None
        return rendered if isinstance(rendered, str) else None

    def note_author(self, *names: str) -> None:
        """
        Note which parameters are the DAG file's own words, to be called in the constructor.

        Those of a mapped task can come from anywhere.
        """
        if not is_unmapped(self):
            self._words_of_author |= {name for name in names if is_static(getattr(self, name))}

    def require_allowed(self, name: str, allowed: Sequence[str] | None) -> None:
        """
        Refuse an address that the Dag file does not set and the allowlist does not cover.

        :param name: name of the parameter. An empty value is allowed.
        :param allowed: see :func:`~klap_provider.files.allowlist.require_allowed_address`.
        :raises KlapInputError: the address is not allowed.
        """
        address = getattr(self, name)
        if address and name not in self._words_of_author:
            from klap_provider.files.allowlist import require_allowed_address

            require_allowed_address(name, address, allowed)

    @property
    def shown_name(self) -> str:
        """The short's name as the map index: Airflow's database takes 250 characters, and some take no NUL."""
        return redaction.writable(str(self.short_name or self.project_id or ""))[:LONGEST_NAME]

    @functools.cached_property
    def connection(self) -> KlapConnection:
        """
        The connection, for a task that may not have to ask Klap at all: the client would load requests.

        :raises KlapConfigError: it is missing, has no key, or a setting of it is wrong.
        :raises KlapInputError: ``on_behalf_of`` is no id.
        :raises KlapLookUpError: Airflow cannot say just now.
        """
        from klap_provider.hooks.lookup import look_up

        return look_up(self.klap_conn_id).acting_for(self.on_behalf_of)

    @functools.cached_property
    def client(self) -> KlapClient:
        """The client of this task's connection."""
        # Not at the top: requests would be loaded at every parse of the DAG file.
        from klap_provider.hooks.client import KlapClient

        return KlapClient(self.klap_conn_id, on_behalf_of=self.on_behalf_of)

    def resolve_destination(self, allowed: Sequence[str] | None, context: Context | None = None) -> str:
        """
        Return where shorts go: as the task was told, or as the connection says, or else Airflow's home.

        The run may use the latter two, and what its submission recorded (``submit_task_id``), without an entry in the
        allowlist. What the submission recorded holds to the end of the run, whatever changes after the payment.

        :param allowed: see :meth:`require_allowed`.
        :param context: of the task, where it has a ``submit_task_id``.
        :raises KlapInputError: it may not be named; or nobody has named any, and Airflow's home is not the same for all
            tasks.
        """
        from klap_provider.files.allowlist import default_folder
        from klap_provider.files.destination import resolve_destination

        try:
            self.require_allowed("destination", allowed)
        except KlapInputError:
            if self.destination != self._recorded(context) and self.destination not in (
                self.connection.destination,
                default_folder(),
            ):
                raise
        return resolve_destination(self.destination or self.connection.destination, klap_conn_id=self.klap_conn_id)

    def _recorded(self, context: Context | None) -> str | None:
        """Return the destination that the run's submission recorded: it had passed the allowlist by then."""
        if context is None or self.submit_task_id is None:
            return None
        submitted = cast("Submitted | None", pull(context, self.submit_task_id))
        return submitted and submitted["destination"]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait, or fail as it has failed."""
        return self._resume(context, next_method, next_kwargs)

    @reports_failure
    def _resume(self, context: Context, next_method: str, next_kwargs: dict[str, Any] | None) -> Any:
        return super().resume_execution(next_method, next_kwargs, context)

    def poll(self, target: Target[R], state: PollState) -> Done[R] | PollAgain:
        """
        Poll a job once, and decide what the result means.

        :raises KlapError: the wait is over, and not well.
        """
        result: R | KlapError
        try:
            within = max(state.deadline - time.time(), polling.LAST_POLL)
            result = self.client.call(target.call(), backoff=retry.ONCE, within=within)
        except KlapError as failure:
            result = failure
        return target.decide(result, state, now=time.time())


def writer_of(context: Context) -> Writer:
    """Return the try of this task instance, to which the partial files that it writes belong."""
    from klap_provider.files.storage import Writer

    ti = context["ti"]
    return Writer(f"{ti.dag_id} {ti.run_id} {ti.task_id} {ti.map_index}", ti.try_number)


def require_fields(operator: BaseOperator, context: Context) -> None:
    """
    Refuse a run whose conf has names that are none of its DAG's params.

    :raises KlapInputError: names them.
    """
    run = context.get("dag_run")
    require_known(run.conf if run else None, {*operator.dag.params, *operator.params})


def is_static(value: Any) -> bool:
    """Whether a constructor argument is its final value: plain data, with nothing to template or to resolve."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, dict):
        return all(map(is_static, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_static, value))
    return value is None or isinstance(value, bool | int | float)


def rendered_number(value: Any) -> int | None:
    """Return a whole number that a template may have rendered as text; None for anything else."""
    try:
        return int(float(value or ""))
    except (TypeError, ValueError, OverflowError):
        return None


def rendered_ids(value: Any) -> list[str] | None:
    """Return ids that a template may have rendered as the text of a JSON list; None for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return [str(each) for each in value] if isinstance(value, list | tuple) else None


def _secrets(value: Any) -> Iterator[str]:
    """Return what of the addresses in rendered fields is not to be shown."""
    if isinstance(value, str):
        yield from redaction.secrets_in(value) if "://" in value else ()
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _secrets(each)


def check_now(check: Callable[[], Any]) -> None:
    """Run a check in a constructor, where Airflow's users expect a ``ValueError``."""
    try:
        check()
    except KlapInputError as wrong:
        raise ValueError(str(wrong)) from None
