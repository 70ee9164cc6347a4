"""ListShortsOperator: list the generated shorts, and select those to export."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import conf

from klap_provider import triggers
from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapError, KlapInputError, KlapLimitError, KlapNoShortsError
from klap_provider.links.klap import OpenInKlapLink
from klap_provider.operators.arguments import check_now, is_static, rendered_ids, rendered_number
from klap_provider.operators.failures import reports_failure
from klap_provider.operators.ledger import KlapLedgerOperator, run_of
from klap_provider.operators.monthly_limit import KlapLimitedOperator, reserve_exports
from klap_provider.rules import ledger, ledger_keys, limits, list_complete, polling
from klap_provider.rules.cost import Cost, affordable, dollars
from klap_provider.rules.selection import (
    Ranked,
    Unselected,
    rank,
    reasons,
    restore_selection,
    within_budget,
    within_map_length,
)
from klap_provider.rules.short_facts import ids_of, is_complete, list_facts, to_listed_short, to_short
from klap_provider.xcoms import (
    FACTS_KEY,
    OFFER_KEY,
    SHORTS_KEY,
    ListedShort,
    Offer,
    Review,
    Short,
    ShortFacts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from klap_provider.api.responses import Project
    from klap_provider.rules.ledger_rows import Selected
    from klap_provider.rules.polling import PollState


class ListShortsOperator(KlapLedgerOperator, KlapLimitedOperator):
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

    #: The texts of the listed shorts, for the JSON files.
    described: Sequence[ShortFacts] = ()

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

    def _spending(self) -> limits.Spending:
        return klap_requests.build_request(limits.Spending, {"budget": self.budget, "submissions": self.submissions})

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

    def _listed(self, short: Ranked) -> ListedShort:
        connection = self.client.connection
        return to_listed_short(short, self.folder_id, player_url=connection.player_url, embed_url=connection.embed_url)

    def make_selection(self, context: Context, shorts: list[ListedShort]) -> list[Short]:
        """Select shorts, or repeat the earlier selection of this run, and return the selected shorts."""
        before = self.selected_before(context)
        if before is None:
            return self.record_selection(context, self.within_budget(shorts))
        return self.repeat_selection(context, self.with_undelivered(context, shorts, before), before)

    def with_undelivered(self, context: Context, shorts: list[ListedShort], before: Selected) -> list[ListedShort]:
        """Return the shorts, and those that Klap no longer lists although the run has paid exports to deliver."""
        from klap_provider.api.responses import Project

        gone = [each for each in before["selected"] if each not in ids_of(shorts)]
        if gone:
            self.log.warning("Klap no longer lists these selected shorts: %s", ", ".join(gone))
        undelivered = [each for each in gone if self._is_undelivered(context, each)]
        return [*shorts, *(self._listed(Ranked(Project(id=each), None, None)) for each in undelivered)]

    def _is_undelivered(self, context: Context, project_id: str) -> bool:
        """Return whether an export of a short may have been paid for that this run has not delivered."""
        ti = context["ti"]
        if self.ledger.get(ledger_keys.delivered_entry(ti.dag_id, ti.run_id, project_id)) is not None:
            return False
        attempts = ledger.read_attempts(self.ledger, ledger_keys.export_log(project_id))
        return any(not each.is_void for each in attempts)

    def selected_before(self, context: Context) -> Selected | None:
        """Return the earlier selection of this task of this run; None without one for these shorts."""
        before = cast("Selected | None", self.ledger.get(self._entry(context)))
        return before if before is not None and before["target"] == self._target_id() else None

    def _entry(self, context: Context) -> str:
        ti = context["ti"]
        return ledger_keys.selection_entry(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)

    def repeat_selection(self, context: Context, shorts: list[ListedShort], before: Selected) -> list[Short]:
        """Return the shorts that were selected before."""
        if new := set(ids_of(shorts)) - set(before["of"]):
            self.log.info("The earlier selection applies; new shorts are not selected: %s", ", ".join(sorted(new)))
        shorts = restore_selection(shorts, [*before["selected"], *before.get("waiting", ())])
        if before.get("waiting"):
            return self.record_selection(context, shorts, before["review"], before)
        return self.push_results(context, shorts)

    def record_selection(
        self,
        context: Context,
        shorts: list[ListedShort],
        review: Review | None = None,
        before: Selected | None = None,
    ) -> list[Short]:
        """
        Reserve the exports, write the selection to the ledger, and return the selected shorts.

        :param before: the earlier selection of this run that the shorts are from. Default: none.
        :raises KlapLimitError: a monthly limit covers none of the selected shorts.
        """
        shorts, refusal = self._within_month(context, shorts, before["selected"] if before else ())
        selected: Selected = {
            "selected": [short["project_id"] for short in shorts if short["reason"] is None],
            "of": before["of"] if before else ids_of(shorts),
            "target": self._target_id(),
            "review": review,
        }
        if refusal:
            is_waiting = Unselected.BEYOND_MONTH.value
            selected["waiting"] = [short["project_id"] for short in shorts if short["reason"] == is_waiting]
        if selected["selected"] or refusal:
            self.ledger.set(self._entry(context), selected)
        else:
            self.ledger.delete(self._entry(context))
        result = self.push_results(context, shorts)
        if refusal and not result:
            raise refusal
        return result

    def _within_month(
        self, context: Context, shorts: list[ListedShort], kept: Sequence[str]
    ) -> tuple[list[ListedShort], KlapLimitError | None]:
        """Deselect the worst shorts if a monthly limit does not cover all exports."""
        limits = self.monthly_limits(context, self.client.connection)
        if limits is None:
            return shorts, None
        return reserve_exports(
            limits,
            shorts,
            target=self._target_id(),
            price=self.client.connection.prices.export,
            kept=kept,
            instead_of=self.reservation or None,
            spent=self.spent(shorts)._replace(input_videos=1).total,
        )

    def push_results(self, context: Context, shorts: list[ListedShort]) -> list[Short]:
        """Push the XComs, count the selected shorts in the metrics, and return them."""
        from klap_provider.telemetry import metrics

        shorts = self._within_map_length(shorts)
        self._warn_of_unscored(shorts)
        self.push_offer(context, shorts)
        selected = [to_short(short) for short in shorts if short["reason"] is None]
        facts = [short for short in self.described if is_complete(short) and short["project_id"] in ids_of(selected)]
        context["ti"].xcom_push(key=FACTS_KEY, value=facts)
        self.log.info("Selected %d of %d shorts in Klap's %s", len(selected), len(shorts), self._target())
        metrics.count(metrics.SELECTED, len(selected))
        return selected

    def _within_map_length(self, shorts: list[ListedShort]) -> list[ListedShort]:
        """Deselect the worst shorts if more are selected than Airflow maps a task over."""
        from klap_provider.operators.before_submission import max_map_length

        allowed, selected = max_map_length(), sum(short["reason"] is None for short in shorts)
        if selected > allowed:
            self.log.warning(
                "Only the best %d of %d selected shorts are returned, because this Airflow maps a task over no more "
                "([core] max_map_length)",
                allowed,
                selected,
            )
        return within_map_length(shorts, allowed)

    def _warn_of_unscored(self, shorts: list[ListedShort]) -> None:
        if left_out := reasons(shorts).get(Unselected.NO_SCORE.value):
            self.log.warning(
                "Klap gave %d of %d shorts no virality score, and min_virality_score (%s) leaves these out. To export "
                "them, start a run with this Klap task and without_score set to 'export', or without "
                "min_virality_score",
                left_out,
                len(shorts),
                self.min_virality_score,
            )

    def push_offer(self, context: Context, shorts: list[ListedShort], deadline: datetime | None = None) -> None:
        """
        Push the XComs with all shorts and with the price of exports.

        :param deadline: deadline of the review. Default: there is no review.
        """
        prices = self.client.connection.prices
        offer: Offer = {
            "price": float(prices.export),
            "estimated": prices.estimated,
            "spent": float(self.spent(shorts).total),
            "covered": self.covered(shorts),
            "deadline": None if deadline is None else deadline.isoformat(timespec="seconds"),
        }
        context["ti"].xcom_push(key=SHORTS_KEY, value=shorts)
        context["ti"].xcom_push(key=OFFER_KEY, value=offer)

    def spent(self, shorts: Sequence[ListedShort]) -> Cost:
        """Return the cost of the run before any export."""
        submissions = self._spending().submissions
        # Without a submission of this run, another run paid for the generated shorts.
        generated = len(shorts) if submissions and self.folder_id else 0
        return Cost(self.client.connection.prices, submissions, generated)

    def covered(self, shorts: Sequence[ListedShort]) -> int | None:
        """Return how many exports the budget covers; None without a budget."""
        budget = self._spending().budget
        if budget is None:
            return None
        return affordable(budget, self.spent(shorts), self.client.connection.prices.export)

    def within_budget(self, shorts: list[ListedShort]) -> list[ListedShort]:
        """Deselect the worst shorts if the budget does not cover all exports."""
        budget, covered = self._spending().budget, self.covered(shorts)
        selected = sum(short["reason"] is None and not short["exported"] for short in shorts)
        if budget is None or covered is None or selected <= covered:
            return shorts
        self.log.warning(
            "The budget of %s covers the best %d of %d exports. Spent before the exports: %s",
            dollars(budget),
            covered,
            selected,
            self.spent(shorts),
        )
        return within_budget(shorts, covered)

    def _target(self) -> list_complete.ShortsTarget:
        return list_complete.ShortsTarget(self.folder_id, self.project_id)

    def _target_id(self) -> str:
        return str(self.folder_id or self.project_id)

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
