"""Defects of the task SDK and of providers. Needs no database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.upstream.defects import defect

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@defect("klap_provider.airflow_internals.rendering.HooksRendering")
def test_a_mapped_operator_does_not_call_render_template_fields() -> None:
    """
    ``expand`` bypasses an overridden ``render_template_fields``

    ``render_template_fields`` is public, and an operator may override it. For a mapped task, Airflow calls only the
    private ``_do_render_template_fields`` of the unmapped operator. A maintainer confirms it in a review of #70740.
    """
    from types import SimpleNamespace

    from airflow.sdk import DAG, BaseOperator

    calls = []

    class Greet(BaseOperator):
        template_fields = ("name",)

        def __init__(self, *, name: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.name = name

        def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
            calls.append(self.name)
            super().render_template_fields(context, jinja_env)

    with DAG("greetings", schedule=None) as dag:
        plain = Greet(task_id="plain", name="Ada")
        mapped = Greet.partial(task_id="mapped").expand(name=["Alan"])

    context: Any = {"ti": SimpleNamespace(map_index=0), "dag": dag, "dag_run": SimpleNamespace(conf={})}
    plain.render_template_fields(context)
    mapped.render_template_fields(context)
    assert calls == ["Ada"]


@defect("klap_provider.dag_parts.generate_shorts_batch.klap_generate_shorts_batch", issue=68941)
def test_a_dag_param_in_partial_is_serialized_with_its_address() -> None:
    """
    A ``DagParam`` in ``partial`` is serialized with its memory address

    Each parse of the Dag file then makes a new Dag version.
    """
    import json

    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG, Param
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("versions", schedule=None, params={"name": Param("Ada")}) as dag:
        BashOperator.partial(task_id="greet", env={"NAME": dag.param("name")}).expand(bash_command=["echo $NAME"])

    assert "DagParam object at 0x" in json.dumps(DagSerialization.to_dict(dag))


@defect("klap_provider.dag_parts.dag.klap_dag")
def test_each_operator_copies_all_params_of_its_dag() -> None:
    """
    Each operator deep-copies all params of its Dag

    A Dag with 40 params and ten tasks copies 400 params at each parse. This took half of the time to parse the Dag
    files of this package. Params that are set after the tasks are not copied.
    """
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, Param

    copies = []

    class CountedParam(Param):
        def __deepcopy__(self, memo: Any) -> Param:
            copies.append(self)
            return self

    with DAG("form", schedule=None, params={"name": CountedParam("Ada"), "city": CountedParam("London")}):
        copies.clear()
        for number in range(3):
            EmptyOperator(task_id=f"task_{number}")

    assert len(copies) == 3 * 2


@defect("klap_provider.sensors.base.KlapJobSensor", issue=40209)
def test_an_http_sensor_with_a_response_check_does_not_defer() -> None:
    """
    ``HttpSensor(deferrable=True)`` with a ``response_check`` does not defer

    It holds a worker slot for the whole wait, without a warning.
    """
    from airflow.providers.http.sensors.http import HttpSensor
    from airflow.sdk.exceptions import AirflowSensorTimeout, TaskDeferred

    class JobSensor(HttpSensor):
        def poke(self, context: Any) -> bool:
            return False  # the job is not ready

    sensor = JobSensor(task_id="wait", endpoint="job", response_check=bool, deferrable=True, timeout=0)
    end: BaseException | None = None
    try:
        sensor.execute({})
    except (AirflowSensorTimeout, TaskDeferred) as raised:
        end = raised
    assert isinstance(end, AirflowSensorTimeout)


@defect("klap_provider.hooks.async_client.KlapAsyncClient")
def test_an_http_sensor_trigger_connects_for_each_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``HttpSensorTrigger`` opens a TCP connection for each poll

    It creates an HTTP session per poll. With TLS, each poll costs a handshake.
    """
    import asyncio

    from aiohttp import web
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    connections = []

    async def not_ready(request: web.Request) -> web.Response:
        connections.append(request.transport.get_extra_info("peername"))  # type: ignore[union-attr]  # a request that is handled has one
        return web.Response(status=404 if len(connections) < 5 else 200)

    async def wait() -> None:
        server = web.Server(not_ready)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setenv("AIRFLOW_CONN_JOBS", f"http://127.0.0.1:{runner.addresses[0][1]}")
        trigger = HttpSensorTrigger(http_conn_id="jobs", endpoint="job", method="GET", poke_interval=0.01)
        await asyncio.wait_for(anext(trigger.run()), timeout=20)
        await runner.cleanup()

    asyncio.run(wait())
    assert len(set(connections)) == len(connections) == 5


@defect("klap_provider.hooks.klap.KlapHook.get_conn", issue=36732)
def test_an_http_hook_sends_unknown_fields_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``HttpHook`` sends unknown fields of a connection's Extra as HTTP headers

    A hook of another connection type that extends ``HttpHook`` sends its own fields, including secrets, to the server.
    #36732 excluded the known names of HTTP options only. #65736 fixed the same leak in the Discord hook.
    """
    from airflow.providers.http.hooks.http import HttpHook

    monkeypatch.setenv("AIRFLOW_CONN_API", '{"conn_type": "http", "host": "a.example", "extra": {"secret": "s3cr3t"}}')
    assert HttpHook(http_conn_id="api").get_conn().headers["secret"] == "s3cr3t"


@defect("klap_provider.hooks.klap.KlapHook.get_conn")
def test_an_http_hook_has_no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``HttpHook`` has no timeout by default

    If the server accepts the connection and never answers, the task runs until its ``execution_timeout``, which is not
    set by default either.
    """
    from airflow.providers.http.hooks.http import HttpHook
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter

    timeouts = []

    class Adapter(HTTPAdapter):
        def send(self, request: PreparedRequest, *args: Any, timeout: Any = None, **kwargs: Any) -> Response:
            timeouts.append(timeout)
            response = Response()
            response.status_code, response.request = 200, request
            return response

    monkeypatch.setenv("AIRFLOW_CONN_API", "http://example.com")
    HttpHook(method="GET", http_conn_id="api", adapter=Adapter()).run("status")
    assert timeouts == [None]


@defect("klap_provider.triggers.status.KlapTrigger.run", issue=71255)
def test_a_failed_trigger_skips_a_sensor_with_soft_fail() -> None:
    """
    A failed trigger skips a sensor with ``soft_fail``

    In the other modes, ``soft_fail`` skips the task only after a timeout. In deferrable mode, it also hides the crash
    of a trigger, so a sensor that never worked looks like one that gave up.
    """
    from airflow.sdk import BaseSensorOperator
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferralError

    sensor = BaseSensorOperator(task_id="wait", soft_fail=True)
    end: BaseException | None = None
    try:
        sensor.resume_execution("__fail__", {"error": "Trigger failure"}, {})
    except (AirflowSkipException, TaskDeferralError) as raised:
        end = raised
    assert isinstance(end, AirflowSkipException)


@defect("klap_provider.triggers.video_run.VideoRunTrigger")
def test_a_trigger_waits_forever_for_a_deleted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``DagStateTrigger`` waits forever for a run that was deleted

    It counts the runs in the wanted states until there are enough of them. It has no deadline. A deferred
    ``TriggerDagRunOperator`` waits with it.
    """
    import asyncio

    from airflow.providers.standard.triggers.external_task import DagStateTrigger
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    polls = []

    def count(**_: Any) -> int:
        polls.append("no such run")
        return 0

    async def wait() -> bool:
        trigger = DagStateTrigger("video", states=["success", "failed"], run_ids=["deleted"], poll_interval=0.01)
        try:
            await asyncio.wait_for(anext(trigger.run()), timeout=0.5)
        except (TimeoutError, asyncio.TimeoutError):
            return True
        return False

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", count)
    assert asyncio.run(wait())
    assert len(polls) > 1


@defect("klap_provider.airflow_internals.tasks.start_run", issue=66905)
def test_the_client_fails_on_a_run_that_its_own_lost_request_created() -> None:
    """
    ``TriggerDagRunOperator`` fails if the response to its request is lost

    The client of the execution API repeats every request after a transport error, also a POST. The repeated request
    finds the run of the first one, and the task fails with "already exists". The client repeats writes to state stores,
    too: a late repetition can overwrite the value that another task wrote in between, which
    ``klap_provider.rules.claim`` allows for.
    """
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from airflow.sdk.api.client import Client

    runs: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path in runs:
                self.send_response(409)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b'{"detail": "the run exists"}')
            runs.append(self.path)  # the first response is lost

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(base_url=f"http://127.0.0.1:{server.server_port}", token="")
        answer = client.dag_runs.trigger("video", "run")
        server.shutdown()

    assert len(runs) == 2
    assert "DAGRUN_ALREADY_EXISTS" in str(answer)


@defect("klap_provider.airflow_internals.tasks.unresponsive_backend")
def test_a_secrets_backend_that_fails_counts_as_one_without_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A secrets backend that fails is reported as a missing connection

    The error says "isn't defined", which is not transient, and the cause is logged at level debug only (since #50542).
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.execution_time import supervisor

    class Backend:
        def get_connection(self, conn_id: str) -> None:
            raise ConnectionError("vault.example.com does not answer")

    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [Backend()])
    end: BaseException | None = None
    try:
        BaseHook.get_connection("api")
    except (AirflowNotFoundException, ConnectionError) as raised:
        end = raised
    assert "isn't defined" in str(end)


@defect("klap_provider.operators.xcom_pull.pull")
def test_the_object_storage_of_xcoms_returns_the_path_of_a_lost_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    ``XComObjectStorageBackend`` returns the path of a lost file instead of its value

    Since #52702, the task that pulls the XCom gets a string, and works with it.
    """
    from types import SimpleNamespace

    from airflow.providers.common.io.xcom import backend

    monkeypatch.setattr(backend, "_get_base_path", lambda: backend.ObjectStoragePath(f"file://{tmp_path}"))
    monkeypatch.setattr(backend, "_get_threshold", lambda: 0)
    xcoms = backend.XComObjectStorageBackend
    stored: Any = xcoms.serialize_value({"id": 1}, key="k", dag_id="d", run_id="r", task_id="t")
    assert xcoms.deserialize_value(SimpleNamespace(value=stored)) == {"id": 1}

    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.unlink()
    assert xcoms.deserialize_value(SimpleNamespace(value=stored)) == stored


@defect("klap_provider.airflow_internals.asset_store.AssetStore")
def test_an_asset_state_store_returns_a_reference_instead_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An asset state store returns its own reference to a value as the value

    With ``[workers] state_store_backend``, the database has references. A worker without that setting gets the
    reference as a dict, without a warning. With the setting, ``StateStoreObjectStorageBackend`` returns None for a
    value whose file is lost, which is what a missing key returns.
    """
    from types import SimpleNamespace

    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import AssetStateStoreResult
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    row = {"__airflow_state_ref__": "s3://bucket/assets/a/k"}
    supervisor = SimpleNamespace(send=lambda message: AssetStateStoreResult(value=row))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    assert AssetStateStoreAccessor(name="a").get("k") == row


@defect("klap_provider.rules.claim.Claim")
def test_an_asset_state_store_has_no_compare_and_set() -> None:
    """
    An asset state store has no compare-and-set

    A task cannot write a value on the condition that no other task has written one. The last writer wins.
    """
    import inspect

    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    methods = inspect.getmembers(AssetStateStoreAccessor, inspect.isfunction)
    public = {name for name, method in methods if name[0] != "_" and not inspect.iscoroutinefunction(method)}
    assert public == {"get", "set", "delete", "clear"}
    assert [*inspect.signature(AssetStateStoreAccessor.set).parameters] == ["self", "key", "value"]


@defect("klap_provider.rules.conf_validation.require_known", issue=29018)
def test_a_misspelt_name_in_the_conf_of_a_run_is_ignored() -> None:
    """
    A misspelt name in the ``conf`` of a run is ignored

    The run takes the default of the param instead. No option makes Airflow refuse names that the Dag does not have.
    """
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, Param
    from airflow.sdk.definitions.param import process_params

    with DAG("conf", schedule=None, params={"limit": Param(100, type="integer")}) as dag:
        task = EmptyOperator(task_id="task")

    params = process_params(dag, task, {"limt": 3}, suppress_exception=False)
    assert params["limit"] == 100


@defect("klap_provider.hooks.connection.KlapConnection.read", fixed_in="3.3.2")
def test_a_trigger_cannot_read_the_extra_of_a_connection_asynchronously() -> None:
    """
    A trigger cannot read the Extra of a connection asynchronously

    ``extra_dejson`` sends the secrets in it to the supervisor for masking, which blocks the event loop of all triggers
    or raises. 3.3.2 added ``aextra_dejson``. Providers parse the text themselves, as in #72130.
    """
    from airflow.sdk import Connection

    assert not hasattr(Connection, "aextra_dejson")


@defect("demo.airflow._home_settings")
def test_a_percent_sign_in_airflow_home_disables_its_defaults(tmp_path: Path) -> None:
    """
    Defaults with ``{AIRFLOW_HOME}`` are not expanded if its path contains a ``%``

    Airflow then uses a folder that is literally named ``{AIRFLOW_HOME}``, or does not start.
    """
    import os
    import subprocess
    import sys

    home = tmp_path / "100%"
    home.mkdir()
    code = "from airflow.configuration import conf; print(conf.get('logging', 'base_log_folder'))"
    database = f"sqlite:///{tmp_path}/airflow.db"
    environ = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "{AIRFLOW_HOME}/logs"
