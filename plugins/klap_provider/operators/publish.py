"""PublishShortsOperator: write the manifest of a run, and fail if shorts are missing."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias

from klap_provider.api import redaction
from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapConfigError, KlapIncompleteError, KlapInputError, KlapJobFailedError
from klap_provider.operators.base import writer_of
from klap_provider.operators.failures import log_failure, reports_failure
from klap_provider.operators.notices import Event, event_of, name_lines
from klap_provider.operators.run_end import KlapRunEndOperator
from klap_provider.operators.xcom_pull import pull
from klap_provider.rules import limits
from klap_provider.rules.cost import Cost, Prices, dollars
from klap_provider.rules.file_names import manifest_name
from klap_provider.rules.manifest import IN_SIDECAR, event_shorts, first_failed, manifest_entries, no_reason, outcomes
from klap_provider.rules.selection import Unselected, reasons
from klap_provider.rules.video_list import label
from klap_provider.telemetry import metrics
from klap_provider.xcoms import COST_KEY, ERROR_KEY, OUTCOME_KEY, REVIEW_KEY, SHORTS_KEY, Failure, Published

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from klap_provider.files.storage import Writer
    from klap_provider.rules.manifest import ShortsEvent
    from klap_provider.selection_xcoms import ListedShort, Short

#: Name of the manifest of the run that ended last, and of the folder with the manifest of each run.
MANIFEST = "manifest.json"
RUNS_FOLDER = "runs"


class PublishShortsOperator(KlapRunEndOperator):
    """
    Write ``manifest.json`` beside the delivered shorts, record an asset event, and fail if a selected short is missing.

    Use it as the last task of a run, with ``trigger_rule="all_done"``, so that it always runs. It does not call Klap.

    Several runs can deliver to the same folder. So each run also writes its manifest to its own file in ``runs/``.
    ``manifest.json`` is the manifest of the run that ended last.

    If all shorts were delivered, and at least one, the task records one asset event for the destination through an
    asset alias. It is one event for all shorts, because Airflow would give several events of a task to different runs.

    :param steps: ids of the tasks that each selected short goes through, in order. They are mapped over ``shorts``, and
        the last one is a :class:`~klap_provider.operators.DeliverShortOperator`.
    :param shorts: the selected shorts, as :class:`~klap_provider.operators.ListShortsOperator` returns them; None if
        they were never listed. Templated.
    :param review_task_id: id of the :class:`~klap_provider.operators.ReviewShortsOperator` whose result is written to
        the manifest. Default: none.
    :param source_video_url: address of the source video. Templated.
    :param klap_task_id: id of the task at Klap; None if the video was not submitted. Templated.
    :param folder_id: id of the folder of the shorts; None if the video was not submitted. Templated.
    :param submissions: number of times that the run paid for the video: ``paid`` of the submitting task. Default: the
        cost is not calculated. Templated.
    :param list_task_id: id of the task that listed the generated shorts, which Klap bills. Default: no shorts are
        billed, as after video-to-video.
    :param destination: the same as for the delivering task, with the same default. Templated.
    :param subfolder: the same as for the delivering task. Templated.
    :param submit_task_id: the same as for the delivering task.
    :param allowed_destinations: prefixes of addresses that a run may use as ``destination``
        (:mod:`klap_provider.rules.allowlist`). Values in the Dag file are always allowed. Default: ``[klap]
        allowed_destinations`` of Airflow's configuration.
    :param asset_alias: name of the asset alias. None: no asset event is recorded.
    :param notifiers: Airflow's notifiers that send a notice when the run ends, in addition to those of the connection.
        See docs/how-to/get-notified.md. Default: none.
    :param klap_conn_id: the Airflow connection, for its prices. Default ``klap_default``. Templated.
    :return: ``{"manifest": str, "delivered": int, "paths": list[str], "cost": dict | None}``. The XCom ``klap_outcome``
        has the result of each short. The XCom ``klap_cost`` has the cost of the run, also if shorts are missing. The
        column *Map Index* of Airflow's task lists shows a summary, such as ``3 delivered, $4.12``.
    :raises KlapInputError: the destination is wrong, or not shared by all tasks.
    :raises KlapIncompleteError: an earlier task failed, or shorts are missing. The manifest is written before, unless
        the video was never submitted.
    """

    #: Summary for the column Map Index, and the title of notices.
    summary = ""

    #: Result of each selected short, and the errors of the run's tasks, for notices.
    entries: Sequence[Mapping[str, Any]] = ()
    failures: Sequence[Failure] = ()

    template_fields: Sequence[str] = (
        "shorts",
        "source_video_url",
        "klap_task_id",
        "folder_id",
        "submissions",
        "destination",
        "subfolder",
        "klap_conn_id",
    )

    def __init__(
        self,
        *,
        steps: Sequence[str],
        shorts: list[Short] | None,
        source_video_url: str,
        review_task_id: str | None = None,
        klap_task_id: str | None = None,
        folder_id: str | None = None,
        submissions: int | str | None = None,
        list_task_id: str | None = None,
        destination: str | None = None,
        subfolder: str | None = None,
        submit_task_id: str | None = None,
        allowed_destinations: Sequence[str] | None = None,
        asset_alias: str | None = "klap_shorts",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", "{{ task.summary }}")  # shown also for a task that is not mapped
        super().__init__(**kwargs)
        if asset_alias:
            self.outlets = [*self.outlets, AssetAlias(asset_alias)]
        self.asset_alias = asset_alias
        self.steps = list(steps)
        self.shorts = shorts
        self.source_video_url = source_video_url
        self.review_task_id = review_task_id
        self.klap_task_id = klap_task_id
        self.folder_id = folder_id
        self.submissions = submissions
        self.list_task_id = list_task_id
        self.destination = destination
        self.subfolder = subfolder
        self.submit_task_id = submit_task_id
        self.allowed_destinations = allowed_destinations
        self.note_static("destination")

    @reports_failure
    def execute(self, context: Context) -> Published:
        """Write the manifest, and fail if shorts are missing."""
        ti = context["ti"]
        states: Mapping[str, Any] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        problem, earlier = self._problem(context, states)
        is_final = earlier is not None and earlier["type"] == KlapJobFailedError.__name__
        # One request per task for all its map indexes. Their results have the project_id.
        files = pull(context, self.steps[-1:])
        failures = [] if self._is_complete(files) else pull(context, self.steps, key=ERROR_KEY)
        listed = pull(context, self.list_task_id, key=SHORTS_KEY) if self.list_task_id else None
        cost = self._cost(context, listed, failures)
        if cost is not None:
            self.log.info("Cost of the run: %s", cost)
            ti.xcom_push(key=COST_KEY, value=cost.to_json())
        if target := self.folder_id or next((each["project_id"] for each in self.shorts or ()), None):
            self.update_limits(context, target, lambda: pull(context, self.steps[:1]))
        exports = pull(context, self.steps[-2:-1]) if self.klap_task_id else []
        shorts = (self.shorts or []) if self.klap_task_id else []
        self.failures = [each for each in (earlier, *failures) if each]
        self.entries = entries = manifest_entries(
            shorts, self.steps, states=states, delivered=files, exports=exports, failures=failures
        )
        ti.xcom_push(key=OUTCOME_KEY, value=outcomes(entries))
        if not self.klap_task_id:
            cause = (problem or "No task was submitted").rstrip(".")
            raise KlapIncompleteError(f"{cause}. There are no shorts of {redaction.shown(self.source_video_url)}.")
        destination = self.resolve_destination(self.allowed_destinations, context)
        delivered = [short for short in entries if "path" in short]
        missing = [short for short in entries if "path" not in short]
        left_out = reasons(listed or [])
        path = self._write(
            writer_of(context),
            destination,
            manifest_name(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index),
            {
                "source_video_url": redaction.shown(self.source_video_url),
                "klap_task_id": self.klap_task_id,
                "folder_id": self.folder_id or None,
                "dag_id": ti.dag_id,
                "run_id": ti.run_id,
                "written_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "delivered": [
                    {name: fact for name, fact in short.items() if name not in IN_SIDECAR} for short in delivered
                ],
                "missing": missing,
                "left_out": left_out,
                "problem": problem,
                "cost": None if cost is None else cost.to_json(),
                "review": pull(context, self.review_task_id, key=REVIEW_KEY) if self.review_task_id else None,
            },
        )
        metrics.count(metrics.MISSING, len(missing))
        for short in missing:
            self.log.error("Missing short %r: %s failed: %s", short["short_name"], short["step"], short["error"])
        if problem or missing:
            first = problem or f"{missing[0]['step']} of {missing[0]['short_name']!r}: {missing[0]['error']}"
            tally = f"{len(delivered)} of {len(entries)} delivered" if entries else "Nothing was delivered"
            # The error of a job that failed at Klap has its own action, which is not to clear the run.
            action = (
                ""
                if is_final
                else " Fix the cause and clear the whole run. You pay again only for jobs that failed at Klap."
            )
            raise KlapIncompleteError(f"{first.rstrip('.')}. {tally}, see {path}.{action}")
        self.log.info("Delivered all %d shorts, see %s", len(delivered), path)
        unscored = left_out.get(Unselected.NO_SCORE.value)
        if unscored and not delivered:
            self.log.warning(
                "No short was selected: Klap gave %d of %d shorts no virality score, and min_virality_score leaves "
                "these out. To export them, start a run with this Klap task (%s) and without_score set to 'export'",
                unscored,
                len(listed or []),
                self.klap_task_id,
            )
        self.summary = (
            f"{len(delivered)} delivered{f', {unscored} without a score' if unscored else ''}"
            f"{f', {dollars(cost.total)}' if cost else ''}"
        )
        if self.asset_alias and delivered:
            from klap_provider.operators import asset_event

            event: ShortsEvent = {
                "source_video_url": redaction.shown(self.source_video_url),
                "klap_task_id": self.klap_task_id,
                "manifest": path,
                "shorts": event_shorts(delivered),
            }
            with log_failure("Recording the asset event"):
                asset_event.record(context, self.asset_alias, destination, event)
        self.notify(context, Event.RUN_FINISHED, f"Klap: {self.summary}, {self._video}", name_lines(entries))
        return {
            "manifest": path,
            "delivered": len(delivered),
            "paths": [short["path"] for short in delivered],
            "cost": None if cost is None else cost.to_json(),
        }

    def _is_complete(self, files: Sequence[Any]) -> bool:
        """Return whether every selected short was delivered, so that no step has an error to report."""
        delivered = {file["project_id"] for file in files if file}
        return bool(self.shorts) and all(short["project_id"] in delivered for short in self.shorts or [])

    def _cost(self, context: Context, listed: Sequence[ListedShort] | None, failures: Sequence[Any]) -> Cost | None:
        """Return the cost of the requests of this run that Klap accepted; None if it is not calculated."""
        if self.submissions is None:
            return None
        submissions = klap_requests.build_request(limits.Spending, {"submissions": self.submissions}).submissions
        generated: int | None = 0
        if self.list_task_id and submissions:
            generated = None if listed is None else len(listed)
        results = [*pull(context, self.steps[:1]), *failures]
        return Cost(self._prices(), submissions, generated, sum(each.get("paid", 0) for each in results if each))

    def _prices(self) -> Prices:
        try:
            return self.connection.prices
        except (KlapConfigError, KlapInputError):
            return Prices()

    def _problem(self, context: Context, states: Mapping[str, Any]) -> tuple[str | None, Failure | None]:
        """Return what went wrong before the steps, and the error that the task left; None for both if nothing did."""
        failed = first_failed(states, self.upstream_task_ids - set(self.steps))
        if failed is None:
            return None, None
        failure: Failure | None = pull(context, [failed], key=ERROR_KEY, map_indexes=None)[0]
        return f"{failed}: {failure['error'] if failure else no_reason(states[failed])}", failure

    def notify_failure(self, context: Context, failure: BaseException) -> None:
        """Notify users that the run failed, unless this task is retried."""
        if self.is_final(context, failure):
            delivered = sum("path" in entry for entry in self.entries)
            of = f"{delivered} of {len(self.entries)} shorts" if self.entries else "no shorts"
            self.notify(context, event_of(self.failures), f"Klap delivered {of} of {self._video}", str(failure))

    @property
    def _video(self) -> str:
        return label(redaction.shown(self.source_video_url))

    def _write(self, writer: Writer, destination: str, name: str, manifest: dict[str, Any]) -> str:
        """Write the manifest to ``runs/`` and to ``manifest.json``, and return the path in ``runs/``."""
        from klap_provider.files.sidecar import write_json
        from klap_provider.files.storage import folder_at, storage_errors

        folder = folder_at(destination, self.subfolder)
        own = folder / RUNS_FOLDER / name
        for path in (own, folder / MANIFEST):
            with storage_errors("destination", str(path), paid=True):
                write_json(path, manifest, writer)
        return str(own)
