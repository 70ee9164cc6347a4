"""ReviewShortsOperator: a person picks the shorts that are worth paying for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.standard.operators.hitl import HITLOperator

from klap_provider.errors import KlapInputError
from klap_provider.operators.base import check_now, is_static, reports_failure
from klap_provider.operators.list_shorts import ListShortsOperator
from klap_provider.rules import ballot
from klap_provider.rules.selection import only
from klap_provider.xcoms import PICKED_KEY, REVIEW_KEY, SHORTS_KEY, ListedShort, Picked, Review, Short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from pydantic import JsonValue


class ReviewShortsOperator(ListShortsOperator, HITLOperator):
    """
    List the shorts as :class:`~klap_provider.operators.ListShortsOperator` does, and let a person pick among them.

    The task waits in the state ``awaiting_input``, without a worker or a triggerer. Its page in Airflow's UI
    (*Required Actions*) shows every short with score, explanation and preview; those that ``limit``,
    ``min_virality_score`` and ``budget`` select are picked already. Without an answer in time it goes on with these. If
    more are picked than the budget does for, the best of them are returned.

    A cleared task does not ask again about the same shorts, so that it goes on with the same exports, unless nothing
    was picked.

    :param review: whether to ask. Off, this is a ``ListShortsOperator``. Default true. Templated.
    :param response_timeout: how long to wait for the answer: a timedelta, or seconds. Default one day. Templated.

    The other parameters are those of ``ListShortsOperator``, and some of ``HITLOperator``: ``assigned_users`` says who
    may answer, ``notifiers`` who is told.

    :return: as ``ListShortsOperator``: what was picked, best first. The XCom ``klap_review`` says
        ``{"picked": [project_id, …], "by": str | None, "answered_at": str, "timed_out": bool}``, and in
        ``klap_shorts`` the others have the reason ``not_picked``, or ``beyond_budget`` if they were picked in vain.
    """

    template_fields: Sequence[str] = (*ListShortsOperator.template_fields, "review", "response_timeout")

    def __init__(
        self,
        *,
        review: bool = True,
        response_timeout: timedelta | float | str = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject="Which shorts shall be exported?", options=[ballot.NONE_OF_THEM], multiple=True, **kwargs
        )
        self.review = review
        self.response_timeout = response_timeout  # type: ignore[assignment]  # HITLOperator's, before it is rendered
        if is_static(response_timeout):
            check_now(self._patience)

    def _patience(self) -> timedelta:
        given: Any = self.response_timeout
        if isinstance(given, timedelta):
            return given
        try:
            return timedelta(seconds=float(given))
        except (TypeError, ValueError, OverflowError):
            raise KlapInputError(f"response_timeout is {given!r}; it takes a timedelta or seconds.") from None

    def choose(self, context: Context, shorts: list[ListedShort]) -> list[Short]:
        """Return the selected shorts, or wait for a person to pick."""
        if not (self.review and shorts):
            return super().choose(context, shorts)
        answer = cast("Picked | None", context["task_state_store"].get(PICKED_KEY))
        if answer is not None and answer["of"] == _ids(shorts):
            self.log.info("Picked before, by %s", answer["by"])
            return self._go_on(context, shorts, answer)
        self._ask(context, self.afford(shorts))
        raise AssertionError("unreachable: the task is parked")

    def _ask(self, context: Context, shorts: list[ListedShort]) -> None:
        """Park the task, with what would be selected as the proposal. Does not return."""
        context["ti"].xcom_push(key=SHORTS_KEY, value=shorts)
        self.options = ballot.options(shorts)
        self.defaults = ballot.defaults(shorts)
        self.body = ballot.body(shorts, self.room(shorts))
        self.response_timeout = self._patience()
        HITLOperator.execute(self, context)

    @reports_failure
    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[Short]:
        """Go on with what was picked."""
        shorts: list[ListedShort] = context["ti"].xcom_pull(task_ids=self.task_id, key=SHORTS_KEY)
        self.options = ballot.options(shorts)
        said = HITLOperator.execute_complete(self, context, event)
        user = said["responded_by_user"]
        answer: Picked = {
            "picked": ballot.picked(shorts, said["chosen_options"]),
            "by": user and (user["name"] or user["id"]),
            "answered_at": said["responded_at"].isoformat(),
            "timed_out": bool(event.get("timedout")),
            "of": _ids(shorts),
        }
        if answer["picked"]:
            context["task_state_store"].set(PICKED_KEY, cast("JsonValue", answer))
        self.log.info("Picked %s: %s", "by default" if answer["timed_out"] else f"by {answer['by']}", answer["picked"])
        return self._go_on(context, shorts, answer)

    def _go_on(self, context: Context, shorts: list[ListedShort], answer: Picked) -> list[Short]:
        review: Review = {
            "picked": answer["picked"],
            "by": answer["by"],
            "answered_at": answer["answered_at"],
            "timed_out": answer["timed_out"],
        }
        context["ti"].xcom_push(key=REVIEW_KEY, value=review)
        return self.conclude(context, self.afford(only(shorts, answer["picked"])))


def _ids(shorts: list[ListedShort]) -> list[str]:
    return [short["project_id"] for short in shorts]
