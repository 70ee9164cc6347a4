"""What the sensors for tasks and exports have in common: four modes that decide alike."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue, timezone
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from klap_provider.airflow_internals.tasks import can_end_in_triggerer, failed_in_triggerer
from klap_provider.errors import KlapError, KlapInputError, KlapTimeoutError, KlapUnknownStatusError, KlapWaitError
from klap_provider.operators.base import KlapOperator, reports_failure
from klap_provider.rules import pace, polling
from klap_provider.telemetry import metrics, past_jobs
from klap_provider.xcoms import WATCH_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

    from klap_provider.rules.pace import Documented, Pace
    from klap_provider.rules.polling import Ready, Target, Wait, Watch
    from klap_provider.triggers.status import KlapTrigger

#: Seconds by which Airflow's own deferral timeout lies beyond the deadline that the trigger keeps.
BACKSTOP = 600


class KlapJobSensor(KlapOperator, BaseSensorOperator):
    """
    Wait until a job of Klap is ready. Base of the sensors.

    Every mode gives up at the same moment, and has the same result and exceptions. The first look is taken at once; in
    the triggerer, and at a job that was submitted only just now, when the pace says so. A look that fails in passing
    (no connection, 429, 5xx, an HTML page) never ends the wait.

    :param submitted_at: when the job was submitted: an ISO 8601 time or seconds since the epoch, as the submitting
        operators return it. The deadline counts from it, whatever retries or clears come between. Default: the
        first look of this task. Templated.
    :param timeout: seconds, or a timedelta, from ``submitted_at`` until the wait is given up.
    :param poke_interval: seconds between looks at least. Default: that of the connection, or else 5; in ``reschedule``
        mode 60.
    :param max_wait: seconds between looks at most. What comes in between, :class:`~klap_provider.rules.pace.Pace`
        says, of what Klap's documents say and the connection's last jobs took.
    :param mode: ``poke`` holds a worker for the whole wait, ``reschedule`` starts one for each look.
    :param deferrable: wait in the triggerer, without a worker. Default: true, unless ``mode`` is given.
    :param end_from_trigger: when deferred, finish from the triggerer, without a second worker start; what that leaves
        out, and where it is without effect, says
        :func:`~klap_provider.airflow_internals.tasks.can_end_in_triggerer`. Default false.
    :raises AirflowSensorTimeout: the deadline has passed (no retries; with ``soft_fail`` the task is skipped).
    :raises KlapJobFailedError: Klap gave up on the job, with Klap's reason.
    :raises KlapUnknownStatusError: Klap went on reporting a status that its API does not have.
    :raises KlapError: a look failed for good, such as with 401 or 404.
    """

    #: Seconds between looks at most, by default.
    default_max_wait: ClassVar[float]

    #: Seconds of the video that the job is about, if it is known.
    duration: float | None = None

    def __init__(
        self,
        *,
        submitted_at: str | float | None = None,
        poke_interval: timedelta | float | None = None,
        max_wait: timedelta | float | None = None,
        mode: str | None = None,
        deferrable: bool | None = None,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        if mode is not None and deferrable:
            raise ValueError(f"deferrable=True leaves no use for mode={mode!r}; give one of them")
        if kwargs.get("silent_fail"):
            raise ValueError("silent_fail is not supported: passing faults never end the wait, lasting ones must")
        # Bounds that the connection may have otherwise.
        self.unbounded = poke_interval is None and mode != "reschedule", max_wait is None
        if poke_interval is None:
            poke_interval = 60 if mode == "reschedule" else 5
        super().__init__(
            poke_interval=poke_interval,
            max_wait=self.default_max_wait if max_wait is None else max_wait,
            mode=mode or "poke",
            **kwargs,
        )
        self.submitted_at = submitted_at
        self.deferrable = mode is None if deferrable is None else deferrable
        # Not under its own name, see airflow_internals.tasks.can_end_in_triggerer.
        self.ends_in_triggerer = end_from_trigger
        self._wait: Wait | None = None

    @property
    @abstractmethod
    def documented(self) -> Documented:
        """How long such jobs take."""

    @property
    @abstractmethod
    def trigger_type(self) -> type[KlapTrigger]:
        """What waits without a worker."""

    @abstractmethod
    def target(self) -> Target[Any]:
        """Return what is waited for, from the rendered fields."""

    @reports_failure
    def execute(self, context: Context) -> Any:
        """Wait, and return what :meth:`target` makes of the answer."""
        if not self.deferrable:
            return super().execute(context)
        watch = self._begin(context)
        due = watch.started_at + watch.pace.delay(0)
        if self.submitted_at and time.time() < due < watch.deadline:
            self.target().call()  # names an id that is none
            self._defer(polling.Wait(due - time.time(), replace(watch, running_at=watch.started_at)))
        return self._look_or_defer(watch, is_first=True)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Look again with what the trigger knew, and return, fail or go on waiting."""
        watch = replace(self._begin(context), unknown_since=event["unknown_since"], running_at=event.get("running_at"))
        return self._look_or_defer(watch, is_first=False)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait, also where it was the triggerer that failed: that says nothing of the job."""
        if failed_in_triggerer(next_method):
            next_method, next_kwargs = "look_instead", {"error": str((next_kwargs or {}).get("error"))}
        return super().resume_execution(next_method, next_kwargs, context)

    def look_instead(self, context: Context, error: str) -> Any:
        """
        Take the look that the triggerer could not take.

        :raises KlapWaitError: the job is not ready.
        """
        verdict = self._verdict(self._begin(context))
        if isinstance(verdict, polling.Ready):
            return self.target().xcom(verdict)
        raise KlapWaitError(
            f"The triggerer could not wait for {self.target()} ({error}): see its log. It is not ready; the next try "
            "goes on waiting."
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Take one look."""
        watch = self._begin(context) if self._wait is None else self._wait.watch
        try:
            verdict = self._look(watch)
        except KlapUnknownStatusError:
            self._remember(context, replace(watch, unknown_since=None))  # a clear of the task waits anew
            raise
        if isinstance(verdict, polling.Ready):
            if self._wait is not None or context.get("task_reschedule_count"):
                self._time(watch)
            return PokeReturnValue(is_done=True, xcom_value=self.target().xcom(verdict))
        if verdict.watch.unknown_since != watch.unknown_since:
            self._remember(context, verdict.watch)
        self._wait = verdict
        return PokeReturnValue(is_done=False)

    def _get_next_poke_interval(self, *_: Any) -> float:
        return self.poke_interval if self._wait is None else self._wait.seconds

    def _begin(self, context: Context) -> Watch:
        """Return the watch as it stands: anchored on the submission, or else on this task's very first look."""
        submitted_at = _seconds(self.submitted_at)
        record: Any = None
        if submitted_at is None or not self.deferrable:
            record = context["task_state_store"].get(WATCH_KEY)
        if record is None or record["target"] != str(self.target()):  # another job, after a clear further up
            record = {"started_at": time.time(), "unknown_since": None}
        started_at = record["started_at"] if submitted_at is None else submitted_at
        watch = polling.Watch(
            started_at=started_at,
            deadline=started_at + self.timeout,
            pace=self._pace(),
            unknown_since=record["unknown_since"],
        )
        if submitted_at is None and "target" not in record:
            self._remember(context, watch)
        return watch

    def _pace(self) -> Pace:
        shortest = self.poke_interval
        longest = self.max_wait.total_seconds() if self.max_wait else shortest
        if any(self.unbounded):
            try:
                connection = self.connection
            except KlapError as failure:  # the look tells whether that is the end
                self.log.info("How often the connection has it looked is not known: %s", failure)
            else:
                shortest = (self.unbounded[0] and connection.poke_interval) or shortest
                longest = (self.unbounded[1] and connection.max_wait) or longest
        of = float(self.duration) if self.duration else None
        known = past_jobs.lengths_of(self.klap_conn_id, self.target().job, of=of)
        return pace.Pace(shortest, max(shortest, longest), pace.learned(self.documented, known))

    def _remember(self, context: Context, watch: Watch) -> None:
        record = {"target": str(self.target()), "started_at": watch.started_at, "unknown_since": watch.unknown_since}
        context["task_state_store"].set(WATCH_KEY, cast("dict[str, JsonValue]", record))

    def _look(self, watch: Watch) -> Ready[Any] | Wait:
        try:
            return self.look(self.target(), watch)
        except KlapTimeoutError as timeout:
            raise AirflowSensorTimeout(str(timeout)) from timeout

    def _time(self, watch: Watch) -> None:
        """Note how long the job took; not for one that was ready at the first look, which may be long after."""
        metrics.time(metrics.WAIT, time.time() - watch.started_at, job=self.target().job)

    def _verdict(self, watch: Watch) -> Ready[Any] | Wait:
        try:
            return self._look(watch)
        except (AirflowSensorTimeout, KlapError) as failure:
            # What BaseSensorOperator does in its other modes.
            if self.never_fail or (self.soft_fail and isinstance(failure, AirflowSensorTimeout)):
                raise AirflowSkipException(str(failure)) from failure
            raise

    def _look_or_defer(self, watch: Watch, *, is_first: bool) -> Any:
        verdict = self._verdict(watch)
        if isinstance(verdict, polling.Ready):
            if not is_first:
                self._time(watch)
            return self.target().xcom(verdict)
        return self._defer(verdict)

    def _defer(self, wait: Wait) -> None:
        self.log.info("Waiting in the triggerer for %s", self.target())
        self.defer(
            trigger=self.trigger_type.watching(
                self.target(),
                wait,
                klap_conn_id=self.klap_conn_id,
                on_behalf_of=self.on_behalf_of,
                end_from_trigger=self.ends_in_triggerer and can_end_in_triggerer(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, wait.watch.deadline - time.time()) + BACKSTOP),
        )


def _seconds(submitted_at: str | float | None) -> float | None:
    if submitted_at is None or submitted_at == "":
        return None
    try:
        return float(submitted_at)
    except ValueError:
        pass
    try:
        return timezone.parse(str(submitted_at)).timestamp()
    except ValueError:
        raise KlapInputError(
            f"submitted_at is {submitted_at!r}; it takes an ISO 8601 time or seconds since the epoch."
        ) from None
