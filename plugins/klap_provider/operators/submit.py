"""SubmitShortsOperator and SubmitVideoOperator: submit a video to Klap, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.api import calls
from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapInputError
from klap_provider.operators.arguments import check_now, is_static
from klap_provider.operators.video import KlapVideoOperator
from klap_provider.rules import limits
from klap_provider.rules.cost import DEFAULT_SHORTS, Cost, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Task
    from klap_provider.rules.cost import Prices


class SubmitVideoOperator(KlapVideoOperator):
    """
    Submit a video that Klap captions and reframes as a whole: ``POST /tasks/video-to-video``. Klap bills it once.

    The parameters, the result and the errors are those of :class:`~klap_provider.operators.video.KlapVideoOperator`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check_early()

    @property
    def request_type(self) -> type[klap_requests.VideoRequest]:
        """The request model."""
        return klap_requests.VideoRequest

    def call(self, request: klap_requests.VideoRequest) -> Call[Task]:
        """Return the call ``POST /tasks/video-to-video``."""
        return calls.submit_video(request)

    def max_cost(self, request: klap_requests.VideoRequest, prices: Prices, *, submissions: int) -> Cost:
        """Return the cost of the video and one export."""
        return Cost(prices, input_videos=submissions, exports=1)


class SubmitShortsOperator(KlapVideoOperator):
    """
    Submit a long video that Klap cuts into shorts: ``POST /tasks/video-to-shorts``. Klap bills it once.

    :param target_clip_count: number of shorts that Klap aims for. Default 10. Templated, like the following parameters.
    :param max_clip_count: maximum number of shorts. Default 10.
    :param min_duration: minimum length of a short in seconds, 1–120. Default 1.
    :param max_duration: maximum length of a short in seconds, 1–180. Default 180.
    :param target_duration: length in seconds that Klap aims for, 1–120. Default 60.
    :param max_exports: maximum number of shorts that will be exported, for the cost estimate. Default: all.
    :param project_ids: ids of the shorts that will be exported. Only with ``klap_task_id``, because a new task has new
        shorts.

    The other parameters, the result and the errors are those of
    :class:`~klap_provider.operators.video.KlapVideoOperator`.
    """

    template_fields: Sequence[str] = (
        *KlapVideoOperator.template_fields,
        "target_clip_count",
        "max_clip_count",
        "min_duration",
        "max_duration",
        "target_duration",
        "max_exports",
        "project_ids",
    )

    def __init__(
        self,
        *,
        target_clip_count: int | None = None,
        max_clip_count: int | None = None,
        min_duration: int | None = None,
        max_duration: int | None = None,
        target_duration: int | None = None,
        max_exports: int | None = None,
        project_ids: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_clip_count = target_clip_count
        self.max_clip_count = max_clip_count
        self.min_duration = min_duration
        self.max_duration = max_duration
        self.target_duration = target_duration
        self.max_exports = max_exports
        self.project_ids = project_ids
        self._check_early()
        if is_static(max_exports):
            check_now(self._max_exports)

    @property
    def request_type(self) -> type[klap_requests.VideoRequest]:
        """The request model."""
        return klap_requests.ShortsRequest

    @property
    def expected_list(self) -> dict[str, Any]:
        """The settings with which a given task was submitted are not known."""
        return {
            "max_clip_count": None if self.klap_task_id else self.max_clip_count,
            "project_ids": self.project_ids or None,
        }

    def call(self, request: klap_requests.ShortsRequest) -> Call[Task]:
        """Return the call ``POST /tasks/video-to-shorts``."""
        return calls.submit_shorts(request)

    def max_cost(self, request: klap_requests.ShortsRequest, prices: Prices, *, submissions: int) -> Cost:
        """Return the cost of the video, the maximum number of generated shorts, and their exports."""
        shorts = request.max_clip_count or DEFAULT_SHORTS
        if "max_clip_count" not in request.model_fields_set:
            shorts = max(shorts, request.target_clip_count or 0)
        return estimate(prices, shorts=shorts, max_exports=self._max_exports(), input_videos=submissions)

    def _request(self) -> klap_requests.VideoRequest:
        if self.project_ids and not self.klap_task_id:
            raise KlapInputError(
                "Nothing was sent to Klap. project_ids needs klap_task_id, because a new Klap task generates new "
                "shorts. Set klap_task_id to the task that has these shorts, or leave project_ids empty."
            )
        return super()._request()

    def _max_exports(self) -> int | None:
        return klap_requests.build_request(limits.Spending, {"max_exports": self.max_exports}).max_exports
