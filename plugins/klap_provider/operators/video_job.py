"""VideoJob: the paid request that submits a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider.api import addresses, calls, redaction
from klap_provider.operators.submit_once import KlapJob
from klap_provider.rules import ledger, ledger_keys, request_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from airflow.sdk import Context

    from klap_provider.api.calls import Call
    from klap_provider.api.requests import VideoRequest
    from klap_provider.api.responses import Task
    from klap_provider.operators.video import KlapVideoOperator


class VideoJob(KlapJob):
    """
    The submission of a video. Klap has no list of tasks to find it in.

    :param operator: the operator that submits the video.
    :param request: the request, with the address of the video as the user gave it.
    :param budget: US dollars that the run may cost; None: no limit.
    :param reuse: whether a task that another run submitted may be used.
    """

    def __init__(
        self, operator: KlapVideoOperator, request: VideoRequest, *, budget: Decimal | None, reuse: bool
    ) -> None:
        super().__init__(operator, operator.call(request))
        self._operator, self._request, self._budget, self._reuse = operator, request, budget, reuse

    def paid_request(self, context: Context) -> ledger.PaidRequest:
        """Return what the ledger records about the request."""
        connection, ti = self.client.connection, context["ti"]
        video, settings = redaction.shown(self._request.source_video_url), self._request.settings()
        in_any_run = request_fingerprint.fingerprint(
            self.call.path, settings, connection.api_url, connection.on_behalf_of
        )
        reuse, is_mapped = self._reuse, ti.map_index not in (None, -1)
        # The map index is left out: it can get another video when the mapped list changes.
        in_this_task = request_fingerprint.fingerprint(in_any_run, ti.dag_id, ti.run_id, ti.task_id)
        name = f" of {self._request.name}" if self._request.name else ""
        return ledger.PaidRequest(
            ledger_keys.submission_log(ti.dag_id, ti.run_id, ti.task_id, ti.map_index),
            video=video,
            what=f"{self.call.path.rpartition('/')[2]}{name}",
            price=float(connection.prices.input_video),
            inputs={
                "call": self.call.name,
                **settings,
                "source_video_url": video,
                "klap_conn_id": self._operator.klap_conn_id,
                "host": connection.api_url,
                "on_behalf_of": connection.on_behalf_of,
            },
            shared_log=ledger_keys.request_log(in_any_run if reuse else in_this_task) if reuse or is_mapped else None,
            reuse=reuse,
            reuse_key=ledger_keys.reuse_key(in_any_run),
            budget=None if self._budget is None else float(self._budget),
            estimated=connection.prices.estimated,
            settings=request_fingerprint.describe_settings(
                {field: settings[field] for field in settings if field not in ("source_video_url", "name")}
            ),
        )

    def prepare(self, paid: int) -> Sequence[str]:
        """Check the budget and the video, sign the address of the video, and reserve a part of the monthly limit."""
        self.call = self._ready_call(paid)
        cost = self._operator.max_cost(self._request, self.client.connection.prices, submissions=1)
        self.reserve(paid, cost._replace(exports=1).total)  # so that the best short can be exported
        if self.limits is not None:
            self.limits.resume()
        return ()

    def _ready_call(self, paid: int) -> Call[Task]:
        """
        Return the POST with an address that Klap can download from, after checking the budget and the video.

        :param paid: number of POSTs of this run that Klap has accepted so far.
        """
        from klap_provider.files.signing import is_stored, signed
        from klap_provider.operators import before_submission

        request, connection = self._request, self.client.connection
        max_cost = self._operator.max_cost(request, connection.prices, submissions=paid + 1)
        self.log.info("The run may cost up to %s", max_cost)
        before_submission.require_budget(self._budget, max_cost)
        video = request.source_video_url
        if is_stored(video):
            request = request.model_copy(update={"source_video_url": signed(video)})
        addresses.require_reachable("source_video_url", request.source_video_url, api_url=connection.api_url)
        before_submission.check(video, max_cost, api_url=connection.api_url, warn=self.log.warning)
        return self._operator.call(request)

    def status(self, job_id: str) -> str:
        """Return the status of a task."""
        return self.client.call(calls.get_task(job_id)).status
