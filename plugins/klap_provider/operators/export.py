"""ExportShortOperator: request the export of a short at Klap, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from klap_provider.api import addresses, calls, redaction, responses
from klap_provider.api import requests as klap_requests
from klap_provider.links.klap import OpenInKlapLink
from klap_provider.operators.arguments import check_now, is_static
from klap_provider.operators.completion import KlapCompletionOperator
from klap_provider.operators.failures import reports_failure
from klap_provider.operators.submit_once import KlapJob
from klap_provider.rules import in_doubt, ledger, ledger_keys, request_fingerprint
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Export
    from klap_provider.sensors.status import ExportStatusSensor
    from klap_provider.xcoms import Exported

#: Maximum number of listed exports that are looked up in the ledger, to tell whether a list shows our exports.
MAX_LOOKUPS = 25


class ExportShortOperator(KlapCompletionOperator):
    """
    Request the export of a short as a video file: ``POST /projects/…/exports``. Klap bills it once.

    The ledger (:mod:`klap_provider.rules.ledger`) records every export. If any run has paid for an export of the same
    short with the same settings, that export is used, unless it failed at Klap. If the response to a POST never
    arrives, the operator searches for the export with ``GET /exports`` (:mod:`klap_provider.rules.in_doubt`).

    :param project_id: id of the short. Templated.
    :param folder_id: id of its folder; None after video-to-video. Templated.
    :param watermark: ``{"src_url": str, "pos_x": 0–1, "pos_y": 0–1, "scale": float}``. Only ``src_url`` is required.
        The position is that of the center, 0.5 by default. None, or an empty ``src_url``: no watermark of yours, but
        Klap may add its own. Templated.
    :param short_name: name of the short, shown as the map index. Templated.
    :param source_video_url: address of the source video, for the ledger. Templated.
    :param wait_for_completion: wait until the export is ready, as :class:`~klap_provider.sensors.ExportStatusSensor`
        does. The errors are then also those of the sensor. Default false.
    :param deferrable: with ``wait_for_completion``: wait in the triggerer instead of on a worker. Default:
        ``[operators] default_deferrable`` of Airflow's configuration.
    :param timeout: with ``wait_for_completion``: time from the request until the wait gives up, in seconds or as a
        timedelta. Default one hour.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``. Templated.
    :param allowed_connections: ids of the connections that a run may use as ``klap_conn_id``. A value in the Dag file
        is always allowed. Default: ``[klap] allowed_connections`` of Airflow's configuration, or else none.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection. Templated.
    :return: ``{"export_id": str, "project_id": str, "folder_id": str | None, "submitted_at": str, "paid": int, "entry":
        str, "short_name": str, "watermark": str | None}``. ``paid`` is the number of exports of this task that Klap has
        accepted so far. ``entry`` is the key of the request in the ledger. ``watermark`` is its address without
        secrets. With ``wait_for_completion``, the result also has ``src_url``, the address of the video if that is
        public.
    :raises KlapSubmitPendingError: the request is in doubt, and it is too early to decide; the task is retried.
    :raises KlapSubmitUncertainError: the request is in doubt, and the user has to decide.
    :raises KlapInputError: a parameter is wrong; nothing was sent. The constructor raises ``ValueError`` if it can
        check the value already.
    """

    template_fields: Sequence[str] = (
        "project_id",
        "folder_id",
        "watermark",
        "short_name",
        "source_video_url",
        "klap_conn_id",
        "on_behalf_of",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"watermark": "json"}
    operator_extra_links = (OpenInKlapLink(),)

    def __init__(
        self,
        *,
        project_id: str,
        folder_id: str | None = None,
        watermark: dict[str, Any] | None = None,
        short_name: str | None = None,
        source_video_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", "{{ task.shown_name }}")
        super().__init__(**kwargs)
        self.project_id = project_id
        self.folder_id = folder_id
        self.watermark = watermark
        self.short_name = short_name
        self.source_video_url = source_video_url
        if is_static(watermark):
            check_now(self._request)

    def _request(self) -> klap_requests.ExportRequest:
        return klap_requests.export_request(self.watermark)

    def count_accepted(self) -> None:
        """Count one export."""
        metrics.count(metrics.EXPORTED)
        metrics.count(metrics.COST, self.client.connection.prices.export, item="export")

    def _video(self) -> str:
        """Return the address of the source video for the ledger, or else the folder of the short."""
        if self.source_video_url:
            return redaction.shown(self.source_video_url)
        return f"folder {self.folder_id or self.project_id}"

    @reports_failure
    def execute(self, context: Context) -> Exported:
        """Request the export, or reattach to an export that was paid for before."""
        exported: Exported = self.submit_and_wait(context)
        return exported

    def wait(self, submitted: Exported) -> ExportStatusSensor:
        """Return the sensor for the export."""
        from klap_provider.sensors.status import ExportStatusSensor

        return ExportStatusSensor(
            task_id=self.task_id,
            klap_conn_id=self.klap_conn_id,
            on_behalf_of=self.on_behalf_of,
            export_id=submitted["export_id"],
            project_id=submitted["project_id"],
            folder_id=submitted["folder_id"],
            submitted_at=submitted["submitted_at"],
            deferrable=self.deferrable,
            **self.sensor_timeout,
        )

    def submit(self, context: Context) -> Exported:
        """Request the export, or reattach to an export that was paid for before."""
        project_id, folder_id = str(self.project_id), self.folder_id
        request = self._request()
        if request.watermark:
            addresses.require_reachable(
                "watermark.src_url", request.watermark.src_url, api_url=self.client.connection.api_url
            )

        call = calls.create_export(request, project_id=project_id, folder_id=folder_id)
        connection = self.client.connection
        prices = connection.prices
        paid = ledger.PaidRequest(
            ledger_keys.export_log(project_id),
            video=self._video(),
            what=f"export of {self.short_name or project_id}",
            price=float(prices.export),
            fingerprint=request_fingerprint.export_fingerprint(request),
            estimated=prices.estimated,
            settings=request_fingerprint.describe_settings(request.settings()),
            account=" ".join(filter(None, (self.klap_conn_id, connection.api_url, connection.on_behalf_of))),
        )
        submission = self.submit_once(context, paid, _ExportJob(self, call))
        return {
            "export_id": submission.job_id,
            "project_id": project_id,
            "folder_id": folder_id,
            "submitted_at": submission.attempt.submitted_at,
            "paid": submission.paid,
            "entry": submission.attempt.key,
            "short_name": str(self.short_name or project_id),
            "watermark": redaction.shown(request.watermark.src_url) if request.watermark else None,
        }


class _ExportJob(KlapJob):
    """An export of a short."""

    has_list = True

    def __init__(self, operator: ExportShortOperator, call: Call[Export]) -> None:
        super().__init__(operator, call)
        self.ledger = operator.ledger
        self.project_id = str(operator.project_id)
        self.folder_id = operator.folder_id

    def prepare(self, paid: int) -> list[str]:
        """Reserve a part of the monthly limit, unless the selection has, and return the existing exports."""
        is_covered = self.limits is None or (
            not paid and self.limits.covers(self.folder_id or self.project_id, self.project_id)
        )
        if not is_covered:
            self.reserve(paid, self.client.connection.prices.export)
        return [export.id for export in self._of_short(self._list(project_id=self.project_id))]

    def find(self) -> in_doubt.Listing:
        """
        Return the exports of the short that the POST may have created.

        A list proves something only if it shows an export of the short, or one that the ledger has. Klap may return an
        empty list although there are exports, for example to another user.
        """
        by_short, by_folder = {"project_id": self.project_id}, {"folder_id": self.folder_id}
        for filters in (by_short, by_folder, {}) if self.folder_id else (by_short, {}):
            listed = self._list(**filters)
            # In the other lists, an export without a project_id can belong to another short.
            of_short = [each for each in self._of_short(listed) if each.project_id or filters is by_short]
            if of_short or any(map(self._is_ours, listed[:MAX_LOOKUPS])):
                not_failed = [export.id for export in of_short if export.status != responses.JobStatus.ERROR]
                return in_doubt.Listing(not_failed, is_proof=True)
        return in_doubt.Listing([], is_proof=False)

    def _list(self, **filters: str | None) -> list[Export]:
        return self.client.call(calls.list_exports(**filters))

    def _of_short(self, exports: list[Export]) -> list[Export]:
        return [export for export in exports if export.project_id in (None, self.project_id)]

    def _is_ours(self, export: Export) -> bool:
        if export.project_id is None:
            return False

        def created(attempt: ledger.Attempt) -> bool:
            if attempt.job_id is None:  # in doubt: an export that is new since then is its own
                return not attempt.is_void and export.id not in attempt.known
            return attempt.job_id == export.id

        return any(map(created, ledger.read_attempts(self.ledger, ledger_keys.export_log(export.project_id))))

    def status(self, job_id: str) -> str:
        """Return the status of an export."""
        return self.client.call(calls.get_export(job_id, project_id=self.project_id, folder_id=self.folder_id)).status
