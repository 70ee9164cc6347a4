"""ExportShortOperator: a short becomes a video file at Klap, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.api import addresses, answers, calls, public_form
from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapError
from klap_provider.links.klap import OpenInKlapLink
from klap_provider.operators.base import check_now, is_static, reports_failure
from klap_provider.operators.ledger import KlapSubmitOperator, run_of
from klap_provider.rules import asked, ledger
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from klap_provider.xcoms import Exported


class ExportShortOperator(KlapSubmitOperator):
    """
    Have one short rendered as a video file: ``POST /projects/…/exports``. Costs money, once.

    An export of the same short that is to look the same is returned, whichever run paid for it, unless it failed at
    Klap: it stands in the ledger (:mod:`klap_provider.rules.ledger`). If an answer got lost, the export is looked for
    with ``GET /exports`` and adopted; if it is not there when it must be, some minutes later, it is sent again.

    :param project_id: id of the short. Templated.
    :param folder_id: its folder; None after video-to-video. Templated.
    :param watermark: ``{"src_url": str, "pos_x": 0–1, "pos_y": 0–1, "scale": float}``, of which only ``src_url`` is
        required; the position is the centre's, default 0.5 each. None, or an empty ``src_url``: no watermark of
        yours; Klap may then put its own on. Templated.
    :param short_name: name of the short, shown as the map index. Templated.
    :param source_video_url: the video that it was cut from, for the ledger's line. Templated.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``. Templated.
    :param on_behalf_of: id of the managed user to act for. Default: the connection's. Templated.
    :return: ``{"export_id": str, "project_id": str, "folder_id": str | None, "submitted_at": str,
        "paid": int, "entry": str}``: how many exports of the short Klap has accepted of this run so far, and its name
        in the ledger.
    :raises KlapSubmitPendingError: too early to tell what became of an earlier request; is retried.
    :raises KlapSubmitUncertainError: of several exports nobody knows which is the lost one; says how to go on.
    :raises KlapInputError: a parameter is wrong; nothing was sent. ``ValueError`` from the constructor where the
        value is known there already.
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
        kwargs.setdefault("map_index_template", "{{ task.short_name }}")
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
        """Return the video that the short was cut from, for people; if nobody said, what the short is in."""
        if self.source_video_url:
            return public_form.shown(self.source_video_url)
        return f"folder {self.folder_id or self.project_id}"

    @reports_failure
    def execute(self, context: Context) -> Exported:
        """Export, or reattach to what was exported before."""
        project_id, folder_id = str(self.project_id), self.folder_id
        request = self._request()
        if request.watermark:
            addresses.require_reachable(
                "watermark.src_url", request.watermark.src_url, api_url=self.client.connection.api_url
            )

        def status(export_id: str) -> str:
            return self.client.call(calls.get_export(export_id, project_id=project_id, folder_id=folder_id)).status

        work = ledger.Work(
            ledger.export_entry(project_id, request.look()),
            video=self._video(),
            what=f"export of {self.short_name or project_id}",
            price=float(self.client.connection.prices.export),
            second_hand=self.client.connection.prices.second_hand,
            settings=asked.in_words(request.look()),
        )
        try:
            submission = self.submit_once(
                context,
                calls.create_export(request, project_id=project_id, folder_id=folder_id),
                work,
                status=status,
                list_jobs=self._list_exports,
                recent_jobs=None if folder_id is None else lambda: self._recent_exports(folder_id),
            )
        except KlapError as failure:
            if folder_id is not None and not failure.refused:
                from klap_provider.operators import exports_there

                exports_there.forget(self.client, self.ledger, folder_id)
            raise
        return {
            "export_id": str(submission.job_id),
            "project_id": project_id,
            "folder_id": folder_id,
            "submitted_at": submission.submitted_at,
            "paid": submission.paid_by(run_of(context)),
            "entry": work.entry,
        }

    def _recent_exports(self, folder_id: str) -> list[str]:
        from klap_provider.operators import exports_there

        return exports_there.ids_of(self.client, self.ledger, folder_id, str(self.project_id))

    def _list_exports(self, without_failed: bool) -> list[str]:
        exports = self.client.call(calls.list_exports(folder_id=self.folder_id, project_id=self.project_id))
        return [
            export.id
            for export in exports
            # Of the short itself, as far as the answer says; what was asked for was that.
            if export.project_id in (None, self.project_id)
            and not (without_failed and export.status == answers.JobStatus.ERROR)
        ]
