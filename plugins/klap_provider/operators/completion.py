"""KlapCompletionOperator: an operator that pays for a job, and can wait for it in the same task."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import conf
from airflow.sdk.exceptions import TaskDeferred

from klap_provider.airflow_internals.tasks import execute_part, failed_in_triggerer
from klap_provider.operators.submit_once import KlapSubmitOperator

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from klap_provider.operators.base import KlapOperator


class Resumed(NamedTuple):
    """
    A part of a task that continues after a wait in the triggerer.

    :param method: the method with which the part continues.
    :param kwargs: its arguments, with the event of the trigger.
    """

    method: str
    kwargs: dict[str, Any]


class KlapCompletionOperator(KlapSubmitOperator):
    """
    Base of the operators that submit a job, and with ``wait_for_completion`` also wait for it.

    They execute a sensor of this package as a part of their own task. If the part defers, the task defers, and Airflow
    stores the progress with the trigger. A task that starts again takes its progress from the ledger.

    :param wait_for_completion: wait until the job is ready, as the sensor does. Default false.
    :param deferrable: wait in the triggerer instead of on a worker. Default: ``[operators] default_deferrable`` of
        Airflow's configuration.
    :param timeout: time from the submission until the wait gives up, in seconds or as a timedelta. Default: that of the
        sensor.
    """

    def __init__(
        self,
        *,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.timeout = timeout
        self.keeps_failed_job = wait_for_completion
        self._parts: list[KlapOperator] = []

    @abstractmethod
    def submit(self, context: Context) -> Any:
        """Submit the job, or reattach to it, and return the result without the wait."""

    @abstractmethod
    def wait(self, submitted: Any) -> KlapOperator:
        """Return the sensor that waits for the job."""

    @property
    def sensor_timeout(self) -> dict[str, Any]:
        """The sensor's parameter ``timeout``, if it is not the default."""
        return {} if self.timeout is None else {"timeout": self.timeout}

    def submit_and_wait(self, context: Context) -> Any:
        """Submit, wait if that was requested, and return the result."""
        submitted = self.submit(context)
        return self.proceed(context, submitted) if self.wait_for_completion else submitted

    def proceed(self, context: Context, progress: Any, resumed: Resumed | None = None) -> Any:
        """
        Continue after the submission, and return the result.

        :param progress: what this try did before the wait, as JSON.
        :param resumed: the part that deferred. Default: none did.
        """
        return {**progress, **self.run_part(self.wait(progress), context, progress, resumed)}

    def run_part(
        self, part: KlapOperator, context: Context, progress: dict[str, Any], resumed: Resumed | None = None
    ) -> Any:
        """
        Execute another operator as a part of this task, and return its result.

        :param progress: passed to :meth:`proceed` if the part defers.
        :param resumed: how the part continues, if it has deferred. Default: it starts.
        """
        part.client, part.connection = self.client, self.client.connection
        self._parts.append(part)
        try:
            if resumed is None:
                return execute_part(part, context)
            return part.resume_execution(resumed.method, resumed.kwargs, context)
        except TaskDeferred as deferral:
            self.defer(
                trigger=deferral.trigger,
                method_name="execute_complete",
                kwargs={"progress": progress, "method": deferral.method_name, "kwargs": {**(deferral.kwargs or {})}},
                timeout=deferral.timeout,
            )

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        progress: Any = None,
        method: str | None = None,
        kwargs: dict[str, Any] | None = None,
        **_unknown: Any,
    ) -> Any:
        """Continue with the part that deferred. ``dag.test()`` passes only the event: the ledger has the progress."""
        if progress is None or method is None:
            return self.submit_and_wait(context)
        return self.proceed(context, progress, Resumed(method, {**(kwargs or {}), "event": event}))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a wait. If the triggerer failed, this worker waits: Airflow has deleted the progress."""
        if failed_in_triggerer(next_method):
            self.log.warning("The triggerer could not wait (%s): this worker waits", (next_kwargs or {}).get("error"))
            self.deferrable = False
            next_method, next_kwargs = "submit_and_wait", {}
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Log what is billed although the task was ended."""
        super().on_kill()
        for part in self._parts:
            part.on_kill()
