"""KlapVideoOperator: the base of the operators that submit a video to Klap."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from klap_provider.api import addresses, calls, redaction
from klap_provider.api import requests as klap_requests
from klap_provider.api.aspect_ratio import size_of
from klap_provider.errors import KlapInputError
from klap_provider.operators.arguments import check_now, is_static
from klap_provider.operators.base import require_fields
from klap_provider.operators.completion import KlapCompletionOperator
from klap_provider.operators.failures import reports_failure
from klap_provider.operators.monthly_limit import reservation_of
from klap_provider.operators.video_job import VideoJob
from klap_provider.rules import limits, video_list
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from klap_provider.api.calls import Call
    from klap_provider.api.responses import Task
    from klap_provider.rules.cost import Cost, Prices
    from klap_provider.sensors.status import TaskStatusSensor
    from klap_provider.xcoms import Submitted


class KlapVideoOperator(KlapCompletionOperator):
    """
    Base of the operators that submit a video to Klap. Klap bills each submission once.

    The ledger (:mod:`klap_provider.rules.ledger`) records what a task of a run submits. A retry or a clear continues
    with the recorded task, unless it failed at Klap. If the settings have changed since then, a retry logs the
    differences; after a clear, the task fails and the user decides. Another run submits the video again, unless
    ``reuse`` is on.

    A parameter that is None is not sent, so Klap's default applies. All parameters are templated, except for
    ``allowed_connections``, ``allowed_sources``, ``allowed_destinations``, ``strict_conf``, ``wait_for_completion``,
    ``deferrable`` and ``timeout``.

    :param source_video_url: a YouTube address, a public http(s) address of a video file, or a file in object storage
        such as ``s3://conn_id@bucket/talk.mp4``. For a file in object storage, Klap gets a signed address. At most 5
        hours.
    :param language: spoken language, such as ``en``. Default: Klap detects it.
    :param translate_to: language to translate the captions to. Default: no translation.
    :param transcription_context: names and jargon to expect, at most 1,000 characters.
    :param name: name of the upload in Klap. Default "Upload".
    :param dimensions: ``{"width": int, "height": int}``, even numbers of pixels. Default 1080 × 1920.
    :param aspect_ratio: ``9:16``, ``4:5``, ``1:1`` or ``16:9``, instead of ``dimensions``. If ``dimensions`` has only
        one side, the other one follows from it.
    :param style_preset_id: id of a caption style that was created in Klap.
    :param editing_options: any of ``captions``, ``reframe``, ``emojis``, ``intro_title`` (default true) and
        ``remove_silences`` (default false).
    :param klap_task_id: continue with this task of Klap instead of submitting the video.
    :param reuse: if any run has submitted this video with these settings before, continue with that task, unless it
        failed. Runs that start at the same moment share one submission if ``reuse`` is on in all of them. Default
        false.
    :param destination: where the videos will be delivered. A file is written there before anything is paid. If it is
        empty when the task runs: the destination of the connection, or ``klap_shorts`` in Airflow's home if all tasks
        run on one machine. If the parameter is not given, the default destination is checked only if a downstream
        :class:`~klap_provider.operators.DeliverShortOperator` has none either, or is mapped with ``expand_kwargs`` over
        the result of a task.
    :param budget: US dollars that the run may cost. Nothing is sent if the budget does not cover the video, the maximum
        number of generated shorts, and one export. What was paid before is never refused. Default: no limit.
    :param allowed_sources: prefixes of addresses that a run may use as ``source_video_url``, such as
        ``s3://media_s3@media/in`` (:mod:`klap_provider.rules.allowlist`). Values in the Dag file are always allowed.
        Default: ``[klap] allowed_sources`` of Airflow's configuration.
    :param allowed_destinations: the same for ``destination``.
    :param strict_conf: refuse a run if its ``conf`` has a name that is not a parameter of the Dag, because a misspelt
        ``limit`` can cost money. Default false.
    :param wait_for_completion: wait until the task at Klap is ready, as
        :class:`~klap_provider.sensors.TaskStatusSensor` does. The errors are then also those of the sensor. Default
        false.
    :param deferrable: with ``wait_for_completion``: wait in the triggerer instead of on a worker. Default:
        ``[operators] default_deferrable`` of Airflow's configuration.
    :param timeout: with ``wait_for_completion``: time from the submission until the wait gives up, in seconds or as a
        timedelta. Default two hours.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``.
    :param allowed_connections: ids of the connections that a run may use as ``klap_conn_id``. A value in the Dag file
        is always allowed. Default: ``[klap] allowed_connections`` of Airflow's configuration, or else none.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection.
    :return: ``{"klap_task_id": str, "submitted_at": str, "paid": int, "destination": str | None,
        "video": str, "name": str | None, "dimensions": dict | None}``. ``submitted_at`` is in ISO 8601. ``video`` is
        the address without secrets. ``paid`` is the number of submissions of this run's task that Klap has accepted so
        far; 0 with ``klap_task_id``, or if a submission was reused. With ``wait_for_completion``, the result also has
        the fields ``output_type``, ``output_id`` and ``listed_ids`` of the sensor.
    :raises KlapInputError: a parameter is wrong; nothing was sent. The constructor raises ``ValueError`` if it can
        check the value already.
    :raises KlapStorageError: the video cannot be read, or the destination cannot be written; nothing was sent.
    :raises KlapSubmitUncertainError: the request is in doubt, and the user has to decide.
    :raises KlapSubmitPendingError: the request is in doubt, and it is too early to decide; the task is retried.
    :raises KlapChangedError: after a clear, the settings differ from those that were paid for.
    :raises KlapNotFoundError: Klap has no task ``klap_task_id``.
    """

    template_fields: Sequence[str] = (
        "source_video_url",
        "language",
        "translate_to",
        "transcription_context",
        "name",
        "dimensions",
        "style_preset_id",
        "editing_options",
        "aspect_ratio",
        "klap_task_id",
        "reuse",
        "destination",
        "budget",
        "klap_conn_id",
        "on_behalf_of",
    )

    template_fields_renderers: ClassVar[dict[str, str]] = {"dimensions": "json", "editing_options": "json"}

    #: Id of the task at Klap, for OpenLineage.
    submitted: str | None = None

    def __init__(
        self,
        *,
        source_video_url: str,
        language: str | None = None,
        translate_to: str | None = None,
        transcription_context: str | None = None,
        name: str | None = None,
        dimensions: dict[str, Any] | None = None,
        aspect_ratio: str | None = None,
        style_preset_id: str | None = None,
        editing_options: dict[str, Any] | None = None,
        klap_task_id: str | None = None,
        reuse: bool = False,
        destination: str | None = None,
        budget: float | None = None,
        allowed_sources: Sequence[str] | None = None,
        allowed_destinations: Sequence[str] | None = None,
        strict_conf: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", "{{ task.video_name }}")  # shown also for a task that is not mapped
        super().__init__(**kwargs)
        self.strict_conf = strict_conf
        self.source_video_url = source_video_url
        self.language = language
        self.translate_to = translate_to
        self.transcription_context = transcription_context
        self.name = name
        self.dimensions = dimensions
        self.aspect_ratio = aspect_ratio
        self.style_preset_id = style_preset_id
        self.editing_options = editing_options
        self.klap_task_id = klap_task_id
        self.reuse = reuse
        self.destination = destination
        self.has_destination = destination is not None  # even if it is rendered empty: then the default applies
        self.budget = budget
        self.allowed_sources = allowed_sources
        self.allowed_destinations = allowed_destinations
        self.note_static("source_video_url", "destination")

    @property
    def video_name(self) -> str:
        """Name of the video for the UI."""
        return video_list.label(redaction.shown(self.source_video_url), self.name)

    @property
    @abstractmethod
    def request_type(self) -> type[klap_requests.VideoRequest]:
        """The request model, which validates the parameters."""

    @abstractmethod
    def call(self, request: Any) -> Call[Task]:
        """Return the API call that submits the video."""

    @abstractmethod
    def max_cost(self, request: Any, prices: Prices, *, submissions: int) -> Cost:
        """
        Return the maximum cost of the run.

        :param submissions: how often the run pays for the video.
        """

    def count_accepted(self) -> None:
        """Count the price of the video. The generated shorts are counted when they are listed."""
        metrics.count(metrics.COST, self.client.connection.prices.input_video, item="input_video")

    def _check_early(self) -> None:
        if is_static(self.aspect_ratio) and is_static(self._fields()):
            check_now(self._request)
        if is_static(self.budget):
            check_now(self._budget)
        if is_static(self.reuse):
            check_now(self._reuses)

    def _reuses(self) -> bool:
        return klap_requests.build_request(limits.Spending, {"reuse": self.reuse or None}).reuse

    def _budget(self) -> Decimal | None:
        return klap_requests.build_request(limits.Spending, {"budget": self.budget}).budget

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.request_type.model_fields}

    def _request(self) -> klap_requests.VideoRequest:
        return klap_requests.build_request(self.request_type, {**self._fields(), "dimensions": self._size()})

    def _size(self) -> dict[str, Any] | None:
        return size_of(self.aspect_ratio, self.dimensions) if self.aspect_ratio else self.dimensions

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return for OpenLineage, if its provider is installed, which video was submitted."""
        from klap_provider.telemetry.lineage import submitted

        return submitted(self.source_video_url, klap_task_id=self.submitted)

    @reports_failure
    def execute(self, context: Context) -> Submitted:
        """Submit the video, or reattach to the task that was paid for before."""
        submitted: Submitted = self.submit_and_wait(context)
        return submitted

    def wait(self, submitted: Submitted) -> TaskStatusSensor:
        """Return the sensor for the task at Klap."""
        from klap_provider.sensors.status import TaskStatusSensor

        self.submitted = submitted["klap_task_id"]  # in a process that has not submitted it
        return TaskStatusSensor(
            task_id=self.task_id,
            klap_conn_id=self.klap_conn_id,
            on_behalf_of=self.on_behalf_of,
            klap_task_id=submitted["klap_task_id"],
            submitted_at=submitted["submitted_at"],
            deferrable=self.deferrable,
            **self.expected_list,
            **self.sensor_timeout,
        )

    @property
    def expected_list(self) -> dict[str, Any]:
        """The sensor's parameters that describe the list of shorts."""
        return {}

    def submit(self, context: Context) -> Submitted:
        """Submit the video, or reattach to the task that was paid for before."""
        from klap_provider.operators import before_submission

        if self.strict_conf:
            require_fields(self, context)
        self.checked_conn_id()  # before a test file is written to the destination
        if not self.klap_task_id:
            self._request()  # before the address is repaired, so that errors quote what the user typed
        if isinstance(self.source_video_url, str):
            self.source_video_url = addresses.repaired(self.source_video_url)
        self.require_allowed("source_video_url", self.allowed_sources)
        destination = before_submission.checked_destination(self)
        budget = self._budget()
        if self.klap_task_id:
            self.submitted = self.klap_task_id
            self.log.info("Nothing paid: continuing with the task %s from klap_task_id", self.klap_task_id)
            now = datetime.now(timezone.utc)
            since = min(self.client.call(calls.get_task(self.klap_task_id)).created_at or now, now)
            return self._existing_task(self.klap_task_id, since.isoformat(), destination)
        request = self._request()
        job = VideoJob(self, request, budget=budget, reuse=self._reuses())
        paid_request = job.paid_request(context)
        submission = self.submit_once(context, paid_request, job)
        self.submitted = submission.job_id
        is_reserved = job.limits is not None and submission.paid > 0
        # The UI shows the request that was paid for, even if the settings have changed since.
        inputs = submission.attempt.inputs
        size = inputs.get("dimensions")
        return {
            "klap_task_id": submission.job_id,
            "submitted_at": submission.attempt.submitted_at,
            "paid": submission.paid,
            "destination": destination,
            "video": submission.attempt.video,
            "name": inputs.get("name"),
            "dimensions": klap_requests.Dimensions.model_validate(size).model_dump() if size else None,
            "reservation": reservation_of(paid_request.log, submission.paid - 1) if is_reserved else None,
        }

    def _existing_task(self, klap_task_id: str, submitted_at: str, destination: str | None) -> Submitted:
        """Return the XCom for ``klap_task_id``. It has the settings of this run: those of the task are not known."""
        dimensions = None
        with suppress(KlapInputError):  # with klap_task_id, the settings are not used and can be invalid
            size = self._size()
            if isinstance(size, dict) and any(size.values()):
                dimensions = klap_requests.build_request(klap_requests.Dimensions, size).model_dump()
        return {
            "klap_task_id": klap_task_id,
            "submitted_at": submitted_at,
            "paid": 0,
            "destination": destination,
            "video": redaction.shown(str(self.source_video_url or "")),
            "name": self.name or None,
            "dimensions": dimensions,
        }
