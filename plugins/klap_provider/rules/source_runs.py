"""
Exactly one run for each item of a source, whatever happens. Pure, and free of Klap.

A source lists items. :func:`decide` compares the list with what is recorded about each item, and returns what to start
now. It keeps no position in the source: an event that is lost, doubled or late, and a list in another order, change
nothing. Who acts on a decision does this for each item to start:

1. record :data:`STARTING` under all ids of the item;
2. start the run, with a run id that depends on the first id alone, so that a second start is refused;
3. record :data:`STARTED`.

After a crash in between, the next check finds :data:`STARTING`, and starts the same run again, or finds that it exists.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from klap_provider.rules.pace import Pace

#: What is recorded about an item. Nothing is recorded about a new one.
STARTING, STARTED, SKIPPED, OLD = "starting", "started", "skipped", "old"

#: A fingerprint, and since when it is the same, in seconds since the epoch. A list, as it is stored as JSON.
Seen = list[Any]

#: Seconds for which the fingerprint of an item must stay the same.
STABLE_FOR = 20.0


#: A time near the end of those that Python can write.
_LATEST = 2.5e11


@dataclass(frozen=True, kw_only=True)
class Item:
    """
    An item of a source.

    :param id: id that never changes. Two items with the same id are the same item.
    :param conf: ``conf`` of its run: form parameters, by name.
    :param title: title that the UI shows. Default: the id.
    :param published: when the item was published, in seconds since the epoch. None: not known.
    :param also: further ids of the item. An item is known if any of its ids is known.
    :param fingerprint: text that changes while the item is being written. None: the item is complete.
    :param not_before: earliest start, in seconds since the epoch. None: at once.
    :param waits: reason why the item cannot start yet. None: it can start.
    :param refused: reason why the item never starts. None: it can start.
    :param part: part of the source that lists the item, such as one of several feeds. Default: no part.
    :param twins: ids of other items that are the same; :func:`distinct` sets it.
    :param origin: what the source needs to find the item again, as JSON.
    """

    id: str
    conf: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    published: float | None = None
    also: tuple[str, ...] = ()
    fingerprint: str | None = None
    not_before: float | None = None
    waits: str | None = None
    refused: str | None = None
    part: str = ""
    twins: tuple[str, ...] = ()
    origin: Any = None

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids."""
        return self.id, *self.also, *self.twins


class Source(Protocol):
    """Lists items."""

    def list(self) -> Iterable[Item]:
        """
        Return the items, newest first if they have no dates.

        An item that is missing from the list is not gone: if the list cannot be read, raise.
        """


@dataclass(frozen=True, kw_only=True)
class Decision:
    """
    What to do now.

    :param start: items to start, in this order.
    :param old: items to record as :data:`OLD`.
    :param skip: items to record as :data:`SKIPPED`, each with the reason.
    :param renamed: known items that have another first id, or another twin, to record under that, too.
    :param wait: items that wait, each with the reason.
    :param next_start: when the pace lets the next item start, in seconds since the epoch; None: nothing waits for that.
    """

    start: list[Item] = field(default_factory=list)
    old: list[Item] = field(default_factory=list)
    skip: list[tuple[Item, str]] = field(default_factory=list)
    renamed: list[Item] = field(default_factory=list)
    wait: list[tuple[Item, str]] = field(default_factory=list)
    next_start: float | None = None


def decide(
    items: Iterable[Item],
    recorded: Mapping[str, str],
    *,
    now: float,
    pace: Pace,
    starts: Collection[float] = (),
    seen: Mapping[str, Seen] | None = None,
    known_parts: Mapping[str, float] | None = MappingProxyType({"": -math.inf}),
    checked_at: float = math.inf,
    paused: str | None = None,
    most: float = math.inf,
    wanted: Collection[str] = (),
    unwanted: Collection[str] = (),
) -> Decision:
    """
    Return what to start now, and what waits and why.

    :param items: all items that the source lists now, newest first if they have no dates.
    :param recorded: what is recorded, by id of an item.
    :param now: seconds since the epoch.
    :param starts: when earlier runs of the source started, at least those of the last two days.
    :param seen: fingerprint of each item and since when it is the same, by id.
    :param known_parts: since when each part of the source is watched, in seconds since the epoch; None: this is the
        first check. Items that were published before that are old: many feeds list the newest items only, and if one of
        them is deleted, an earlier one appears. The items of a new part are old, unless they were published after the
        last check: the part may be one that moved.
    :param checked_at: when that was, in seconds since the epoch.
    :param paused: why nothing may start at present; None: the source is not paused.
    :param most: maximum number of items to start now.
    :param wanted: ids that a user starts now, whatever the pace.
    :param unwanted: ids that a user skips.
    """
    decision = Decision()
    ready: list[Item] = []
    for item in distinct(items):
        state = next((recorded[each] for each in item.ids if each in recorded), None)
        is_wanted = item.id in wanted
        # Not further ids: some addresses are another one in each list.
        if state in (STARTED, SKIPPED, OLD) and not recorded.keys() >= {item.id, *item.twins}:
            decision.renamed.append(item)
        if state == STARTED or (state == SKIPPED and not is_wanted):
            continue
        if item.id in unwanted:
            decision.skip.append((item, "a user skipped it"))
        elif state == STARTING or is_wanted:
            decision.start.append(item)
        elif item.refused:
            decision.skip.append((item, item.refused))
        elif _is_old(item, state, pace, is_past=_is_past(item, known_parts, checked_at)):
            decision.old.extend([item] if state is None else [])
        elif reason := _waits(item, now, seen or {}):
            decision.wait.append((item, reason))
        else:
            ready.append(item)
    if paused:
        return _replaced(decision, wait=[*decision.wait, *((item, paused) for item in ready)])
    allowed = int(min(len(ready), pace.allowed(now, starts), most))
    late = ready[allowed:]
    started = [*starts, *(now for _ in ready[:allowed])]
    return _replaced(
        decision,
        start=[*decision.start, *ready[:allowed]],
        wait=[*decision.wait, *((item, "the pace delays it") for item in late)],
        next_start=pace.next_start(now, started) if late else None,
    )


def distinct(items: Iterable[Item]) -> list[Item]:
    """Return the items, newest first, each once: two items that have an id in common are one, and twins."""
    place: dict[str, int] = {}
    kept: list[Item] = []
    for item in items:
        twin = next((place[each] for each in item.ids if each in place), None)
        if twin is None:
            twin = len(kept)
            kept.append(item)
        else:
            new = [each for each in (item.id, *item.twins) if each not in kept[twin].ids]
            kept[twin] = replace(kept[twin], twins=(*kept[twin].twins, *new))
        place.update((each, twin) for each in item.ids)
    return sorted(kept, key=lambda item: -math.inf if item.published is None else item.published, reverse=True)


def see(items: Iterable[Item], seen: Mapping[str, Seen], recorded: Collection[str], now: float) -> dict[str, Seen]:
    """Return the fingerprints to remember for the next check: those of items that nothing is recorded about."""
    result = {}
    for item in items:
        if item.fingerprint is not None and item.id not in recorded:
            before = seen.get(item.id)
            is_same = before is not None and before[0] == item.fingerprint
            result[item.id] = [item.fingerprint, before[1] if before and is_same else now]
    return result


def _is_past(item: Item, known_parts: Mapping[str, float] | None, checked_at: float) -> bool:
    if known_parts is None:
        return True
    if item.published is None:
        return item.part not in known_parts
    return item.published < known_parts.get(item.part, checked_at)


def _is_old(item: Item, state: str | None, pace: Pace, *, is_past: bool) -> bool:
    if pace.since is not None and item.published is not None:
        return item.published < pace.since.timestamp()
    return (is_past or state == OLD) and not pace.back_catalogue


def _waits(item: Item, now: float, seen: Mapping[str, Seen]) -> str | None:
    if item.waits:
        return item.waits
    if item.not_before is not None and now < item.not_before:
        return (
            f"it starts after {datetime.fromtimestamp(min(item.not_before, _LATEST), timezone.utc):%Y-%m-%d %H:%M} UTC"
        )
    if item.fingerprint is not None:
        fingerprint, since = seen.get(item.id, ["", now])
        if fingerprint != item.fingerprint or now - since < STABLE_FOR:
            return "it is still being written"
    return None


def _replaced(decision: Decision, **changes: Any) -> Decision:
    return Decision(**{**decision.__dict__, **changes})
