"""Run a task to its end in any mode, without Airflow's database.

The task instance, its context, state store and XComs are Airflow's own. Instead of Airflow's supervisor they talk
to :class:`Supervisor`, which keeps as JSON what Airflow would keep in its database.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRunState
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowRuntimeError,
    ErrorType,
    TaskAwaitingInput,
    TaskDeferred,
)
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from klap_provider.xcoms import ERROR_KEY, XCOMS, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

DAG_ID, RUN_ID = "videos", "monday"

#: The secrets of the tests' connection. No message to the supervisor may contain them.
API_KEY = "kak_test_V3rySecretKey"
ACCESS_TOKEN = "eat_test_V3rySecretToken"


def json_copy(value: Any) -> Any:
    """Return a value as it is after it was stored as JSON."""
    return json.loads(json.dumps(value))


@dataclass
class OtherRun:
    """A run of another Dag.

    :ivar published: XComs of its task ``publish``, by key.
    :ivar conf: its conf.
    :ivar note: its note in the UI.
    """

    state: str = "success"
    published: dict[str, Any] = field(default_factory=dict)
    conf: dict[str, Any] | None = None
    note: str | None = None


class Supervisor:
    """Answers the messages of tasks and triggers.

    :ivar ledger: the state store of the asset ``klap_ledger``, as JSON.
    :ivar states: states of the run's task instances, as ``get_task_states`` returns them.
    :ivar messages: every message as JSON, except those that tell Airflow what to mask.
    :ivar masked: the values that Airflow was told to mask.
    :ivar broken: classes of messages that Airflow fails on.
    :ivar questions: the required actions that tasks created.
    :ivar runs: runs of other Dags, by id.
    :ivar started_run: what every run that a task starts is at once.
    :ivar paused: whether the other Dags are paused; None = there are no other Dags.
    :ivar assets: URIs of the assets that have events, under any alias.
    """

    def __init__(self) -> None:
        self.ledger: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.messages: list[str] = []
        self.masked: list[Any] = []
        self.broken: tuple[type, ...] = ()
        self.questions: list[comms.CreateHITLDetailPayload] = []
        self.runs: dict[str, OtherRun] = {}
        self.started_run = OtherRun()
        self.paused: bool | None = False
        self.assets: list[str] = []
        #: By task, the shapes of its operator's XComs in xcoms.py; and the XComs that have another shape.
        self.shapes: dict[str, Mapping[str, Any]] = {}
        self.misshapen: list[tuple[str, str, Any]] = []
        self._stored: dict[tuple[uuid.UUID, str], tuple[str, datetime | None]] = {}
        self._xcoms: dict[tuple[str, str], dict[int, str]] = {}
        self.first_reschedule: dict[uuid.UUID, datetime] = {}

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom of the run, or None."""
        found = self._xcoms.get((task_id, key), {}).get(map_index)
        return None if found is None else json.loads(found)

    def put_xcom(self, task_id: str, value: Any, key: str = "return_value", map_index: int = -1) -> None:
        """Write an XCom of a task that the test does not run."""
        self._xcoms.setdefault((task_id, key), {})[map_index] = json.dumps(value)

    def forget_xcoms(self, task_id: str, map_index: int) -> None:
        """Delete the XComs of a task, as Airflow does before each try."""
        for (owner, _), values in self._xcoms.items():
            if owner == task_id:
                values.pop(map_index, None)

    def forget_store(self, ti_id: uuid.UUID) -> None:
        """Empty the state store of a task instance."""
        self._stored = {key: kept for key, kept in self._stored.items() if key[0] != ti_id}

    def stored(self, ti_id: uuid.UUID) -> dict[str, Any]:
        """Return the task state store of a task instance."""
        return {key: json.loads(value) for (owner, key), (value, _) in self._stored.items() if owner == ti_id}

    def keep(self, ti_id: uuid.UUID, key: str, value: Any) -> None:
        """Put a value into the task state store, as a user does in the UI."""
        self._stored[ti_id, key] = json.dumps(value), None

    def expires(self, ti_id: uuid.UUID, key: str) -> datetime | None:
        """Return when a value of the task state store expires."""
        return self._stored[ti_id, key][1]

    def send(self, msg: Any) -> Any:
        """Answer a message as Airflow's supervisor does."""
        if isinstance(msg, comms.MaskSecret):
            self.masked.append(msg.value)
            return None
        self.messages.append(msg.model_dump_json())
        if isinstance(msg, self.broken):
            raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        match msg:
            case comms.GetTaskStateStore():
                found = self._stored.get((msg.ti_id, msg.key))
                if found is None:
                    return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
                return comms.TaskStateStoreResult(value=json.loads(found[0]))
            case comms.SetTaskStateStore():
                self._stored[msg.ti_id, msg.key] = json.dumps(msg.value), msg.expires_at
            case comms.DeleteTaskStateStore():
                self._stored.pop((msg.ti_id, msg.key), None)
            case comms.GetAssetStateStoreByName():
                if msg.key not in self.ledger:
                    return comms.ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND)
                return comms.AssetStateStoreResult(value=json.loads(self.ledger[msg.key]))
            case comms.SetAssetStateStoreByName():
                self.ledger[msg.key] = json.dumps(msg.value)
            case comms.DeleteAssetStateStoreByName():
                self.ledger.pop(msg.key, None)
            case comms.SetXCom():
                self._compare(msg)
                self.put_xcom(msg.task_id, msg.value, msg.key, -1 if msg.map_index is None else msg.map_index)
            case comms.GetXCom() if msg.run_id in self.runs:
                return comms.XComResult(key=msg.key, value=self.runs[msg.run_id].published.get(msg.key))
            case comms.GetXCom():
                index = -1 if msg.map_index is None else msg.map_index
                return comms.XComResult(key=msg.key, value=self.xcom(msg.task_id, msg.key, index))
            case comms.GetXComSequenceSlice():
                values = self._xcoms.get((msg.task_id, msg.key), {})
                return comms.XComSequenceSliceResult(root=[json.loads(values[index]) for index in sorted(values)])
            case comms.GetTaskStates():
                return comms.TaskStatesResult(task_states={RUN_ID: dict(self.states)})
            case comms.GetDag():
                if self.paused is None:
                    raise AirflowRuntimeError(
                        comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404})
                    )
                facts: dict[str, Any] = dict.fromkeys(comms.DagResult.model_fields.keys() - {"type"})
                return comms.DagResult(**{**facts, "dag_id": msg.dag_id, "is_paused": self.paused, "tags": []})
            case comms.TriggerDagRun():
                if msg.run_id in self.runs:
                    return comms.ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS)
                self.runs[msg.run_id] = replace(self.started_run, conf=msg.conf, note=msg.note)
                return comms.OKResponse(ok=True)
            case comms.GetDagRunState() if msg.run_id not in self.runs:
                raise AirflowRuntimeError(
                    comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404})
                )
            case comms.GetDagRunState():
                return comms.DagRunStateResult(state=DagRunState(self.runs[msg.run_id].state))
            case comms.GetDRCount():
                found_runs = [self.runs[run_id] for run_id in msg.run_ids or [] if run_id in self.runs]
                return comms.DRCount(count=sum(not msg.states or run.state in msg.states for run in found_runs))
            case comms.GetAssetsByAlias():
                return comms.AssetsByAliasResult(
                    assets=[comms.AssetResult(name=uri, uri=uri, group="asset") for uri in self.assets]
                )
            case comms.GetConnection():
                return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
            case comms.CreateHITLDetailPayload():
                self.questions.append(msg)
            case comms.GetTaskRescheduleStartDate():
                return comms.TaskRescheduleStartDate(start_date=self.first_reschedule.get(msg.ti_id))
            case comms.SetRenderedFields() | comms.SetRenderedMapIndex() | comms.SkipDownstreamTasks():
                return None
            case (
                comms.SucceedTask() | comms.RetryTask() | comms.TaskState() | comms.DeferTask() | comms.RescheduleTask()
            ):
                return None
            case comms.ValidateInletsAndOutlets():
                return comms.InactiveAssetsResult(inactive_assets=[])
            case _:
                # Add an answer here when a test needs one that no other test needs.
                raise NotImplementedError(f"no answer to a {type(msg).__name__}")
        return None

    def _compare(self, msg: comms.SetXCom) -> None:
        shape = self.shapes.get(msg.task_id, {}).get(msg.key)
        for each in msg.value if isinstance(msg.value, list) else [msg.value]:
            if shape not in (None, dict) and not shape.__required_keys__ <= each.keys() <= get_type_hints(shape).keys():
                self.misshapen.append((msg.task_id, msg.key, each))

    async def asend(self, msg: Any) -> Any:
        """Answer a message of the triggerer."""
        return self.send(msg)


@dataclass
class Played:
    """A task instance of the run, and the result of its latest try.

    :param make: makes the operator; called again for each process that Airflow would start.
    :ivar workers: number of worker starts of the latest try.
    :ivar triggers: class paths and arguments of the triggers that it deferred to, as Airflow stores them.
    :ivar events: payloads of their events.
    :ivar ended_from_trigger: whether the triggerer ended it.
    :ivar answer: the reviewer's answer to a required action: the choices and the user's name; None = no answer in time.
    :ivar params: the params of its Dag.
    :ivar conf: the conf of its run.
    :ivar response_timeout: how long it waited for the answer.
    :ivar outlet_events: the asset events of the latest try.
    """

    supervisor: Supervisor
    make: Callable[[], BaseOperator]
    map_index: int = -1
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    task_id: str = ""
    tries: int = 0
    tries_when_cleared: int = 0
    workers: int = 0
    triggers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    deferral_timeouts: list[float] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    ended_from_trigger: bool = False
    answer: tuple[list[str], str] | None = None
    response_timeout: timedelta | None = None
    outlet_events: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    conf: dict[str, Any] | None = None
    _last: tuple[BaseOperator, RuntimeTaskInstance] | None = None

    def run(self, waiting: TaskDeferred | None = None) -> Any:
        """Run one try to its end and return its XCom; raise what it fails with.

        :param waiting: the wait in which the try is; None = the try starts.
        """
        self.tries += 1
        self.workers, self.triggers, self.events, self.deferral_timeouts = 0, [], [], []
        self.ended_from_trigger = False
        reschedules = 0
        resume: tuple[str, dict[str, Any]] | None = None
        while True:
            task, ti, context = self._start(reschedules)
            if resume is None and waiting is None:
                self.supervisor.forget_xcoms(self.task_id, self.map_index)
            try:
                if waiting is not None:
                    deferral, waiting = waiting, None
                    raise deferral
                value = _in_a_worker(task, context, resume)
            except TaskDeferred as deferral:
                event = self._in_the_triggerer(deferral)
                if isinstance(event, TaskSuccessEvent):
                    self.ended_from_trigger = True
                    return self.xcom()
                resume = deferral.method_name, {**json_copy(deferral.kwargs or {}), "event": json_copy(event.payload)}
                continue
            except TaskAwaitingInput as question:
                self.response_timeout = question.timeout
                resume = question.method_name, {**(question.kwargs or {}), "event": self._answered()}
                continue
            except AirflowRescheduleException as later:
                self.supervisor.first_reschedule.setdefault(self.id, datetime.now(timezone.utc))
                time.sleep(max(0.0, later.reschedule_date.timestamp() - time.time()))
                reschedules += 1
                continue
            if value is not None:
                ti.xcom_push("return_value", value)
            return self.xcom()

    def end(self) -> str:
        """Run one try in Airflow's own task runner, template fields and XCom included; return its last state."""
        self.tries += 1
        self.workers, self.triggers, reschedules, resume = 0, [], 0, {}
        while True:
            self.workers += 1
            with DAG(DAG_ID, schedule=None, params=self.params):
                task = self.make()
            self.task_id = task.task_id
            ti = task_runner.RuntimeTaskInstance.model_construct(
                id=self.id,
                task_id=task.task_id,
                dag_id=DAG_ID,
                run_id=RUN_ID,
                try_number=self.tries,
                max_tries=3,
                map_index=self.map_index,
                task=task,
            )
            context = ti.get_template_context()
            context["dag_run"] = SimpleNamespace(conf=self.conf)  # type: ignore[typeddict-item]  # what is read of it
            context["task_reschedule_count"] = reschedules  # type: ignore[typeddict-unknown-key]  # for sensors
            ti._ti_context_from_server = SimpleNamespace(  # type: ignore[assignment]  # what is read of it
                should_retry=True,
                max_tries=3,
                xcom_keys_to_clear=[],
                dag_run=SimpleNamespace(team_name=None, run_type="manual"),
                first_task_reschedule_start_date=None,
                **resume,
            )
            if not resume:
                ti._ti_context_from_server.next_method = None
                self.supervisor.forget_xcoms(self.task_id, self.map_index)
            state, message, _ = contextvars.copy_context().run(task_runner.run, ti, context, structlog.get_logger())
            if isinstance(message, comms.DeferTask):
                trigger = import_string(message.classpath)(**json_copy(deserialize(message.trigger_kwargs)))
                self.triggers.append(trigger.serialize())
                event = asyncio.run(all_events(self.rebuilt_trigger()))[0]
                if isinstance(event, TaskSuccessEvent):
                    return "success"
                kwargs = {**deserialize(message.next_kwargs), "event": json_copy(event.payload)}
                resume = {"next_method": message.next_method, "next_kwargs": serialize(kwargs)}
            elif isinstance(message, comms.RescheduleTask):
                self.supervisor.first_reschedule.setdefault(self.id, datetime.now(timezone.utc))
                time.sleep(max(0.0, message.reschedule_date.timestamp() - time.time()))
                reschedules += 1
            else:
                return str(state.value)

    def resume_stranded(self, error: str = "Trigger failure") -> Any:
        """Resume it as Airflow does when its trigger has failed or timed out."""
        task, ti, context = self._start(0)
        value = _in_a_worker(task, context, ("__fail__", {"error": error, "traceback": ["Boom"]}))
        if value is not None:
            ti.xcom_push("return_value", value)
        return self.xcom()

    def clear(self) -> None:
        """Clear the task instance, as a user does: it may be tried again, and Airflow 3.4 empties its state store."""
        self.tries_when_cleared = self.tries
        self.supervisor.forget_store(self.id)

    def xcom(self, key: str = "return_value") -> Any:
        """Return an XCom of the task."""
        return self.supervisor.xcom(self.task_id, key, self.map_index)

    def links(self) -> dict[str, str]:
        """Return the addresses of its buttons, as the last worker makes them."""
        task, ti = self._last or self._start(0)[:2]
        return {link.name: link.get_link(operator=task, ti_key=ti) for link in task.operator_extra_links}  # type: ignore[arg-type]  # as Airflow calls it

    def asset_events(self) -> list[dict[str, Any]]:
        """Return the asset events of the latest try, as a worker sends them when it has succeeded."""
        return [json_copy(event) for event in task_runner._serialize_outlet_events(self.outlet_events)]

    @property
    def store(self) -> dict[str, Any]:
        """The task's state store."""
        return self.supervisor.stored(self.id)

    def _start(self, reschedules: int) -> tuple[BaseOperator, RuntimeTaskInstance, Context]:
        self.workers += 1
        with DAG(DAG_ID, schedule=None, params=self.params):
            task = self.make()
        self.task_id = task.task_id
        left = next((XCOMS[kind.__name__] for kind in type(task).__mro__ if kind.__name__ in XCOMS), {})
        self.supervisor.shapes[task.task_id] = {**left, ERROR_KEY: Failure}
        ti = task_runner.RuntimeTaskInstance.model_construct(
            id=self.id,
            task_id=task.task_id,
            dag_id=DAG_ID,
            run_id=RUN_ID,
            try_number=self.tries,
            max_tries=self.tries_when_cleared + task.retries,
            map_index=self.map_index,
            task=task,
        )
        context = ti.get_template_context()
        context["dag_run"] = SimpleNamespace(conf=self.conf)  # type: ignore[typeddict-item]  # what is read of it
        context["task_reschedule_count"] = reschedules  # type: ignore[typeddict-unknown-key]  # for sensors
        task.render_template_fields(context)
        self.outlet_events = context["outlet_events"]
        self._last = task, ti
        return task, ti, context

    def _answered(self) -> dict[str, Any]:
        """Return what ``HITLDetail.as_resume_event_payload`` of Airflow returns."""
        chosen, name = self.answer or (self.supervisor.questions[-1].defaults, None)
        return {
            "chosen_options": chosen,
            "params_input": {},
            "responded_at": datetime.now(timezone.utc),
            "responded_by_user": name and {"id": name.lower(), "name": name},
            "timedout": self.answer is None,
        }

    def _in_the_triggerer(self, deferral: TaskDeferred) -> TriggerEvent:
        path, kwargs = deferral.trigger.serialize()
        self.triggers.append((path, json_copy(kwargs)))
        if deferral.timeout is not None:
            self.deferral_timeouts.append(deferral.timeout.total_seconds())
        trigger = self.rebuilt_trigger()
        (event,) = asyncio.run(all_events(trigger))
        self.events.append(event.payload)
        return event

    def rebuilt_trigger(self) -> BaseTrigger:
        """Return the latest trigger as a triggerer makes it from the stored arguments."""
        path, kwargs = self.triggers[-1]
        trigger: BaseTrigger = import_string(path)(**json_copy(kwargs))
        trigger.task_instance = task_runner.RuntimeTaskInstance.model_construct(  # type: ignore[assignment]  # as alike
            id=self.id, task_id=self.task_id, dag_id=DAG_ID, run_id=RUN_ID, try_number=1, map_index=self.map_index
        )
        return trigger


async def all_events(trigger: BaseTrigger) -> list[TriggerEvent]:
    """Return every event of a trigger until it ends. Airflow acts on the first only, so there should be just one."""
    return [event async for event in trigger.run()]


def _in_a_worker(task: BaseOperator, context: Context, resume: tuple[str, dict[str, Any]] | None) -> Any:
    def work() -> Any:
        ExecutorSafeguard.tracker.set(task)
        return task.execute(context) if resume is None else task.resume_execution(*resume, context)

    return contextvars.copy_context().run(work)
