"""KlapSelectingOperator: the base of the operators that select the shorts to export, and record the selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from klap_provider.api import requests as klap_requests
from klap_provider.operators.ledger import KlapLedgerOperator
from klap_provider.operators.monthly_limit import KlapLimitedOperator, log_used
from klap_provider.rules import ledger, ledger_keys, limits, list_complete
from klap_provider.rules.cost import Cost, affordable, dollars
from klap_provider.rules.selection import (
    Ranked,
    Unselected,
    reasons,
    restore_selection,
    within_budget,
    within_map_length,
)
from klap_provider.rules.short_facts import ids_of, is_complete, to_listed_short, to_short
from klap_provider.xcoms import FACTS_KEY, OFFER_KEY, SHORTS_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from klap_provider.errors import KlapLimitError
    from klap_provider.rules.ledger_rows import Selected
    from klap_provider.selection_xcoms import ListedShort, Offer, Review, Short, ShortFacts


class KlapSelectingOperator(KlapLedgerOperator, KlapLimitedOperator):
    """
    Base of the operators that select the shorts to export.

    The operator lists and ranks the shorts, and calls :meth:`make_selection`. The budget, the monthly limits and the
    maximum length of a mapped task limit the selection. The ledger records it, so that a retry or a clear repeats it.
    """

    # Parameters of the operators.
    min_virality_score: float | None
    budget: float | None
    submissions: int | str
    reservation: str | None

    #: The texts of the listed shorts, for the JSON files.
    described: Sequence[ShortFacts] = ()

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
        shorts, refusal = self._within_month(context, shorts, before)
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
        self, context: Context, shorts: list[ListedShort], before: Selected | None
    ) -> tuple[list[ListedShort], KlapLimitError | None]:
        """
        Reserve the exports of the selected shorts, best first, and deselect those that a monthly limit does not cover.

        :param before: the earlier selection of this run. Its exports reserve their price when they are requested, if
            they are.
        :return: the shorts, and the error if some were deselected.
        """
        monthly = self.monthly_limits(context, self.client.connection)
        if monthly is None:
            return shorts, None
        price = self.client.connection.prices.export
        kept = before["selected"] if before else ()
        is_new = [each for each in shorts if each["reason"] is None and not each["exported"]]
        wanted = [each["project_id"] for each in is_new if each["project_id"] not in kept]
        spent = self.spent(shorts)._replace(input_videos=1).total
        reserved = monthly.reserve(self._target_id(), price, wanted, instead_of=self.reservation or None, spent=spent)
        log_used(reserved.used)
        refused = {each for each in wanted if each not in reserved.items}
        if not refused:
            if before:  # which the limit did not cover: it was raised, or this is another month
                monthly.resume()
            return shorts, None
        self.log.warning("%s covers the best %d of %d exports", reserved.refused_by, len(reserved.items), len(wanted))
        error = monthly.error(reserved, f"the exports of {len(refused)} shorts", len(refused) * price)
        beyond = Unselected.BEYOND_MONTH.value
        return [{**each, "reason": beyond} if each["project_id"] in refused else each for each in shorts], error

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

    def _spending(self) -> limits.Spending:
        return klap_requests.build_request(limits.Spending, {"budget": self.budget, "submissions": self.submissions})

    def _target(self) -> list_complete.ShortsTarget:
        return list_complete.ShortsTarget(self.folder_id, self.project_id)

    def _target_id(self) -> str:
        return str(self.folder_id or self.project_id)

    def _listed(self, short: Ranked) -> ListedShort:
        connection = self.client.connection
        return to_listed_short(short, self.folder_id, player_url=connection.player_url, embed_url=connection.embed_url)
