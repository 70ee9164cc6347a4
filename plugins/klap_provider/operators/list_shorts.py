"""ListShortsOperator: list the generated shorts, and select those to export."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf

from klap_provider import triggers
from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapError, KlapInputError, KlapNoShortsError
from klap_provider.links.klap import OpenInKlapLink
from klap_provider.operators.arguments import check_now, is_static, rendered_ids, rendered_number
from klap_provider.operators.failures import reports_failure
from klap_provider.operators.ledger import run_of
from klap_provider.operators.selection import KlapSelectingOperator
from klap_provider.rules import limits, list_complete, polling
from klap_provider.rules.selection import rank
from klap_provider.rules.short_facts import list_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from klap_provider.api.responses import Project
    from klap_provider.rules.polling import PollState
    from klap_provider.selection_xcoms import Short


class ListShortsOperator(KlapSelectingOperator):
    """
    List the generated shorts of a task, and select the best: ``GET /projects/{folder_id}``.

    Just after a task is ready, Klap's list of shorts can be empty or incomplete. The list is used at once if it has all
    shorts of ``listed_ids``, or ``max_clip_count`` shorts, or all of ``project_ids``, or all shorts that this run
    selected before. Otherwise the list is polled until it has not changed for a minute, or for two poll intervals of
    the connection if that is less. After video-to-video, the list has one project.

    A run keeps its selection and its order. New, missing or rescored shorts change nothing after a clear. To select
    again, delete the row ``selection.…`` of the ledger, or start a new run.

    :param folder_id: ``output_id`` of a video-to-shorts task. Templated.
    :param project_id: ``output_id`` of a video-to-video task, instead of ``folder_id``. Templated.
    :param min_virality_score: minimum score, 0–100. Default: no minimum. Templated.
    :param without_score: what to do with shorts without a score if ``min_virality_score`` is set: ``leave_out`` or
        ``export``, after those with a score. Default ``leave_out``. Templated.
    :param limit: maximum number of shorts to return. Default: all. Templated.
    :param project_ids: ids of the shorts to return, regardless of ``limit`` and ``min_virality_score``. Default: not
        set. Templated.
    :param max_clip_count: maximum number of shorts that the request allowed. Default: not known. Templated.
    :param listed_ids: ids of the shorts that ``TaskStatusSensor`` listed, as a list or as JSON: ``"{{
        ti.xcom_pull('wait').get('listed_ids') | tojson }}"``. Default: not known. Templated.
    :param source_video_url: address of the source video, for the ledger. Templated.
    :param budget: US dollars that the run may cost. Exports that would exceed it are skipped, lowest score first.
        Default: no limit. Templated.
    :param submissions: number of times that the run paid for the video: ``paid`` of the submitting task. Default 1.
        Templated.
    :param reservation: what the submission has reserved of the monthly limits: ``reservation`` of the submitting task.
        Default: nothing. Templated.
    :param allow_empty: return an empty list instead of failing if Klap generated no shorts. Default false. Templated.
    :param list_timeout: seconds after which the list is used as it is. Default 300.
    :param deferrable: wait for the list in the triggerer instead of on a worker. Default: ``[operators]
        default_deferrable`` of Airflow's configuration.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``. Templated.
    :param allowed_connections: ids of the connections that a run may use as ``klap_conn_id``. A value in the Dag file
        is always allowed. Default: ``[klap] allowed_connections`` of Airflow's configuration, or else none.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection. Templated.
    :return: a list to map over, which can be empty: ``{"project_id": str, "folder_id": str | None, "short_name": str,
        "virality_score": int | None, "explanation": str | None, "preview_url": str, "duration": float | None}``, with
        the score from 0 to 100 and the duration in seconds. The XCom ``klap_shorts`` has every generated short, with
        the ``reason`` if it was not selected. The XCom ``klap_offer`` has the price of an export and what was paid
        before. ``klap_facts`` has the texts of the selected shorts. To map another operator over the list, select the
        fields that are its parameters: ``expand_kwargs(shorts.output.map(lambda short: {"project_id":
        short["project_id"], "folder_id": short["folder_id"]}))``.
    :raises KlapInputError: a short of ``project_ids`` does not exist.
    :raises KlapNoShortsError: Klap generated no shorts. It is not an error if all shorts are below the minimum score.
    """

    template_fields: Sequence[str] = (
        "folder_id",
        "project_id",
        "min_virality_score",
        "without_score",
        "limit",
        "project_ids",
        "max_clip_count",
        "listed_ids",
        "source_video_url",
        "budget",
        "submissions",
        "reservation",
        "allow_empty",
        "klap_conn_id",
        "on_behalf_of",
    )
    operator_extra_links = (OpenInKlapLink(),)

    def __init__(
        self,
        *,
        folder_id: str | None = None,
        project_id: str | None = None,
        min_virality_score: float | None = None,
        without_score: str | None = None,
        limit: int | None = None,
        project_ids: list[str] | None = None,
        max_clip_count: int | str | None = None,
        listed_ids: list[str] | str | None = None,
        source_video_url: str | None = None,
        budget: float | None = None,
        submissions: int | str = 1,
        reservation: str | None = None,
        allow_empty: bool = False,
        list_timeout: float = 300,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (folder_id is None) is (project_id is None):
            raise ValueError("give one of folder_id (video-to-shorts) and project_id (video-to-video)")
        self.folder_id = folder_id
        self.project_id = project_id
        self.min_virality_score = min_virality_score
        self.without_score = without_score
        self.limit = limit
        self.project_ids = project_ids
        self.max_clip_count = max_clip_count
        self.listed_ids = listed_ids
        self.source_video_url = source_video_url
        self.budget = budget
        self.submissions = submissions
        self.reservation = reservation
        self.allow_empty = allow_empty
        self.list_timeout = list_timeout
        self.deferrable = deferrable
        if is_static(min_virality_score) and is_static(without_score) and is_static(limit):
            check_now(self._selection)
        if is_static(budget) and is_static(submissions):
            check_now(self._spending)

    def _selection(self) -> limits.Selection:
        fields = {name: getattr(self, name) for name in limits.Selection.model_fields}
        return klap_requests.build_request(limits.Selection, {**fields, "project_ids": self.project_ids or None})

    @reports_failure
    def execute(self, context: Context) -> list[Short]:
        """List and select the shorts, or wait until the list is complete."""
        return self._list(context, self._state(time.time()))

    def list_again(self, context: Context, event: dict[str, Any], started_at: float, **_unknown: Any) -> list[Short]:
        """List again, after the trigger has seen a complete list, or the time is up."""
        state = self._state(started_at)
        known = {name: event[name] for name in ("seen", "seen_since", "handovers") if name in event}
        return self._list(context, replace(state, **known))

    def _state(self, started_at: float) -> PollState:
        return polling.PollState(started_at, started_at + self.list_timeout, list_complete.ShortsTarget.schedule)

    def _list(self, context: Context, state: PollState) -> list[Short]:
        from klap_provider.operators import billing

        selection = self._selection()
        self._spending()
        ranked = rank(self._projects(self._list_target(context), state), selection)
        shorts = [self._listed(short) for short in ranked]
        self.described = [list_facts(short) for short in ranked]
        spent, run = self.spent(shorts), run_of(context)
        # First of all: Klap bills these shorts even if the task fails below, or waits for a review.
        billing.record_generated_shorts(
            self.ledger, spent, target=self._target_id(), video=self.source_video_url, run=run
        )
        if unknown := set(selection.project_ids or ()) - {short["project_id"] for short in shorts}:
            raise KlapInputError(
                f"Nothing was exported. Klap's {self._target()} does not have these shorts: "
                f"{', '.join(sorted(unknown))}. Set project_ids to shorts that it has: "
                f"{', '.join(short['project_id'] for short in shorts) or 'none'}."
            )
        return self.make_selection(context, shorts)

    def _list_target(self, context: Context) -> list_complete.ShortsTarget:
        """Return the list to poll, with the shorts that make it complete."""
        before = self.selected_before(context)
        return replace(
            self._target(),
            most=None if before else rendered_number(self.max_clip_count),
            wanted=before["selected"] if before else self.project_ids or None,
            listed=None if before else rendered_ids(self.listed_ids),
            interval=list_complete.list_interval(self._poll_interval()),
        )

    def _poll_interval(self) -> float | None:
        try:
            return self.client.connection.poke_interval
        except KlapError:  # the poll fails with the same error, if it is not transient
            return None

    def _projects(self, target: list_complete.ShortsTarget, state: PollState) -> list[Project]:
        while True:
            try:
                decision = self.poll(target, state)
            except KlapNoShortsError:
                if self.allow_empty:
                    return []
                raise
            if isinstance(decision, polling.Done):
                return decision.value
            if decision.state.seen != state.seen:
                self.log.info("The list of %s may be incomplete. Polling it again in %.0f s", target, decision.seconds)
            state = decision.state
            if self.deferrable:
                self.defer(
                    trigger=triggers.ShortsListTrigger.waiting(
                        target, decision, klap_conn_id=self.checked_conn_id(), on_behalf_of=self.on_behalf_of
                    ),
                    method_name="list_again",
                    kwargs={"started_at": state.started_at},
                    timeout=timedelta(seconds=self.list_timeout * 2 + 600),
                )
            time.sleep(decision.seconds)
