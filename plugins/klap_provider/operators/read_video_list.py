"""ReadVideoListOperator: read a list of videos, and check it before anything is started."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import Asset

from klap_provider.airflow_internals.tasks import is_paused, runs_on_one_machine
from klap_provider.api.addresses import is_local, require_reachable
from klap_provider.api.redaction import shown, without_secrets
from klap_provider.api.requests import ShortsRequest, build_request
from klap_provider.errors import KlapConfigError, KlapInputError
from klap_provider.operators.base import KlapOperator, require_fields
from klap_provider.operators.failures import reports_failure
from klap_provider.rules.video_list import NAMED, URL, Row, describe_schema, read_csv, read_lines, run_id, set_fields
from klap_provider.xcoms import LEDGER, LIST_KEY, SETTINGS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context, Param

    from klap_provider.batch_xcoms import LeftOutVideo, ListedVideo, ReadList
    from klap_provider.hooks.connection import KlapConnection


class ReadVideoListOperator(KlapOperator):
    """
    Read a list of videos, and check all of it before anything is started or paid.

    A video that is listed twice with the same settings is returned once. Addresses without a video are left out
    (:mod:`klap_provider.files.preflight`).

    :param form: the fields of the trigger form of the Dag that runs the videos, by name.
    :param trigger_dag_id: id of that Dag.
    :param source_video_urls: the list itself. Templated.
    :param list_path: path or object storage URL of the list, instead of ``source_video_urls``. A file whose name ends
        in ``.csv`` or ``.tsv`` is read as a table (:func:`~klap_provider.rules.video_list.read_csv`), any other file as
        one address per line. Templated.
    :param settings: form parameters for all videos. Empty values are ignored. Templated.
    :param allowed_lists: prefixes of addresses that a run may use as ``list_path``
        (:mod:`klap_provider.rules.allowlist`). Values in the Dag file are always allowed. Default: ``[klap]
        allowed_lists`` of Airflow's configuration.
    :param allowed_sources: the same for the videos. Videos of a file are always checked.
    :param allowed_destinations: the same for destinations. Destinations of a file are always checked.
    :param allowed_connections: ids of the connections that a run or a file may use as ``klap_conn_id``. Values in the
        Dag file, and the default of ``form``, are always allowed. Default: ``[klap] allowed_connections`` of Airflow's
        configuration, or else none.
    :param strict_conf: refuse a run if its ``conf`` has a name that is not a parameter of the Dag. Default false.
    :return: a list with ``{"source_video_url": str, "trigger_run_id": str, "settings": dict, "line": int}`` for each
        video; ``settings`` are those of this video alone. The XCom ``klap_settings`` has the settings for all videos.
        The XCom ``klap_list`` has the entries that get no run, with the reasons, and the id of the Dag of the runs.
    :raises KlapInputError: the list or a line of it is wrong; the message names the lines.
    """

    template_fields: Sequence[str] = ("source_video_urls", "list_path", "settings")
    template_fields_renderers: ClassVar[dict[str, str]] = {"source_video_urls": "json", "settings": "json"}

    def __init__(
        self,
        *,
        form: Mapping[str, Param],
        trigger_dag_id: str,
        source_video_urls: list[str] | None = None,
        list_path: str | None = None,
        settings: dict[str, Any] | None = None,
        allowed_lists: Sequence[str] | None = None,
        allowed_sources: Sequence[str] | None = None,
        allowed_destinations: Sequence[str] | None = None,
        strict_conf: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inlets = [*self.inlets, Asset(LEDGER)]  # the Klap page lists the Dags with this inlet
        self.strict_conf = strict_conf
        self.form = form
        self.trigger_dag_id = trigger_dag_id
        self.source_video_urls = source_video_urls
        self.list_path = list_path
        self.settings = settings
        self.allowed_lists = allowed_lists
        self.allowed_sources = allowed_sources
        self.allowed_destinations = allowed_destinations
        self._connections: dict[str, KlapConnection] = {}
        self.note_static("source_video_urls", "list_path", "settings")
        # At parse time: Airflow later writes the values of a run into the params of its Dag.
        self._own_conn_ids: set[Any] = {form["klap_conn_id"].value} if "klap_conn_id" in form else set()
        if "settings" in self._static_params:
            self._own_conn_ids.add((settings or {}).get("klap_conn_id"))

    @reports_failure
    def execute(self, context: Context) -> list[ListedVideo]:
        """Return the videos, without duplicates and without addresses that have no video."""
        from klap_provider.operators.before_submission import max_map_length

        if self.strict_conf:
            require_fields(self, context)
        self._require_dag(context)
        shared = set_fields(self.settings or {}, self._schemas())
        rows = self._rows()
        self._check(rows, shared)
        defaults = {name: param.value for name, param in self.form.items()}
        videos: dict[str, Row] = {}
        for row in rows:
            videos.setdefault(run_id(row.source_video_url, {**shared, **row.settings}, defaults), row)
        # Before the requests to the servers of the videos, which can be slow.
        if len(videos) > (allowed := max_map_length()):
            raise KlapInputError(
                f"Nothing was started. The list has {len(videos)} videos, and this Airflow maps a task over at most "
                f"{allowed} ([core] max_map_length). Split the list."
            )
        left_out = self._unreachable(context, videos, shared)
        runs = {key: row for key, row in videos.items() if key not in left_out}
        self.log.info("%d lines: %d runs, %d videos left out", len(rows), len(runs), len(left_out))
        read: ReadList = {
            "left_out": [*left_out.values()],
            "duplicates": len(rows) - len(videos),
            "trigger_dag_id": self.trigger_dag_id,
        }
        context["ti"].xcom_push(key=LIST_KEY, value=read)
        context["ti"].xcom_push(key=SETTINGS_KEY, value=shared)
        return [
            {
                "source_video_url": row.source_video_url,
                "trigger_run_id": key,
                "settings": row.settings,
                "line": row.line,
            }
            for key, row in runs.items()
        ]

    def _unreachable(
        self, context: Context, videos: Mapping[str, Row], shared: Mapping[str, Any]
    ) -> dict[str, LeftOutVideo]:
        """Return the videos to leave out, by run id: there is no video at their addresses, and they have no run yet."""
        from klap_provider.files.preflight import problems

        reasons = problems(
            {
                row.source_video_url: is_local(self._connection({**shared, **row.settings}).api_url)
                for row in videos.values()
            }
        )
        left_out: dict[str, LeftOutVideo] = {
            key: {
                "source_video_url": shown(row.source_video_url),
                "line": row.line,
                "reason": reasons[row.source_video_url],
            }
            for key, row in videos.items()
            if row.source_video_url in reasons
            and not context["ti"].get_dr_count(dag_id=self.trigger_dag_id, run_ids=[key])
        }
        for video in left_out.values():
            self.log.warning("Left out: line %(line)s, %(source_video_url)s: %(reason)s", video)
        return left_out

    def _require_dag(self, context: Context) -> None:
        paused = is_paused(context["ti"], self.trigger_dag_id)
        if paused is None:
            raise KlapInputError(
                f"Nothing was started. There is no Dag {self.trigger_dag_id}. Add that Dag, or correct trigger_dag_id."
            )
        if paused:
            raise KlapInputError(f"Nothing was started. The Dag {self.trigger_dag_id} is paused. Unpause it first.")

    def _rows(self) -> list[Row]:
        if bool(self.source_video_urls) == bool(self.list_path):
            raise KlapInputError(
                "Nothing was started. Set either source_video_urls, with one address per line, or list_path, not both."
            )
        if self.list_path:
            from klap_provider.files.storage import text_at

            self.require_allowed("list_path", self.allowed_lists)
            text = text_at("list_path", self.list_path)
            is_table = self.list_path.lower().endswith((".csv", ".tsv"))
            rows = read_csv(text, self._schemas()) if is_table else read_lines(text.splitlines())
        else:
            rows = read_lines(self.source_video_urls or [])
        if not rows:
            raise KlapInputError("Nothing was started. The list is empty. Add at least one video.")
        return rows

    def _schemas(self) -> dict[str, Any]:
        return {name: param.schema for name, param in self.form.items()}

    def _check(self, rows: list[Row], shared: dict[str, Any]) -> None:
        """Raise one error for all invalid rows. The submission of each video repeats these checks."""
        problems = []
        for row in rows:
            try:
                self._check_row(row, shared)
            except KlapInputError as wrong:
                problems.append(f"Line {row.line}: {str(wrong).removeprefix('Nothing was sent to Klap. ')}")
        if problems:
            more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
            raise KlapInputError(f"Nothing was started. {'; '.join(problems[:NAMED])}{more}")
        if not (shared.get("destination") or self._connection(shared).destination or runs_on_one_machine()):
            self.log.warning("No destination is set. If %s sets none itself, its runs will fail", self.trigger_dag_id)

    def _check_row(self, row: Row, shared: dict[str, Any]) -> None:
        """
        Raise if a row is invalid.

        Errors do not quote a file: it may be no list, and the user of the form may not be allowed to read it.
        """
        from airflow.sdk.exceptions import ParamValidationError

        url, pasted = row.source_video_url, not self.list_path
        own = {URL: url, **row.settings}
        for name, value in own.items():
            try:
                copy(self.form[name]).resolve(value)  # a copy, because resolve stores the value
            except ParamValidationError as wrong:
                problem = f": {without_secrets(str(wrong).splitlines()[0])}"
                if not pasted:  # the error must not repeat values of a file
                    problem = f" must be {describe_schema(self.form[name].schema)}"
                raise KlapInputError(f"{name}{problem}") from None
        settings = {**shared, **own}
        fields = {name: settings[name] for name in ShortsRequest.model_fields if name in settings}
        build_request(ShortsRequest, fields, quote=pasted)
        for name, check in (
            ("klap_conn_id", lambda: self._connection(settings)),
            ("destination", lambda: self._check_destination(row, settings)),
            (URL, lambda: self._check_source(row, settings)),
        ):
            try:
                check()
            except (KlapInputError, KlapConfigError):
                if pasted or name not in own:
                    raise
                raise KlapInputError(f"{name} is not on the allowlist or cannot be used") from None

    def _check_source(self, row: Row, settings: dict[str, Any]) -> None:
        from klap_provider.files.allowlist import require_allowed_address
        from klap_provider.files.signing import is_stored

        if self.list_path or "source_video_urls" not in self._static_params:
            require_allowed_address(URL, row.source_video_url, self.allowed_sources)
        if not is_stored(row.source_video_url):
            require_reachable(URL, row.source_video_url, api_url=self._connection(settings).api_url)

    def _check_destination(self, row: Row, settings: dict[str, Any]) -> None:
        from klap_provider.files.allowlist import require_allowed_address
        from klap_provider.files.storage import folder_at

        destination = settings.get("destination")
        if destination and ("destination" in row.settings or "settings" not in self._static_params):
            require_allowed_address("destination", destination, self.allowed_destinations)
        if destination := destination or self._connection(settings).destination:
            folder_at(destination)

    def _connection(self, settings: Mapping[str, Any]) -> KlapConnection:
        """Return the connection of a row, after checking that the run may use it."""
        from klap_provider.files.allowlist import require_allowed_connection
        from klap_provider.hooks.client import KlapClient

        conn_id = settings.get("klap_conn_id") or self.checked_conn_id()
        if conn_id not in self._connections:
            if conn_id not in self._own_conn_ids:
                require_allowed_connection(conn_id, self.allowed_connections)
            self._connections[conn_id] = KlapClient(conn_id).connection
        return self._connections[conn_id]
