"""The base of all operators and sensors: connection, allowlists, and template rendering."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.log import mask_secret

from klap_provider.airflow_internals.rendering import HooksRendering
from klap_provider.airflow_internals.tasks import arguments_in_dag_file, is_unmapped
from klap_provider.api import redaction
from klap_provider.errors import KlapError, KlapInputError, KlapTemplateError
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.operators.arguments import is_static
from klap_provider.operators.failures import NOT_FAILURES, cause_of, push_error, reports_failure
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.operators.xcom_pull import cache_pulls, pull, unreadable_xcom
from klap_provider.rules import polling, retry
from klap_provider.rules.conf_validation import require_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.sdk import BaseOperator, Context, RetryPolicy

    from klap_provider.files.storage import Writer
    from klap_provider.hooks.client import KlapClient
    from klap_provider.hooks.connection import KlapConnection
    from klap_provider.operators.xcom_pull import CachedPulls
    from klap_provider.rules.polling import Done, PollAgain, PollState, Target
    from klap_provider.xcoms import Submitted

R = TypeVar("R")

#: Maximum length of a short's name in the map index. Airflow's database takes 250 characters.
MAX_NAME_LENGTH = 200


class KlapOperator(HooksRendering):
    """
    Base of the operators and sensors.

    :param klap_conn_id: the Airflow connection, of type ``klap``. Default ``klap_default``. Templated.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection. Templated.
    :param allowed_connections: ids of the connections that a run may use as ``klap_conn_id``. A value in the Dag file
        is always allowed. Default: ``[klap] allowed_connections`` of Airflow's configuration, or else none.
    :param retry_policy: which errors are retried. Default
        :class:`~klap_provider.operators.retry_policy.KlapRetryPolicy`.
    """

    ui_color = "#ece4ff"

    #: The short that the task works on, if any. Shown as the map index and named in the manifest.
    project_id: str | None = None
    folder_id: str | None = None
    short_name: str | None = None

    #: Where the videos are delivered. Only set by tasks that deliver or that check the destination.
    destination: str | None = None

    #: Id of the task that submitted the run's video. Only set by tasks that deliver.
    submit_task_id: str | None = None

    #: Whether ``execute`` has succeeded. Airflow may still fail to store the result.
    has_executed = False

    #: The context that the fields were rendered with, which has the XComs that they used.
    _rendering_context: Context | None = None

    #: Parameters whose values are constants in the Dag file. They need no entry in an allowlist.
    _static_params: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        klap_conn_id: str = DEFAULT_CONN_ID,
        on_behalf_of: str | None = None,
        allowed_connections: Sequence[str] | None = None,
        retry_policy: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy or KlapRetryPolicy(), **kwargs)
        self.klap_conn_id = klap_conn_id
        self.on_behalf_of = on_behalf_of
        self.allowed_connections = allowed_connections
        self.note_static("klap_conn_id")

    def around_rendering(self, context: Context, render: Callable[[Context], None]) -> None:
        """
        Render the template fields, and mask the secrets in them before Airflow stores them.

        :raises KlapTemplateError: a field could not be rendered. The XCom ``klap_error`` has the reason.
        """
        templates = {name: getattr(self, name) for name in self.template_fields}
        cached_context, pulls = cache_pulls(context)
        self._rendering_context = cached_context
        try:
            render(cached_context)
        except (*NOT_FAILURES, AirflowRuntimeError, KlapError):  # Airflow's API failed, which can be transient
            raise
        except Exception as failure:
            problem = self._template_error(failure, templates, cached_context, pulls)
            push_error(context, problem, self._render_text(templates.get("project_id"), cached_context))
            raise problem from failure
        for secret in _secrets([getattr(self, name) for name in self.template_fields]):
            mask_secret(secret)

    def _template_error(
        self, failure: Exception, templates: Mapping[str, Any], context: Context, pulls: CachedPulls
    ) -> KlapTemplateError:
        """
        Return the error for fields that could not be rendered.

        :param templates: the fields before rendering, because a rendered value must not be rendered again.
        """
        fields = (name for name, value in templates.items() if not self._can_render(value, context))
        field = next(fields, "one of its fields")
        cause = cause_of(failure)
        if pulls.missing:
            upstream = self.get_flat_relative_ids(upstream=True)
            return KlapTemplateError(f"Nothing was done: {field} needs {pulls.describe_missing(upstream, cause)}")
        for task_id, text in pulls.texts.items():
            if f"/{task_id}/" in text:  # the path of an XCom backend's file has the task's id
                return unreadable_xcom(task_id, text)
        return KlapTemplateError(
            f"Nothing was done: {field} could not be rendered ({cause}). Correct its template in the Dag file, or the "
            "value that the template uses, and clear this task."
        )

    def _can_render(self, template: Any, context: Context) -> bool:
        try:
            self.render_template(template, context)
        except Exception:  # whatever a template raises
            return False
        return True

    def _render_text(self, template: Any, context: Context) -> str | None:
        """Return a rendered template; None if it cannot be rendered or is no text."""
        try:
            rendered = self.render_template(template, context)
        except Exception:
            return None
        return rendered if isinstance(rendered, str) else None

    def note_static(self, *names: str) -> None:
        """
        Note which of these parameters are constants in the Dag file. Call it in the constructor.

        Those of a mapped task are compared with the Dag file later, because they can come from another task.
        """
        if not is_unmapped(self):
            self._static_params |= {name for name in names if is_static(getattr(self, name))}

    def _is_in_dag_file(self, name: str, *, default: Any = None) -> bool:
        """
        Return whether the value of a parameter is a constant in the Dag file.

        :param default: value of the parameter if the Dag file does not set it.
        """
        if not is_unmapped(self):
            return name in self._static_params
        in_dag_file = arguments_in_dag_file(self.dag.get_task(self.task_id), name)
        constants = [default if each is None else each for each in in_dag_file if is_static(each)]
        return getattr(self, name) in constants

    def require_allowed(self, name: str, allowed: Sequence[str] | None) -> None:
        """
        Refuse an address that is neither a constant in the Dag file nor on the allowlist.

        :param name: name of the parameter. An empty value is allowed.
        :param allowed: see :func:`~klap_provider.files.allowlist.require_allowed_address`.
        :raises KlapInputError: the address is not allowed.
        """
        address = getattr(self, name)
        if address and not self._is_in_dag_file(name):
            from klap_provider.files.allowlist import require_allowed_address

            require_allowed_address(name, address, allowed)

    def checked_conn_id(self) -> str:
        """
        Return the id of the connection, after checking that the run may use it.

        :raises KlapInputError: it is neither a constant in the Dag file nor on the allowlist.
        """
        if not self._is_in_dag_file("klap_conn_id", default=DEFAULT_CONN_ID):
            from klap_provider.files.allowlist import require_allowed_connection

            require_allowed_connection(self.klap_conn_id, self.allowed_connections)
        return self.klap_conn_id

    def notify_failure(self, context: Context, failure: BaseException) -> None:
        """Notify users that the task failed. By default, nobody is notified."""

    @property
    def shown_name(self) -> str:
        """The short's name as the map index, without characters that some databases refuse."""
        return redaction.writable(str(self.short_name or self.project_id or ""))[:MAX_NAME_LENGTH]

    @functools.cached_property
    def connection(self) -> KlapConnection:
        """
        The connection. A task that may not call Klap reads it here: ``client`` loads requests.

        :raises KlapConfigError: the connection is missing, has no key, or has a wrong setting.
        :raises KlapInputError: ``on_behalf_of`` is not an id, or the run may not use the connection.
        :raises KlapLookUpError: a secrets backend did not answer.
        """
        from klap_provider.hooks.lookup import get_connection

        return get_connection(self.checked_conn_id()).acting_for(self.on_behalf_of)

    @functools.cached_property
    def client(self) -> KlapClient:
        """The client for this task's connection."""
        # Not at the top: every parse of the Dag file would load requests.
        from klap_provider.hooks.client import KlapClient

        return KlapClient(self.checked_conn_id(), on_behalf_of=self.on_behalf_of)

    def resolve_destination(self, allowed: Sequence[str] | None, context: Context | None = None) -> str:
        """
        Return the destination: of this task, or else of the connection, or else in Airflow's home.

        A run may always use the latter two, and the destination that its submission recorded (``submit_task_id``),
        whatever the allowlist says today.

        :param allowed: see :meth:`require_allowed`.
        :param context: context of the task. Only needed if the task has a ``submit_task_id``.
        :raises KlapInputError: the destination is not allowed; or it is empty, and Airflow's home is not the same for
            all tasks.
        """
        from klap_provider.files.allowlist import default_folder
        from klap_provider.files.destination import resolve_destination

        try:
            self.require_allowed("destination", allowed)
        except KlapInputError:
            if self.destination != self._recorded_destination(context) and self.destination not in (
                self.connection.destination,
                default_folder(),
            ):
                raise
        return resolve_destination(self.destination or self.connection.destination, klap_conn_id=self.klap_conn_id)

    def _recorded_destination(self, context: Context | None) -> str | None:
        """Return the destination that the run's submission recorded, after it checked the allowlist."""
        if context is None or self.submit_task_id is None:
            return None
        submitted = cast("Submitted | None", pull(self.with_pulls(context), self.submit_task_id))
        return submitted and submitted["destination"]

    def with_pulls(self, context: Context) -> Context:
        """Return the context for pulls of XComs that the fields may have used: these are not requested again."""
        return self._rendering_context or context

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a wait. A failure is reported as one of ``execute``."""
        return self._resume(context, next_method, next_kwargs)

    @reports_failure
    def _resume(self, context: Context, next_method: str, next_kwargs: dict[str, Any] | None) -> Any:
        return super().resume_execution(next_method, next_kwargs, context)

    def poll(self, target: Target[R], state: PollState) -> Done[R] | PollAgain:
        """
        Poll a job once, and return whether it is done or when to poll again.

        :raises KlapError: the job failed, the deadline has passed, or the error is not transient.
        """
        result: R | KlapError
        try:
            within = max(state.deadline - time.time(), polling.LAST_POLL)
            result = self.client.call(target.call(), backoff=retry.ONCE, within=within)
        except KlapError as failure:
            result = failure
        return target.decide(result, state, now=time.time())


def writer_of(context: Context) -> Writer:
    """Return the id of this try of the task instance, which marks the partial files that it writes."""
    from klap_provider.files.storage import Writer

    ti = context["ti"]
    return Writer(f"{ti.dag_id} {ti.run_id} {ti.task_id} {ti.map_index}", ti.try_number)


def require_fields(operator: BaseOperator, context: Context) -> None:
    """
    Refuse a run if its conf has names that are not parameters of the Dag.

    :raises KlapInputError: the message lists these names.
    """
    run = context.get("dag_run")
    require_known(run.conf if run else None, {*operator.dag.params, *operator.params})


def _secrets(value: Any) -> Iterator[str]:
    """Return the secrets in the addresses of rendered fields."""
    if isinstance(value, str):
        yield from redaction.secrets_in(value) if "://" in value else ()
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _secrets(each)
