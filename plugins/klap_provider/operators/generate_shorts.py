"""GenerateShortsOperator: from a video to delivered shorts in one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.sdk.exceptions import AirflowSensorTimeout

from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapError, KlapIncompleteError
from klap_provider.links.klap import OpenInKlapLink
from klap_provider.operators.arguments import check_now, is_static
from klap_provider.operators.failures import log_failure, reports_failure, to_failure
from klap_provider.operators.notices import Event, event_of, name_lines
from klap_provider.operators.run_end import KlapRunEndOperator
from klap_provider.operators.submit import SubmitShortsOperator
from klap_provider.rules import limits
from klap_provider.xcoms import RETURN_KEY, GeneratedShort

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.sdk import Context

    from klap_provider.operators.completion import Resumed
    from klap_provider.operators.deliver import DeliverShortOperator
    from klap_provider.operators.export import ExportShortOperator
    from klap_provider.operators.list_shorts import ListShortsOperator
    from klap_provider.selection_xcoms import Short
    from klap_provider.xcoms import Exported, Failure, Submitted, TaskReady


class GenerateShortsOperator(SubmitShortsOperator, KlapRunEndOperator):
    """
    Turn one long video into delivered shorts: submit it, wait, select, export, wait, and store the files.

    Klap bills the video, each generated short and each export. The operator executes the operators and sensors of this
    package one after another as parts of one task. Every paid request is recorded in the ledger
    (:mod:`klap_provider.rules.ledger`), so retries, crashes and clears continue with what was paid. A retry never pays
    for a job that failed at Klap; a clear pays for a new one.

    A short that fails does not stop the others. The task then fails after the last short, and names those that are
    missing. It is retried if the error of one of them is transient.

    Use the result in another task, or map the operator over several videos:

    .. code-block:: python

        GenerateShortsOperator.partial(task_id="generate", limit=3).expand(source_video_url=[...])

    :param source_video_url: a YouTube address, a public http(s) address of a video file, or a file in object storage
        such as ``s3://conn_id@bucket/talk.mp4``. Templated.
    :param destination: folder for the files: an absolute path, or a URL such as ``s3://aws_default@bucket/shorts``. The
        files are stored in a subfolder with the name of the Klap task. Default: the destination of the connection, or
        ``klap_shorts`` in Airflow's home if all tasks run on one machine. Templated.
    :param limit: maximum number of shorts to export, best first. Default: all. Templated.
    :param min_virality_score: minimum score, 0–100. Default: no minimum. Templated.
    :param without_score: what to do with shorts without a score if ``min_virality_score`` is set: ``leave_out`` or
        ``export``. Default ``leave_out``. Templated.
    :param allow_empty: return an empty list instead of failing if Klap generated no shorts. Default false. Templated.
    :param watermark: see :class:`~klap_provider.operators.ExportShortOperator`. Default: no watermark. Templated.
    :param budget: US dollars that the run may cost. Exports that would exceed it are skipped, lowest score first.
        Default: no limit. Templated.
    :param deferrable: wait in the triggerer instead of on a worker. Default: ``[operators] default_deferrable`` of
        Airflow's configuration.
    :param timeout: time from the submission until the wait for Klap's task gives up, in seconds or as a timedelta.
        Default two hours.
    :param export_timeout: the same for each export, from its request. Default one hour.
    :param notifiers: Airflow's notifiers that send a notice when the task ends, in addition to those of the connection.
        See docs/how-to/get-notified.md. Default: none.
    :return: a list with ``{"project_id": str, "folder_id": str | None, "export_id": str, "short_name": str,
        "virality_score": int | None, "duration": float | None, "preview_url": str, "path": str, "size": int, "sha256":
        str, "sidecar": str, "src_url": str | None}`` for each delivered short, best first. The score is 0 to 100, the
        duration is in seconds, the size is in bytes. ``sidecar`` is the JSON file beside the video. ``src_url`` is
        Klap's address of the video; None if the address is signed. If shorts are missing, the XCom has those that were
        delivered, and the task fails. The XComs ``klap_shorts``, ``klap_offer`` and ``klap_facts`` are those of
        :class:`~klap_provider.operators.ListShortsOperator`.
    :raises KlapIncompleteError: one or more shorts are missing; the message has the step and the reason for each.
    :raises AirflowSensorTimeout: Klap's task was not ready in time. The task is not retried.
    :raises KlapJobFailedError: Klap's task failed. The message has Klap's reason.
    :raises KlapNoShortsError: Klap generated no shorts.

    The other parameters and errors are those of :class:`~klap_provider.operators.SubmitShortsOperator`, without
    ``max_exports`` and ``wait_for_completion``.
    """

    template_fields: Sequence[str] = (
        *(name for name in SubmitShortsOperator.template_fields if name != "max_exports"),
        "limit",
        "min_virality_score",
        "without_score",
        "allow_empty",
        "watermark",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **SubmitShortsOperator.template_fields_renderers,
        "watermark": "json",
    }
    operator_extra_links = (OpenInKlapLink(),)

    #: The failures of single shorts.
    failures: Sequence[dict[str, Any]] = ()

    def __init__(
        self,
        *,
        limit: int | None = None,
        min_virality_score: float | None = None,
        without_score: str | None = None,
        allow_empty: bool = False,
        watermark: dict[str, Any] | None = None,
        export_timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        if {"max_exports", "wait_for_completion"} & kwargs.keys():
            raise ValueError("use limit instead of max_exports; the operator always waits for completion")
        self.limit = limit
        super().__init__(wait_for_completion=True, max_exports=limit, **kwargs)
        self.has_destination = True
        self.min_virality_score = min_virality_score
        self.without_score = without_score
        self.allow_empty = allow_empty
        self.watermark = watermark
        self.export_timeout = export_timeout
        if is_static(limit) and is_static(min_virality_score) and is_static(without_score):
            check_now(self._selection)
        if is_static(watermark):
            check_now(self._export_request)

    @reports_failure
    def execute(self, context: Context) -> list[GeneratedShort]:  # type: ignore[override]  # its result is another one
        """Generate and deliver the shorts, or continue with what was paid for before."""
        generated: list[GeneratedShort] = self.submit_and_wait(context)
        return generated

    def submit_and_wait(self, context: Context) -> Any:
        """Check all settings before anything is paid, submit, and do the rest."""
        self._selection()
        self._export_request()
        return self.proceed(context, {"submitted": self.submit(context)})

    def proceed(self, context: Context, progress: dict[str, Any], resumed: Resumed | None = None) -> Any:
        """
        Do the next steps, and return the delivered shorts.

        :param progress: the results of the steps that are done, as JSON: ``submitted``, ``ready``, ``shorts``,
            ``exports`` (for each short an export or a failure) and ``outcomes`` (for each short, in order, a delivered
            short or a failure).
        """
        submitted = cast("Submitted", progress["submitted"])
        if "ready" not in progress:
            progress = {**progress, "ready": self.run_part(self.wait(submitted), context, progress, resumed)}
            resumed = None
        ready = cast("TaskReady", progress["ready"])
        self.folder_id = ready["output_id"]  # for the link
        if "shorts" not in progress:
            selected = self.run_part(self._list(submitted, ready), context, progress, resumed)
            kept = ("project_id", "folder_id", "short_name", "virality_score", "duration", "preview_url")
            progress = {**progress, "shorts": [{name: short[name] for name in kept} for short in selected]}
            resumed = None
        shorts = cast("list[Short]", progress["shorts"])
        if "exports" not in progress:  # all of them, before the wait for the first
            exports = [
                self._attempt(short, "Export", self._export(submitted, short), context, progress) for short in shorts
            ]
            progress = {**progress, "exports": exports, "outcomes": []}
        outcomes: list[dict[str, Any]] = progress["outcomes"]
        for short, export in [*zip(shorts, progress["exports"], strict=True)][len(outcomes) :]:
            outcomes.append(export if "error" in export else self._finish(context, progress, short, export, resumed))
            resumed = None
        self.update_limits(context, str(ready["output_id"]), lambda: progress["exports"])
        return self._concluded(context, outcomes)

    def _finish(
        self, context: Context, progress: dict[str, Any], short: Short, export: Exported, resumed: Resumed | None
    ) -> dict[str, Any]:
        """Wait for an export, deliver it, and return the delivered short or the failure."""
        submitted = cast("Submitted", progress["submitted"])
        wait = self._export(submitted, short).wait(export)
        ready = self._attempt(short, "Wait for export", wait, context, progress, resumed)
        if "error" in ready:
            return ready
        deliver = self._deliver(submitted, short, export)
        delivered = self._attempt(short, "Deliver", deliver, context, progress)
        if "error" in delivered:
            return delivered
        return {
            **short,
            "export_id": export["export_id"],
            **{name: delivered[name] for name in ("path", "size", "sha256", "sidecar")},
            "src_url": delivered["src_url"] or ready["src_url"],
        }

    def _attempt(
        self,
        short: Short,
        step: str,
        part: Any,
        context: Context,
        progress: dict[str, Any],
        resumed: Resumed | None = None,
    ) -> dict[str, Any]:
        """Execute a part for one short, and return its result, or its failure as JSON."""
        try:
            return cast("dict[str, Any]", self.run_part(part, context, progress, resumed))
        except (KlapError, AirflowSensorTimeout) as failure:
            self.log.warning("%s of %r failed: %s", step, short["short_name"], failure)
            return {
                "error": f"{step} of {short['short_name']!r}: {failure}",
                "type": type(failure).__name__,
                "transient": getattr(failure, "transient", False),
                "retry_after": getattr(failure, "retry_after", None),
                "open_decision": getattr(failure, "open_decision", None),
            }

    def _concluded(self, context: Context, outcomes: list[dict[str, Any]]) -> list[GeneratedShort]:
        """Return the delivered shorts; if any is missing, leave them as XCom and fail."""
        delivered = [cast("GeneratedShort", each) for each in outcomes if "error" not in each]
        self.failures = failures = [each for each in outcomes if "error" in each]
        self.log.info("Delivered %d of %d shorts", len(delivered), len(outcomes))
        if not failures:
            title = f"Klap: {len(delivered)} delivered, {self.video_name}"
            self.notify(context, Event.RUN_FINISHED, title, name_lines(delivered))
            return delivered
        with log_failure("Leaving the delivered shorts as XCom"):
            context["ti"].xcom_push(key=RETURN_KEY, value=delivered)
        reasons = " ".join(f"{each['error'].rstrip('.')}." for each in failures)
        incomplete = KlapIncompleteError(
            f"{len(delivered)} of {len(outcomes)} shorts were delivered. {reasons} Fix the cause and clear this task. "
            "You pay again only for jobs that failed at Klap."
        )
        incomplete.transient = any(each["transient"] for each in failures)
        waits = [each["retry_after"] for each in failures if each["retry_after"] is not None]
        incomplete.retry_after = max(waits, default=None)
        incomplete.open_decision = next((each["open_decision"] for each in failures if each["open_decision"]), None)
        raise incomplete

    def notify_failure(self, context: Context, failure: BaseException) -> None:
        """Notify users that the task failed, unless it is retried."""
        if self.is_final(context, failure):
            event = event_of(cast("list[Failure]", self.failures) or [to_failure(failure, None)])
            self.notify(context, event, f"Klap: shorts are missing, {self.video_name}", str(failure))

    def _list(self, submitted: Submitted, ready: TaskReady) -> ListShortsOperator:
        from klap_provider.operators.list_shorts import ListShortsOperator

        is_folder = ready["output_type"] == "folder"
        return ListShortsOperator(
            **self._account(),
            folder_id=ready["output_id"] if is_folder else None,
            project_id=None if is_folder else ready["output_id"],
            **self.expected_list,
            min_virality_score=self.min_virality_score,
            without_score=self.without_score,
            limit=self.limit,
            listed_ids=ready.get("listed_ids"),
            source_video_url=submitted["video"],
            budget=self.budget,
            submissions=submitted["paid"],
            reservation=submitted.get("reservation"),
            monthly_limit=self.monthly_limit,
            monthly_limit_action=self.monthly_limit_action,
            allow_empty=self.allow_empty,
            deferrable=self.deferrable,
        )

    def _export(self, submitted: Submitted, short: Short) -> ExportShortOperator:
        from klap_provider.operators.export import ExportShortOperator

        export = ExportShortOperator(
            **self._account(),
            project_id=short["project_id"],
            folder_id=short["folder_id"],
            watermark=self.watermark,
            monthly_limit=self.monthly_limit,
            monthly_limit_action=self.monthly_limit_action,
            short_name=short["short_name"],
            source_video_url=submitted["video"],
            deferrable=self.deferrable,
            timeout=self.export_timeout,
        )
        export.keeps_failed_job = True
        return export

    def _deliver(self, submitted: Submitted, short: Short, export: Exported) -> DeliverShortOperator:
        from klap_provider.operators.deliver import DeliverShortOperator

        return DeliverShortOperator(
            **self._account(),
            export_id=export["export_id"],
            project_id=short["project_id"],
            folder_id=short["folder_id"],
            destination=submitted["destination"],
            subfolder=submitted["klap_task_id"],
            short_name=short["short_name"],
            virality_score=short["virality_score"],
            source_video_url=submitted["video"],
            klap_task_id=submitted["klap_task_id"],
        )

    def _account(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "klap_conn_id": self.klap_conn_id, "on_behalf_of": self.on_behalf_of}

    def _selection(self) -> limits.Selection:
        fields = {name: getattr(self, name) for name in limits.Selection.model_fields}
        return klap_requests.build_request(limits.Selection, {**fields, "project_ids": self.project_ids or None})

    def _export_request(self) -> klap_requests.ExportRequest:
        return klap_requests.export_request(self.watermark)

    def _max_exports(self) -> int | None:
        return klap_requests.build_request(limits.Selection, {"limit": self.limit}).limit
