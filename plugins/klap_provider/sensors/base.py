"""The base of the sensors, which wait the same way in every mode."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf, timezone
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from klap_provider.airflow_internals.tasks import can_end_in_triggerer, failed_in_triggerer
from klap_provider.errors import KlapError, KlapInputError, KlapTimeoutError, KlapUnknownStatusError, KlapWaitError
from klap_provider.operators.base import KlapOperator
from klap_provider.operators.failures import reports_failure
from klap_provider.rules import poll_schedule, polling
from klap_provider.telemetry import metrics
from klap_provider.xcoms import WAIT_STATE_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

    from klap_provider.rules.poll_schedule import PollSchedule
    from klap_provider.rules.polling import Done, PollAgain, PollState, Target
    from klap_provider.triggers.status import KlapTrigger

#: Seconds between polls in ``reschedule`` mode, where each poll starts a worker.
RESCHEDULE_INTERVAL = 60.0

#: Maximum difference between the clocks of two machines, in seconds.
MAX_CLOCK_SKEW = 3600.0

#: Seconds from the trigger's deadline to the timeout of the deferral, after which Airflow ends a trigger that hangs.
DEFERRAL_MARGIN = 600


class KlapJobSensor(KlapOperator, BaseSensorOperator):
    """
    Base of the sensors: wait until a job of Klap is ready.

    All modes have the same deadline, result and exceptions. A transient error (no connection, 429, 5xx, an HTML page)
    never ends the wait before its deadline. One list request answers the waits for all exports of a folder.

    :param submitted_at: when the job was submitted: an ISO 8601 time or seconds since the epoch, as the submitting
        operators return it. The deadline counts from it, also after retries and clears. Default: the first poll of this
        task. Templated.
    :param timeout: time from ``submitted_at`` until the sensor gives up, in seconds or as a timedelta.
    :param poke_interval: time between two polls, in seconds or as a timedelta. Default: that of the connection, or else
        Klap's documented interval: 30 s for a task, 15 s for an export. In ``reschedule`` mode 60 s.
    :param first_poll: seconds from ``submitted_at`` to the first poll in the triggerer. Default: that of the
        connection, or else twice the interval. In the other modes the first poll comes at once.
    :param mode: without ``deferrable``: ``poke`` holds a worker for the whole wait, ``reschedule`` starts one for each
        poll. Default ``poke``.
    :param deferrable: wait in the triggerer, without a worker. Default: ``[operators] default_deferrable`` of Airflow's
        configuration.
    :param end_from_trigger: when deferred, end the task from the triggerer, without a second worker start. It has no
        effect if a worker has more to do at the end, such as an asset event or a callback
        (:func:`~klap_provider.airflow_internals.tasks.can_end_in_triggerer`). Default false.
    :raises AirflowSensorTimeout: the deadline has passed. The task is not retried; with ``soft_fail`` it is skipped.
    :raises KlapJobFailedError: the job failed at Klap. The message has Klap's reason.
    :raises KlapUnknownStatusError: Klap reported a status that its API does not have, for two minutes.
    :raises KlapError: a poll failed with an error that is not transient, such as 401 or 404.
    """

    def __init__(
        self,
        *,
        submitted_at: str | float | None = None,
        poke_interval: timedelta | float | None = None,
        first_poll: float | None = None,
        mode: str = "poke",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("silent_fail"):
            raise ValueError("silent_fail is not supported. Transient errors never end the wait, other errors do")
        self.has_own_interval = poke_interval is not None
        super().__init__(
            poke_interval=RESCHEDULE_INTERVAL if poke_interval is None else poke_interval,
            mode=mode,
            **kwargs,
        )
        self._timeout_of_wait: float | None = None  # without deferral, see execute
        self.submitted_at = submitted_at
        self.first_poll = first_poll
        self.deferrable = deferrable
        self.exponential_backoff = False  # the poll schedule applies instead
        # Not named end_from_trigger, see airflow_internals.tasks.can_end_in_triggerer.
        self.ends_in_triggerer = end_from_trigger
        self._poll_again: PollAgain | None = None
        # The list of shorts, which is polled once their task is ready.
        self._next_target: Target[Any] | None = None

    @property
    @abstractmethod
    def trigger_type(self) -> type[KlapTrigger]:
        """The trigger that waits without a worker."""

    @abstractmethod
    def target(self) -> Target[Any]:
        """Return the job to wait for, from the rendered fields."""

    @reports_failure
    def execute(self, context: Context) -> Any:
        """Wait until the job is ready, and return its XCom."""
        if not self.deferrable:
            # poke() fails at the deadline, with the reason. Airflow's own check does not have it.
            self._timeout_of_wait, self.timeout = self.timeout, math.inf
            return super().execute(context)
        state = self._state(context)
        waited = time.time() - state.started_at
        seconds = state.schedule.until_first(waited)
        if self.submitted_at and waited < state.schedule.first_poll and waited + seconds < self.timeout:
            self.target().call()  # raises for an invalid id
            self._defer(polling.PollAgain(seconds, state))
        return self._poll_or_defer(state, is_first=True)

    def execute_complete(self, context: Context, event: dict[str, Any], **_unknown: Any) -> Any:
        """Poll with the state from the trigger, and return, fail or defer again."""
        state = replace(
            self._state(context), unknown_since=event.get("unknown_since"), handovers=event.get("handovers", 0)
        )
        return self._poll_or_defer(state.with_list(event), is_first=False)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a wait, even if the trigger failed: that does not mean that the job failed."""
        if failed_in_triggerer(next_method):
            next_method, next_kwargs = "poll_after_trigger_failure", {"error": str((next_kwargs or {}).get("error"))}
        return super().resume_execution(next_method, next_kwargs, context)

    def poll_after_trigger_failure(self, context: Context, error: str) -> Any:
        """
        Poll once, after the trigger failed.

        :raises KlapWaitError: the job is not ready. A retry continues the wait.
        """
        decision = self._decide(self._state(context), is_first=False)
        if isinstance(decision, polling.Done):
            return self._xcom(decision)
        if self._next_target is not None:
            return self._next_target.xcom(polling.Done(None))
        raise KlapWaitError(
            f"The triggerer could not wait for {self.target()} ({error}), and the job is not ready yet. See the log of "
            "the triggerer. The next try of this task continues the wait."
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once."""
        state = self._state(context) if self._poll_again is None else self._poll_again.state
        is_first = self._poll_again is None and not context.get("task_reschedule_count")
        try:
            decision = self._poll(state, is_first=is_first)
        except KlapUnknownStatusError:
            self._store(context, replace(state, unknown_since=None))  # a clear starts a new grace period
            raise
        if isinstance(decision, polling.Done):
            return PokeReturnValue(is_done=True, xcom_value=self._xcom(decision))
        if (decision.state.unknown_since, decision.state.of_list) != (state.unknown_since, state.of_list):
            self._store(context, decision.state)
        self._poll_again = decision
        seconds = decision.seconds
        if self.reschedule:  # each poll starts a worker, so a list is not polled every 5 s
            longest = decision.state.deadline - time.time()
            seconds = max(seconds, min(self.poke_interval, RESCHEDULE_INTERVAL, longest))
        self.poke_interval = seconds  # BaseSensorOperator waits for so long
        return PokeReturnValue(is_done=False)

    def _state(self, context: Context) -> PollState:
        """Return the state of the wait. It starts at the submission, or else at the first poll of this task."""
        submitted_at = _seconds(self.submitted_at)
        record: Any = None
        if submitted_at is None or not self.deferrable:
            record = context["task_state_store"].get(WAIT_STATE_KEY)
        if record is None or record["target"] != str(self.target()):  # another job, after an upstream task was cleared
            record = {"started_at": time.time(), "unknown_since": None}
        started_at = record["started_at"] if submitted_at is None else submitted_at
        state = polling.PollState(
            started_at=started_at,
            deadline=started_at + (self.timeout if self._timeout_of_wait is None else self._timeout_of_wait),
            schedule=self.schedule(),
            unknown_since=record["unknown_since"],
        ).with_list(record)
        if submitted_at is None and "target" not in record:
            self._store(context, state)
        return state

    def schedule(self) -> PollSchedule:
        """Return the poll schedule: of the sensor, or else of the connection, or else of Klap's documentation."""
        interval, first = self.poke_interval if self.has_own_interval else None, self.first_poll
        if interval is None and self.mode == "reschedule" and not self.deferrable:
            interval = RESCHEDULE_INTERVAL
        if interval is None or first is None:
            try:
                interval = interval or self.connection.poke_interval
                first = self.connection.first_poll if first is None else first
            except KlapError as failure:  # the poll fails with the same error, if it is not transient
                self.log.info("The poll interval of the connection cannot be read: %s", failure)
        return poll_schedule.PollSchedule(interval or self.target().schedule.interval, first)

    def _store(self, context: Context, state: PollState) -> None:
        record = {
            "target": str(self.target()),
            "started_at": state.started_at,
            "unknown_since": state.unknown_since,
            **state.of_list,
        }
        context["task_state_store"].set(WAIT_STATE_KEY, cast("dict[str, JsonValue]", record))

    def _poll(self, state: PollState, *, is_first: bool) -> Done[Any] | PollAgain:
        target = self._next_target or self.target()
        try:
            decision = self.poll(target, state)
            if isinstance(decision, polling.Done):
                if not is_first and state.ready_at is None:  # not known if the job was ready at the first poll
                    metrics.time(metrics.WAIT, time.time() - state.started_at, job=self.target().job)
                following = target.following(decision, state, now=time.time(), is_first=is_first)
                if following is not None:
                    self._next_target, state = following
                    decision = self.poll(self._next_target, state)
            return decision
        except KlapTimeoutError as timeout:
            raise AirflowSensorTimeout(str(timeout)) from timeout

    def _xcom(self, done: Done[Any]) -> Any:
        return (self._next_target or self.target()).xcom(done)

    def _decide(self, state: PollState, *, is_first: bool) -> Done[Any] | PollAgain:
        try:
            return self._poll(state, is_first=is_first)
        except (AirflowSensorTimeout, KlapError) as failure:
            # As BaseSensorOperator does in its other modes.
            if self.never_fail or (self.soft_fail and isinstance(failure, AirflowSensorTimeout)):
                raise AirflowSkipException(str(failure)) from failure
            raise

    def _poll_or_defer(self, state: PollState, *, is_first: bool) -> Any:
        decision = self._decide(state, is_first=is_first)
        return self._xcom(decision) if isinstance(decision, polling.Done) else self._defer(decision)

    def _defer(self, again: PollAgain) -> None:
        self.log.info("Waiting in the triggerer for %s", self.target())
        self.defer(
            trigger=self.trigger_type.waiting(
                self.target(),
                again,
                klap_conn_id=self.checked_conn_id(),
                on_behalf_of=self.on_behalf_of,
                end_from_trigger=self.ends_in_triggerer and can_end_in_triggerer(self),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, again.state.deadline - time.time()) + DEFERRAL_MARGIN),
        )


def _seconds(submitted_at: str | float | None) -> float | None:
    if submitted_at is None or submitted_at == "":
        return None
    try:
        seconds = float(submitted_at)
    except ValueError:
        try:
            seconds = timezone.parse(str(submitted_at)).timestamp()
        except (ValueError, OverflowError):
            seconds = math.nan
    if not 0 <= seconds <= time.time() + MAX_CLOCK_SKEW:  # false for NaN, too
        raise KlapInputError(
            f"submitted_at is {submitted_at!r}; it takes an ISO 8601 time or seconds since the epoch, not in the "
            "future, because the deadline counts from it."
        )
    return seconds
