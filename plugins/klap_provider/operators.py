"""Operators that submit a video, list its shorts, and export one."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from klap_provider import api
from klap_provider.addresses import require_reachable
from klap_provider.base import KlapOperator, KlapSubmitOperator, check_now, is_static, reports_failure
from klap_provider.errors import KlapNoShortsError
from klap_provider.links import OpenInKlapLink, PreviewShortLink
from klap_provider.models import (
    ExportRequest,
    JobStatus,
    Project,
    Selection,
    ShortsRequest,
    build_request,
)
from klap_provider.polling import Pace, Ready, ShortsTarget, Watch
from klap_provider.selection import Ranked, rank
from klap_provider.triggers import ShortsListTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from klap_provider.submission import Submission

#: XCom key of every short that was generated, best first, selected or not.
SHORTS_KEY = "klap_shorts"

#: Seconds by which Klap's clock may be behind ours when an export is looked for by its time.
CLOCK_SKEW = 60


class SubmitShortsOperator(KlapSubmitOperator):
    """
    Have one long video cut into shorts: ``POST /tasks/video-to-shorts``. Costs money, once.

    A retry or a clear with the same inputs returns the same task, unless that task failed at Klap; changed inputs
    are new work. Parameters left None are not sent, and Klap's defaults hold. All are templated.

    :param source_video_url: a YouTube link or a public http(s) address of a video file, at most 5 hours long.
    :param language: spoken language, such as ``en``. Default: Klap detects it.
    :param translate_to: language to translate the captions to.
    :param transcription_context: names and jargon to expect, at most 1,000 characters.
    :param name: name of the upload in Klap. Default "Upload".
    :param target_clip_count: clips Klap aims for. Default 10.
    :param max_clip_count: clips at most. Default 10.
    :param min_duration: seconds, 1–120. Default 1.
    :param max_duration: seconds, 1–180. Default 180.
    :param target_duration: seconds, 1–120. Default 60.
    :param dimensions: ``{"width": int, "height": int}`` in pixels. Default 1080 × 1920.
    :param style_preset_id: id of a caption style made in Klap.
    :param editing_options: any of ``captions``, ``reframe``, ``emojis``, ``intro_title`` (default true) and
        ``remove_silences`` (default false).
    :param klap_task_id: go on with this task of Klap instead of submitting; a way on after
        :class:`~klap_provider.errors.KlapSubmitUncertainError`.
    :param allow_new_submission: the other way on: submit again although the earlier request may have been billed.
    :param destination: where the shorts are to be delivered later: only checked, before anything is paid for.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``.
    :return: ``{"klap_task_id": str, "submitted_at": str}``, the time in ISO 8601.
    :raises KlapInputError: a parameter is wrong; nothing was sent. ``ValueError`` from the constructor where the
        value is known there already.
    :raises KlapSubmitUncertainError: a request was sent and its answer lost; the message says how to go on.
    :raises KlapNotFoundError: Klap has no task ``klap_task_id``.
    """

    template_fields: Sequence[str] = (
        *ShortsRequest.model_fields,
        "klap_task_id",
        "allow_new_submission",
        "destination",
        "klap_conn_id",
    )

    def __init__(
        self,
        *,
        source_video_url: str,
        language: str | None = None,
        translate_to: str | None = None,
        transcription_context: str | None = None,
        name: str | None = None,
        target_clip_count: int | None = None,
        max_clip_count: int | None = None,
        min_duration: int | None = None,
        max_duration: int | None = None,
        target_duration: int | None = None,
        dimensions: dict[str, Any] | None = None,
        style_preset_id: str | None = None,
        editing_options: dict[str, Any] | None = None,
        klap_task_id: str | None = None,
        allow_new_submission: bool = False,
        destination: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_video_url = source_video_url
        self.language = language
        self.translate_to = translate_to
        self.transcription_context = transcription_context
        self.name = name
        self.target_clip_count = target_clip_count
        self.max_clip_count = max_clip_count
        self.min_duration = min_duration
        self.max_duration = max_duration
        self.target_duration = target_duration
        self.dimensions = dimensions
        self.style_preset_id = style_preset_id
        self.editing_options = editing_options
        self.klap_task_id = klap_task_id
        self.allow_new_submission = allow_new_submission
        self.destination = destination
        fields = self._fields()
        if all(map(is_static, fields.values())):
            check_now(lambda: build_request(ShortsRequest, fields))

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ShortsRequest.model_fields}

    @reports_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, or reattach to what was submitted before."""
        from klap_provider.storage import folder_at

        folder_at(self.destination)
        if self.klap_task_id:
            self.log.info("Nothing paid: going on with the given task %s", self.klap_task_id)
            since = self.hook.call(api.get_task(self.klap_task_id)).created_at
            return {
                "klap_task_id": self.klap_task_id,
                "submitted_at": _iso(since.timestamp() if since else time.time()),
            }
        request = build_request(ShortsRequest, self._fields())
        require_reachable("source_video_url", request.source_video_url, api_url=self.hook.connection.api_url)
        submission = self.submit_once(
            context,
            api.submit_shorts(request),
            status=lambda job_id: self.hook.call(api.get_task(job_id)).status,
            allow_new=bool(self.allow_new_submission),
        )
        return {"klap_task_id": submission.job_id, "submitted_at": _iso(submission.at)}


class ListShortsOperator(KlapOperator):
    """
    List the shorts that a task made, best first: ``GET /projects/{folder_id}``.

    Just after a task is ready the list can be late by some minutes; that is waited out in the triggerer.

    :param folder_id: the task's ``output_id``. Templated.
    :param min_virality_score: leave out shorts that score less, 0–100; a short without a score counts as 0.
        Default: none is left out. Templated.
    :param limit: how many to return at most. Default: all. Templated.
    :param allow_empty: return an empty list, instead of failing, if Klap made no shorts. Default false. Templated.
    :param list_timeout: seconds to wait for a late list. Default 300.
    :param deferrable: wait for a late list in the triggerer rather than on a worker. Default true.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``. Templated.
    :return: a list, possibly empty, to map over:
        ``{"project_id": str, "folder_id": str, "short_name": str, "virality_score": int | None,
        "explanation": str | None, "preview_url": str, "duration": float | None}``, the score from 0 to 100, the
        duration in seconds. The XCom ``klap_shorts`` has every short in this form, and with it the ``reason`` why it
        was not selected: a word of :class:`~klap_provider.selection.Unselected`, or None if it was.
    :raises KlapNoShortsError: Klap made none. That all fall below the minimum is no error.
    """

    template_fields: Sequence[str] = (
        "folder_id",
        "min_virality_score",
        "limit",
        "allow_empty",
        "klap_conn_id",
    )
    operator_extra_links = (OpenInKlapLink(),)

    def __init__(
        self,
        *,
        folder_id: str,
        min_virality_score: float | None = None,
        limit: int | None = None,
        allow_empty: bool = False,
        list_timeout: float = 300,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.folder_id = folder_id
        self.min_virality_score = min_virality_score
        self.limit = limit
        self.allow_empty = allow_empty
        self.list_timeout = list_timeout
        self.deferrable = deferrable
        if is_static(min_virality_score) and is_static(limit):
            check_now(self._selection)

    def _selection(self) -> Selection:
        return build_request(Selection, {"min_virality_score": self.min_virality_score, "limit": self.limit})

    @reports_failure
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List, or wait for the list."""
        return self._list(context, started_at=time.time())

    @reports_failure
    def list_again(self, context: Context, event: dict[str, Any], started_at: float) -> list[dict[str, Any]]:
        """List again, after the trigger has seen shorts or the time is up."""
        return self._list(context, started_at=started_at)

    def _list(self, context: Context, *, started_at: float) -> list[dict[str, Any]]:
        selection = self._selection()
        shorts = [self._facts(short) for short in rank(self._projects(started_at), selection)]
        context["ti"].xcom_push(key=SHORTS_KEY, value=shorts)
        return self.choose(context, shorts)

    def choose(self, context: Context, shorts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those of the shorts, as under :data:`SHORTS_KEY`, that were selected."""
        selected = [
            {name: fact for name, fact in short.items() if name != "reason"}
            for short in shorts
            if short["reason"] is None
        ]
        self.log.info("Klap made %d shorts of folder %s, %d are selected", len(shorts), self.folder_id, len(selected))
        return selected

    def _projects(self, started_at: float) -> list[Project]:
        target = ShortsTarget(str(self.folder_id))
        watch = Watch(started_at, started_at + self.list_timeout, Pace(shortest=2, longest=15))
        while True:
            try:
                verdict = self.look(target, watch)
            except KlapNoShortsError:
                if self.allow_empty:
                    return []
                raise
            if isinstance(verdict, Ready):
                return verdict.value
            if self.deferrable:
                self.defer(
                    trigger=ShortsListTrigger.watching(target, verdict, klap_conn_id=self.klap_conn_id),
                    method_name="list_again",
                    kwargs={"started_at": watch.started_at},
                    timeout=timedelta(seconds=self.list_timeout * 2 + 600),
                )
            time.sleep(verdict.seconds)

    def _facts(self, short: Ranked) -> dict[str, Any]:
        project = short.project
        return {
            "project_id": project.id,
            "folder_id": project.folder_id or self.folder_id,
            "short_name": project.name or project.id,
            "virality_score": short.score,
            "explanation": project.virality_score_explanation,
            "preview_url": f"{self.hook.connection.player_url}/{project.id}",
            "duration": project.duration,
            "reason": None if short.reason is None else short.reason.value,
        }


class ExportShortOperator(KlapSubmitOperator):
    """
    Have one short rendered as a video file: ``POST /projects/…/exports``. Costs money, once.

    A retry or a clear with the same inputs returns the same export, unless that export failed at Klap. If an answer
    got lost, the export is looked for with ``GET /exports`` and adopted.

    :param project_id: id of the short. Templated.
    :param folder_id: its folder; None after video-to-video. Templated.
    :param watermark: ``{"src_url": str, "pos_x": 0–1, "pos_y": 0–1, "scale": float}``, of which only ``src_url`` is
        required; the position is the centre's, default 0.5 each. None, or an empty ``src_url``: no watermark of
        yours; Klap may then put its own on. Templated.
    :param short_name: name of the short, shown as the map index. Templated.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``. Templated.
    :return: ``{"export_id": str, "project_id": str, "folder_id": str | None, "submitted_at": str}``.
    :raises KlapInputError: a parameter is wrong; nothing was sent. ``ValueError`` from the constructor where the
        value is known there already.
    """

    template_fields: Sequence[str] = ("project_id", "folder_id", "watermark", "short_name", "klap_conn_id")
    operator_extra_links = (OpenInKlapLink(), PreviewShortLink())

    def __init__(
        self,
        *,
        project_id: str,
        folder_id: str | None = None,
        watermark: dict[str, Any] | None = None,
        short_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", "{{ task.short_name }}")
        super().__init__(**kwargs)
        self.project_id = project_id
        self.folder_id = folder_id
        self.watermark = watermark
        self.short_name = short_name
        if is_static(watermark):
            check_now(self._request)

    def _request(self) -> ExportRequest:
        watermark = self.watermark
        if isinstance(watermark, dict) and not watermark.get("src_url"):
            watermark = None
        return build_request(ExportRequest, {"watermark": watermark})

    @reports_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Export, or reattach to what was exported before."""
        project_id, folder_id = str(self.project_id), self.folder_id
        request = self._request()
        if request.watermark:
            require_reachable("watermark.src_url", request.watermark.src_url, api_url=self.hook.connection.api_url)

        def status(export_id: str) -> str:
            return self.hook.call(api.get_export(export_id, project_id=project_id, folder_id=folder_id)).status

        submission = self.submit_once(
            context,
            api.create_export(request, project_id=project_id, folder_id=folder_id),
            status=status,
            find_orphans=self._find_orphans,
        )
        return {
            "export_id": submission.job_id,
            "project_id": project_id,
            "folder_id": folder_id,
            "submitted_at": _iso(submission.at),
        }

    def _find_orphans(self, intent: Submission) -> list[str]:
        exports = self.hook.call(api.list_exports(folder_id=self.folder_id, project_id=self.project_id))
        found = sorted(
            (export.created_at, export.id)
            for export in exports
            if export.project_id == self.project_id
            and export.status != JobStatus.ERROR
            and export.created_at is not None
            and export.created_at.timestamp() >= intent.at - CLOCK_SKEW
        )
        self.log.info(
            "A request of %s got no answer; Klap has %d exports of %s made since",
            _iso(intent.at),
            len(found),
            self.project_id,
        )
        return [export_id for _, export_id in found]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
