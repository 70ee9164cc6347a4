"""StartSourceRunsOperator: start one run for each new item of a source."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from klap_provider.airflow_internals.tasks import is_refusal, run_state, start_run
from klap_provider.api.redaction import without_secrets, writable
from klap_provider.errors import KlapSourceError
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.operators.failures import cause_of, reports_failure
from klap_provider.operators.ledger import KlapLedgerOperator
from klap_provider.operators.notices import Event, KlapNotifyingOperator
from klap_provider.operators.xcom_pull import pull
from klap_provider.rules import ledger, ledger_keys
from klap_provider.rules.pace import Pace
from klap_provider.rules.source_runs import OLD, SKIPPED, STARTED, STARTING
from klap_provider.sources.check import SourceCheck, cache_key, pause_scopes, recorded_item
from klap_provider.xcoms import COST_KEY, ERROR_KEY, OUTCOME_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from klap_provider.rules.ledger_rows import OpenRun, SourceItem, SourceRow, WatchedRow
    from klap_provider.rules.source_runs import Item, Source
    from klap_provider.sources.check import Checked

#: Maximum number of items of each kind that the row for the Klap page has.
SHOWN = 25

#: Seconds for which starts count for the pace: two days, because days have up to 25 hours and differ by time zone.
STARTS_COUNT = 48 * 3600.0

#: Seconds for which the source is told of a run that has failed, because it can be cleared, also in the next month.
FAILED_RUNS_COUNT = 40 * 86400.0

#: Maximum length of a title in rows and notes.
LONGEST_TITLE = 150


class StartSourceRunsOperator(KlapLedgerOperator, KlapNotifyingOperator):
    """
    Check a source once, and start one run for each new item, as far as ``pace`` allows.

    The ledger records the state of each item, before and after its run starts. The run id depends only on the source's
    name and the item's id. An item therefore gets one run, whatever is retried, cleared, renamed or deleted.

    :param name: name of the source in the ledger. With another name, the source starts from the beginning.
    :param source: object that lists the items, see :mod:`klap_provider.sources`.
    :param trigger_dag_id: id of the Dag to run.
    :param settings: form parameters of all runs. The parameters of an item take precedence.
    :param pace: how many items start, when, and which. Default: all new items at once, none of the first check.
    :param start: ids of items to start now, regardless of the pace. Templated.
    :param skip: ids of items that must never start. Templated.
    :raises KlapSourceError: the source could not be listed, or Airflow refused a run.
    """

    template_fields: Sequence[str] = ("start", "skip")
    template_fields_renderers: ClassVar[dict[str, str]] = {"start": "json", "skip": "json"}
    notice_tab = ""

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        trigger_dag_id: str,
        settings: Mapping[str, Any] | None = None,
        pace: Pace | None = None,
        start: Sequence[str] | None = None,
        skip: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.source = source
        self.trigger_dag_id = trigger_dag_id
        self.settings = dict(settings or {})
        self.pace = pace or Pace()
        self.start = start
        self.skip = skip

    @reports_failure
    def execute(self, context: Context) -> None:
        """Start what is new, and record what became of each item."""
        now = time.time()
        check = SourceCheck(self.name, self.source, self.pace, self.ledger, self._scopes)
        found = check.run(now, wanted=self.start or (), unwanted=self.skip or ())
        decision = found.decision
        states = dict(found.recorded)
        for item in decision.renamed:
            state = next(states[each] for each in item.ids if each in states)
            self._record(item, recorded_item(self.ledger, self.name, item) or {"state": state, "at": now}, states)
        for item in decision.old:
            self._record(item, {"state": OLD, "at": now}, states)
        for item, reason in decision.skip:
            self._record(item, {"state": SKIPPED, "at": now, "reason": reason}, states)
            self.log.info("Skipped %r: %s", _title(item), reason)
        refused: list[str] = []
        runs = [(item, self._start(item, now, states, refused)) for item in decision.start]
        started = [(item, run_id) for item, run_id in runs if run_id]
        latest = self._row(found, states, started, now)
        errors = self._tell(context, latest) if getattr(self.source, "reports", False) else []
        if (refused or errors) and (found.row or {}).get("told"):
            latest["told"] = True
        self.ledger.set(ledger_keys.source_entry(self.name), latest)
        counts = len(found.items), len(started), len(decision.wait), len(decision.skip)
        self.log.info("Items: %d listed, %d started, %d wait, %d skipped", *counts)
        if missing := {*(self.start or ()), *(self.skip or ())} - {item.id for item in found.items}:
            self.log.warning("The source does not list: %s", ", ".join(missing))
        if refused or errors:
            raise KlapSourceError(
                f"The source {self.name}: {'; '.join([*refused, *errors])}. All other items were handled. Fix the "
                "cause; the next check tries again."
            )

    @property
    def _scopes(self) -> list[str]:
        return pause_scopes(self.name, self.trigger_dag_id, self.settings.get("klap_conn_id") or DEFAULT_CONN_ID)

    def notify_failure(self, context: Context, failure: BaseException) -> None:
        """Tell people that the source failed, once until a check succeeds again."""
        key = ledger_keys.source_entry(self.name)
        row: SourceRow = cast("SourceRow | None", self.ledger.get(key)) or {}
        if self.is_final(context, failure) and not row.get("told"):
            self.notify(context, Event.SOURCE_FAILED, f"Klap: the source {self.name} failed", str(failure))
            if row:  # without a row, the next check is the first one
                self.ledger.set(key, {**row, "told": True})

    def _record(self, item: Item, row: WatchedRow, states: dict[str, str]) -> None:
        """Write what became of an item under each of its ids, under the first one last."""
        full: WatchedRow = {"version": ledger.VERSION, "title": _title(item), **row}
        for each in reversed(item.ids):
            self.ledger.set(ledger_keys.watched_entry(self.name, each), full)
            states[each] = row["state"]

    def _start(self, item: Item, now: float, states: dict[str, str], refused: list[str]) -> str | None:
        """Start the run of an item, unless it exists, and return its id; None if Airflow refused it."""
        is_known = any(each in states for each in item.ids)
        before = recorded_item(self.ledger, self.name, item) if is_known else None
        # A run that may exist keeps its id, even if the id of the item has changed.
        is_repeated = before is not None and before["state"] == STARTING
        run_id = before["run_id"] if before and is_repeated else run_id_of(self.name, item)
        self._record(item, {"state": STARTING, "at": now, "run_id": run_id}, states)
        try:
            is_new = start_run(self.trigger_dag_id, run_id, {**self.settings, **item.conf}, _title(item))
        except Exception as failure:  # Airflow's, or of a conf that is not JSON; the other items still start
            refused.append(f"the run of {_title(item)!r} was not started ({cause_of(failure)})")
            # Unless the run may exist: its item would start later whatever the pace.
            if not is_repeated and is_refusal(failure):
                self._restore(item, before, states)
            return None
        self._record(item, {"state": STARTED, "at": now, "run_id": run_id}, states)
        self.log.info("%s the run %s of %r", "Started" if is_new else "Found", run_id, _title(item))
        return run_id

    def _restore(self, item: Item, row: WatchedRow | None, states: dict[str, str]) -> None:
        if row is not None:
            self._record(item, row, states)
            return
        for each in item.ids:
            self.ledger.delete(ledger_keys.watched_entry(self.name, each))
            del states[each]

    def _row(self, found: Checked, states: Mapping[str, str], started: list[tuple[Item, str]], now: float) -> SourceRow:
        before: SourceRow = found.row or {}
        skipped = [_shown(item, now, reason=reason) for item, reason in found.decision.skip]
        runs = [_shown(item, now, run_id=run_id) for item, run_id in started]
        starts = [*found.starts, *(now for _ in started)]
        follow = self._followed(found, started) if getattr(self.source, "reports", False) else []
        return {
            "version": ledger.VERSION,
            "name": self.name,
            "trigger_dag_id": self.trigger_dag_id,
            "scopes": self._scopes,
            "at": now,
            "parts": found.parts,
            "next_start": found.decision.next_start,
            "items": {cache_key(each): state for each, state in states.items()},
            "starts": [at for at in starts if at > now - STARTS_COUNT],
            "started": [*runs, *before.get("started", ())][:SHOWN],
            "skipped": [*skipped, *before.get("skipped", ())][:SHOWN],
            "waiting": [_shown(item, now, reason=reason) for item, reason in found.decision.wait[:SHOWN]],
            "waits": len(found.decision.wait),
            "open": {
                **before.get("open", {}),
                **{
                    cache_key(item.id): {"run_id": run_id, "origin": item.origin, "told": {}} for item, run_id in follow
                },
            },
        }

    def _followed(self, found: Checked, started: list[tuple[Item, str]]) -> list[tuple[Item, str]]:
        """Return the items that were started, and those whose start an earlier check that was killed has not noted."""
        noted = (found.row or {}).get("items", {})
        started_before = (item for item in found.items if found.recorded.get(item.id) == STARTED)
        missed = [item for item in started_before if cache_key(item.id) not in noted]
        rows = ((item, recorded_item(self.ledger, self.name, item)) for item in missed)
        return [*started, *((item, row["run_id"]) for item, row in rows if row)]

    def _tell(self, context: Context, row: SourceRow) -> list[str]:
        """Tell the source what became of its runs, and return what failed."""
        errors = []
        for key, run in list(row["open"].items()):
            try:
                result = self._result(context, run)
                if result != run["told"]:
                    cast("Any", self.source).tell(run["origin"], result)
            except Exception as failure:  # any error of a database
                errors.append(f"the result of {run['run_id']} was not written ({cause_of(failure)})")
                continue
            run["told"] = result
            failed_for = row["at"] - run.setdefault("failed_at", row["at"]) if result["status"] == "failed" else 0.0
            if result["status"] not in ("queued", "running", "failed") or failed_for > FAILED_RUNS_COUNT:
                del row["open"][key]
        return errors

    def _result(self, context: Context, run: OpenRun) -> dict[str, Any]:
        """Return the values that a source can write, see :class:`~klap_provider.sources.table.TableSource`."""
        of_run = {"dag_id": self.trigger_dag_id, "run_id": run["run_id"], "map_indexes": -1}
        state = run_state(self.trigger_dag_id, run["run_id"]) or "deleted"
        ended = state in ("success", "failed")
        failure, shorts, cost = (
            pull(context, "publish", key=key, **of_run) if ended else None for key in (ERROR_KEY, OUTCOME_KEY, COST_KEY)
        )
        paths = [short["path"] for short in shorts or () if short["path"]]
        return {
            "status": state,
            "run_id": run["run_id"],
            "error": failure["error"] if failure and state == "failed" else None,
            "cost": cost["total"] if cost else None,
            "links": "\n".join(paths) or None,
            "shorts": len(paths) if ended else None,
        }


def run_id_of(source: str, item: Item) -> str:
    """Return the id of the run for an item: the same for ever, and another one for each source and item."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", source).strip("-")[:40]
    digest = ledger_keys.watched_entry("", f"{source}\0{item.id}")[-16:]
    return f"watched__{name}__{digest}"


def _title(item: Item) -> str:
    return writable(without_secrets(item.title or item.id))[:LONGEST_TITLE]


def _shown(item: Item, at: float, *, reason: str = "", run_id: str = "") -> SourceItem:
    return {"id": item.id, "title": _title(item), "at": at, "reason": reason, "run_id": run_id}
