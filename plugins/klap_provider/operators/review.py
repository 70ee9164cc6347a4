"""ReviewShortsOperator: list the shorts, and let a reviewer select those to export."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.standard.operators.hitl import HITLOperator

from klap_provider.api import redaction
from klap_provider.api import requests as klap_requests
from klap_provider.errors import KlapInputError
from klap_provider.operators.arguments import check_now, is_static
from klap_provider.operators.list_shorts import ListShortsOperator
from klap_provider.operators.notices import Event, KlapNotifyingOperator
from klap_provider.operators.xcom_pull import pull
from klap_provider.rules import ledger, ledger_keys, request_fingerprint, review_form, video_list
from klap_provider.rules.cost import dollars
from klap_provider.rules.selection import put_first, select_only
from klap_provider.rules.short_facts import ids_of
from klap_provider.xcoms import REVIEW_KEY, SHORTS_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from klap_provider.selection_xcoms import ListedShort, Review, Short

MAX_RESPONSE_TIMEOUT = timedelta(days=366)


class ReviewShortsOperator(ListShortsOperator, KlapNotifyingOperator, HITLOperator):
    """
    List the shorts like :class:`~klap_provider.operators.ListShortsOperator`, and let a reviewer select among them.

    The task waits in the state ``awaiting_input``, without a worker or a triggerer. The reviewer answers in the run's
    *Shorts* tab, which has players, or under *Required Actions* of the task. The shorts that ``limit``,
    ``min_virality_score`` and ``budget`` select are selected in advance. If nobody answers in time, these are used. If
    the reviewer selects more shorts than the budget covers, those with the lowest scores are skipped.

    A cleared task does not ask again if the shorts are the same and at least one was selected. If there are other
    shorts, it asks again, with the earlier selection selected in advance.

    :param video_name: name of the video in the question. Default: its address. Templated.
    :param watermark: the watermark of the exports. Exports with it that were paid for before are shown as free.
        Default: none. Templated.
    :param review: whether to ask. If false, this operator works like ``ListShortsOperator``. Default true. Templated.
    :param response_timeout: how long to wait for the answer, as a timedelta or in seconds. Default one day. Templated.

    :param notifiers: Airflow's notifiers that send a notice when the review waits, in addition to those of the
        connection. See docs/how-to/get-notified.md. Default: none.

    It also has the parameters of ``ListShortsOperator``, and ``assigned_users`` (who may answer) of Airflow's
    ``HITLOperator``.

    :return: the selected shorts, best first, like ``ListShortsOperator``. The XCom ``klap_review`` has the result of
        the review: ``{"selected": [project_id, …], "by": str | None, "answered_at": str, "timed_out": bool}``. In
        ``klap_shorts``, the other shorts have the reason ``not_selected``, or ``beyond_budget`` if the budget does not
        cover them.
    """

    template_fields: Sequence[str] = (
        *ListShortsOperator.template_fields,
        "video_name",
        "watermark",
        "review",
        "response_timeout",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"watermark": "json"}

    def __init__(
        self,
        *,
        video_name: str | None = None,
        watermark: dict[str, Any] | None = None,
        review: bool = True,
        response_timeout: timedelta | float | str = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject="Which shorts should be exported?", options=[review_form.NONE_OF_THEM], multiple=True, **kwargs
        )
        self.video_name = video_name
        self.watermark = watermark
        self.review = review
        self.response_timeout = response_timeout  # type: ignore[assignment]  # HITLOperator's, before it is rendered
        if is_static(response_timeout):
            check_now(self._response_timeout)

    def _response_timeout(self) -> timedelta:
        given: Any = self.response_timeout
        try:
            timeout = given if isinstance(given, timedelta) else timedelta(seconds=float(given))
        except (TypeError, ValueError, OverflowError):
            timeout = None
        if timeout is None or not timedelta(0) <= timeout <= MAX_RESPONSE_TIMEOUT:
            raise KlapInputError(
                f"response_timeout is {given!r}; it takes a timedelta or seconds, up to {MAX_RESPONSE_TIMEOUT.days} "
                "days."
            )
        return timeout

    def make_selection(self, context: Context, shorts: list[ListedShort]) -> list[Short]:
        """Return the selected shorts, or wait for the review."""
        if not (self.review and shorts):
            # With project_ids, the run exports more shorts of an earlier run. The tab shows which have an export.
            return super().make_selection(context, self._with_exports(shorts) if self.project_ids else shorts)
        before = self.selected_before(context)
        if before is None or before["review"] is None:
            self._ask(context, self.within_budget(self._with_exports(shorts)))
        elif set(ids_of(shorts := self.with_undelivered(context, shorts, before))) == set(before["of"]):
            self.log.info("The earlier selection by %s applies", before["review"]["by"] or "default")
            context["ti"].xcom_push(key=REVIEW_KEY, value=before["review"])
            return self.repeat_selection(context, shorts, before)
        else:
            self._ask(context, select_only(self._with_exports(shorts), before["selected"]))
        raise AssertionError("unreachable: _ask defers the task")

    def _with_exports(self, shorts: list[ListedShort]) -> list[ListedShort]:
        """Return the shorts, marked as exported if the ledger has an export with the settings of this run."""
        fingerprint = request_fingerprint.export_fingerprint(klap_requests.export_request(self.watermark))

        def is_exported(short: ListedShort) -> bool:
            attempts = ledger.read_attempts(self.ledger, ledger_keys.export_log(short["project_id"]))
            return any(each.job_id is not None and each.fingerprint == fingerprint for each in attempts)

        return [{**short, "exported": is_exported(short)} for short in shorts]

    def _ask(self, context: Context, shorts: list[ListedShort]) -> None:
        """Defer the task until the reviewer answers. The selected shorts are selected in advance. Does not return."""
        timeout, prices = self._response_timeout(), self.client.connection.prices
        deadline = datetime.now(timezone.utc) + timeout
        self.push_offer(context, shorts, deadline)
        video = self.video_name
        if self.source_video_url:
            video = video_list.label(redaction.shown(self.source_video_url), video)
        self.subject = f"Which shorts of {video or self._target_id()} should be exported?"
        self.options = review_form.options(shorts)
        self.defaults = review_form.defaults(shorts)
        self.body = review_form.body(
            shorts, price=f"{dollars(prices.export)} ({prices})", deadline=deadline, covered=self.covered(shorts)
        )
        self.response_timeout = timeout
        selected = sum(short["reason"] is None for short in shorts)
        self.notify(
            context,
            Event.REVIEW_WAITING,
            f"Klap: {self.subject}",
            f"{len(shorts)} shorts, {selected} selected in advance, {dollars(prices.export)} per export. Answer until "
            f"{deadline:%Y-%m-%d %H:%M} UTC; then the shorts that are selected in advance are exported.",
        )
        self.notifiers = []  # HITLOperator would run them at each try
        HITLOperator.execute(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any], **_unknown: Any) -> list[Short]:
        """Continue with the result of the review."""
        shorts: list[ListedShort] = pull(context, self.task_id, key=SHORTS_KEY)
        self.options = review_form.options(shorts)
        response = HITLOperator.execute_complete(self, context, event)
        user = response["responded_by_user"]
        review: Review = {
            "selected": review_form.selected_ids(shorts, response["chosen_options"]),
            "by": user and (user["name"] or user["id"]),
            "answered_at": response["responded_at"].isoformat(),
            "timed_out": bool(event.get("timedout")),
        }
        self.log.info(
            "Selected %s: %s", "by default" if review["timed_out"] else f"by {review['by']}", review["selected"]
        )
        context["ti"].xcom_push(key=REVIEW_KEY, value=review)
        before = self.selected_before(context)
        first = [] if before is None else [each for each in before["selected"] if each in review["selected"]]
        shorts = self.within_budget(put_first(select_only(shorts, review["selected"]), first))
        return self.record_selection(context, shorts, review)
