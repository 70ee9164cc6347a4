"""Check a watched source: list it, compare it with the ledger, and decide. For the triggerer and for workers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapError, KlapSourceError
from klap_provider.rules import ledger, ledger_keys
from klap_provider.rules.source_runs import STARTED, STARTING, Decision, Item, decide, distinct, see
from klap_provider.rules.video_list import URL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from klap_provider.rules.ledger import Store
    from klap_provider.rules.ledger_rows import PauseRow, PollRow, SourceRow, WatchedRow
    from klap_provider.rules.pace import Pace
    from klap_provider.rules.source_runs import Seen, Source

#: Maximum number of items that a source can list. What is recorded about them is one row, which databases limit.
MOST_ITEMS = 2_000

#: Seconds by which an item can appear late: with an earlier date than the first check, although it was not listed then.
LATE = 86400.0

#: Seconds after a pause in which only one item starts at each check. Its run shows whether the cause is gone. If it is
#: not, the other items still wait, and have not had their run.
TRIAL = 3600.0

#: Reason to skip an item that this Airflow delivered.
IS_OURS = "it has the name of a short that this Airflow delivered"


@dataclass(frozen=True)
class Checked:
    """
    What a check found.

    :param items: all items of the source, each once.
    :param recorded: what is recorded about them, by id, as far as it was read.
    :param row: the row of the latest check by a task; None: this is the first.
    :param starts: when runs of the source were started.
    :param parts: since when each part of the source is watched, by a hash of the part.
    """

    items: list[Item]
    recorded: dict[str, str]
    decision: Decision
    row: SourceRow | None
    starts: list[float]
    parts: dict[str, float]

    @property
    def needs_task(self) -> bool:
        """Whether a task has to record or start something."""
        found = self.decision
        return bool(self.row is None or found.start or found.old or found.skip or found.renamed)


@dataclass(frozen=True)
class SourceCheck:
    """
    Checks a source.

    :param name: name of the source in the ledger.
    :param source: lists the items.
    :param pace: how fast they start, and which.
    :param store: the ledger.
    :param scopes: whose pauses apply, see :func:`pause_scopes`.
    """

    name: str
    source: Source
    pace: Pace
    store: Store
    scopes: Sequence[str] = ()

    def run(
        self, now: float, *, wanted: Collection[str] = (), unwanted: Collection[str] = (), in_task: bool = True
    ) -> Checked:
        """
        List the source, and decide. Write only the row of the latest poll.

        :param now: seconds since the epoch.
        :param in_task: whether a task acts on the decision. A trigger leaves the whole first check to a task.
        :param wanted: ids of items that a user starts now.
        :param unwanted: ids of items that a user skips.
        :raises KlapError: the source could not be listed.
        """
        poll = cast("PollRow", self.store.get(ledger_keys.poll_entry(self.name)) or {})
        try:
            items = self._list()
        except KlapError as failure:
            failed: PollRow = {
                **poll,
                "version": ledger.VERSION,
                "at": now,
                "error": str(failure),
                "failures": poll.get("failures", 0) + 1,
            }
            self.store.set(ledger_keys.poll_entry(self.name), failed)
            raise
        row = cast("SourceRow | None", self.store.get(ledger_keys.source_entry(self.name)))
        cached = (row or {}).get("items", {})
        recorded = {each: cached[key] for item in items for each in item.ids if (key := cache_key(each)) in cached}
        seen = see(items, poll.get("seen", {}), recorded, now)
        starts = list((row or {}).get("starts", ()))
        decision = Decision()
        checked_at = now if row is None else max(row.get("at", 0.0), poll.get("listed", 0.0))
        known = (row or {}).get("parts", {})
        parts = {part: cache_key(part) for part in ("", *getattr(self.source, "parts", ()))}
        since = {part: known[key] for part, key in parts.items() if key in known}
        if in_task or row is not None:
            known_parts = None if row is None else {**since, "": -math.inf}
            decision = self._decide(
                items, recorded, starts, now, seen, known_parts, checked_at, wanted=wanted, unwanted=unwanted
            )
        # Until a task has recorded the items of a new part, the time of the last list without that part stays.
        has_new_part = len(since) < len(parts)
        done: PollRow = {"version": ledger.VERSION, "at": now, "error": None, "failures": 0, "seen": seen}
        done["listed"] = poll.get("listed", 0.0) if has_new_part else now
        self.store.set(ledger_keys.poll_entry(self.name), done)
        watched = {**known, **{key: checked_at - LATE for part, key in parts.items() if part not in since}}
        return Checked(items, recorded, decision, row, starts, watched)

    def _list(self) -> list[Item]:
        try:
            items = distinct(map(_public, self.source.list()))
        except KlapError:
            raise
        except Exception as failure:  # any error of a database, a storage library or a source of the user
            cause = without_secrets(f"{type(failure).__name__}: {failure}")[:500]
            # Without the cause, whose text Airflow would log with its secrets.
            raise KlapSourceError(f"The source {self.name} could not be listed: {cause}.") from None
        if len(items) > MOST_ITEMS:
            raise KlapSourceError(
                f"The source {self.name} lists {len(items)} items, and at most {MOST_ITEMS} can be watched. Narrow its "
                "query, its folder or its pages."
            )
        return items

    def _decide(
        self,
        items: list[Item],
        recorded: dict[str, str],
        starts: list[float],
        now: float,
        seen: dict[str, Seen],
        known_parts: Mapping[str, float] | None,
        checked_at: float,
        *,
        wanted: Collection[str],
        unwanted: Collection[str],
    ) -> Decision:
        """
        Decide, and read the rows only of the items that the decision is about, until it is certain.

        Adds to ``recorded`` and ``starts`` what it reads.

        An item that waits may have no row for a long time. Reading it at each check would take seconds.
        """
        certain = {item.id for item in items if recorded.get(item.id, STARTING) != STARTING}
        interrupted: list[float] = []
        paused, is_trial = self._paused(now)
        while True:
            decision = decide(
                items,
                recorded,
                now=now,
                pace=self.pace,
                starts=[*starts, *interrupted],
                seen=seen,
                known_parts=known_parts,
                checked_at=checked_at,
                paused=paused,
                most=1 if is_trial else math.inf,
                wanted=wanted,
                unwanted=unwanted,
            )
            chosen = [*decision.start, *decision.old, *(item for item, _ in decision.skip)]
            doubtful = [item for item in chosen if item.id not in certain]
            if not doubtful:
                return decision
            for item in doubtful:
                certain.add(item.id)
                if found := recorded_item(self.store, self.name, item):
                    recorded[item.id] = found["state"]
                    if "run_id" in found:
                        (starts if found["state"] == STARTED else interrupted).append(found["at"])
                elif item in decision.start and item.id not in wanted and self._is_ours(item):
                    items[items.index(item)] = replace(item, refused=IS_OURS)

    def _paused(self, now: float) -> tuple[str | None, bool]:
        """Return why the source is paused, None if it is not, and whether a pause has ended a short time ago."""
        is_trial = False
        for scope in self.scopes:
            row = cast("PauseRow | None", self.store.get(ledger_keys.pause_entry(scope)))
            until = -math.inf if row is None else row["until"]
            if row is not None and (until is None or now < until):
                return row["reason"], False
            is_trial |= until is not None and now < until + TRIAL
        return None, is_trial

    def _is_ours(self, item: Item) -> bool:
        file = PurePosixPath(unquote(urlsplit(str(item.conf.get(URL, ""))).path)).stem
        return any(name and self._is_delivered(name) for name in (item.title, file))

    def _is_delivered(self, name: str) -> bool:
        return self.store.get(ledger_keys.short_name_entry(name)) is not None


def _public(item: Item) -> Item:
    """
    Return the item with an id that people may see: an address can have a token. Different ids stay different.

    The item keeps the id itself as a further one. Only the hashes of these are stored.
    """
    public = without_secrets(item.id)
    return item if public == item.id else replace(item, id=f"{public} {cache_key(item.id)}", also=(item.id, *item.also))


def recorded_item(store: Store, source: str, item: Item) -> WatchedRow | None:
    """Return the row that says what became of an item; None if it is new."""
    rows = (store.get(ledger_keys.watched_entry(source, each)) for each in item.ids)
    return next((row for row in rows if row is not None), None)


def cache_key(item_id: str) -> str:
    """Return the key of an item in the source's own row."""
    return ledger_keys.watched_entry("", item_id)[-12:]


def pause_scopes(name: str, trigger_dag_id: str, conn_id: str) -> list[str]:
    """Return the scopes whose pauses apply to a source, see :func:`~klap_provider.rules.ledger_keys.pause_entry`."""
    return [f"source {name}", f"connection {conn_id}", f"dag {trigger_dag_id}"]
