"""Which items of a source start now: once each, at the pace, whatever the source does to its list."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from klap_provider.rules.pace import Pace
from klap_provider.rules.source_runs import OLD, SKIPPED, STARTED, STARTING, Decision, Item, decide, distinct, see

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc).timestamp()
HOUR, DAY = 3600.0, 86400.0
ANY = Pace()


def item(name: str, days_ago: float | None = None, **more: Any) -> Item:
    return Item(id=name, published=None if days_ago is None else NOON - days_ago * DAY, **more)


def ids(items: list[Item]) -> list[str]:
    return [each.id for each in items]


def reasons(found: list[tuple[Item, str]]) -> dict[str, str]:
    return {each.id: reason for each, reason in found}


def check(items: list[Item], recorded: dict[str, str], **more: Any) -> Decision:
    """Decide, and record the decision, as the check does."""
    decision = decide(items, recorded, **{"now": NOON, "pace": ANY, **more})
    for state, found in (
        (STARTED, decision.start),
        (OLD, decision.old),
        (SKIPPED, [each for each, _ in decision.skip]),
    ):
        recorded.update((known, state) for each in found for known in each.ids)
    return decision


def test_a_new_item_starts_once_however_the_list_changes() -> None:
    recorded: dict[str, str] = {}
    first, second = item("a", 2, title="A"), item("b", 1)
    assert ids(check([second, first], recorded).start) == ["b", "a"]
    for changed in ([first, second], [replace(first, title="Edited", published=NOON), second], [first], []):
        assert check(changed, recorded).start == []
    assert ids(check([item("c"), first, second], recorded).start) == ["c"]


def test_lost_doubled_and_late_checks_start_the_same_items() -> None:
    recorded: dict[str, str] = {}
    check([item("a")], recorded)
    for _ in range(3):
        assert check([item("a")], recorded) == Decision()
    assert ids(check([item("c"), item("b"), item("a")], recorded).start) == ["c", "b"], "also the items in between"


def test_an_item_in_two_feeds_is_one_item_even_with_two_ids() -> None:
    recorded: dict[str, str] = {}
    here, there = item("guid-1", also=("https://x/talk.mp4",)), item("guid-2", also=("https://x/talk.mp4",))
    assert ids(check([here, there], recorded).start) == ["guid-1"]
    assert check([there], recorded).start == []
    moved = item("guid-1", also=("https://y/talk.mp4",))
    assert check([moved], recorded).start == []


def test_the_first_check_starts_none_of_500_old_items() -> None:
    recorded: dict[str, str] = {}
    items = [item(str(number), number) for number in range(500)]
    first = check(items, recorded, known_parts=None)
    assert first.start == []
    assert len(first.old) == 500
    assert ids(check([item("new", 0), *items], recorded).start) == ["new"]


def test_items_of_a_feed_added_later_are_old() -> None:
    items = [item("before", 3, part="b"), item("undated", part="b"), item("after", 0, part="b"), item("a", part="")]
    decision = check(items, {}, known_parts={"": 0}, checked_at=NOON - DAY)
    assert ids(decision.start) == ["after", "a"]
    assert set(ids(decision.old)) == {"before", "undated"}


def test_an_old_item_that_moves_up_into_the_list_does_not_start() -> None:
    """A feed lists its newest items only. One is deleted, or the feed lists more of them."""
    since = {"feed": NOON - 10 * DAY}
    moved_up, late = item("old", 11, part="feed"), item("late", 9, part="feed")
    decision = check([late, moved_up, item("undated", part="feed")], {}, known_parts=since)
    assert (ids(decision.start), ids(decision.old)) == (["late", "undated"], ["old"])
    assert ids(check([moved_up], {}, known_parts=since, pace=Pace(back_catalogue=True)).start) == ["old"]


def test_the_back_catalogue_starts_newest_first() -> None:
    recorded: dict[str, str] = {}
    items = [item(str(number), number) for number in range(500)]
    pace = Pace(back_catalogue=True, per_day=1)
    assert ids(check(items, recorded, known_parts=None, pace=pace).start) == ["0"]
    assert ids(check([item("new", -1), *items], recorded, pace=pace, now=NOON + DAY, starts=[NOON]).start) == ["new"]
    assert ids(check(items, recorded, pace=pace, now=NOON + 2 * DAY, starts=[NOON, NOON + DAY]).start) == ["1"]


def test_the_back_catalogue_can_be_turned_on_later() -> None:
    recorded: dict[str, str] = {}
    check([item("a")], recorded, known_parts=None)
    assert ids(check([item("a")], recorded, pace=Pace(back_catalogue=True)).start) == ["a"]


def test_only_items_since_a_date_start_at_the_first_check() -> None:
    since = Pace(since=datetime(2026, 11, 20, tzinfo=timezone.utc))
    first = check([item("new", 3), item("old", 30)], {}, known_parts=None, pace=since)
    assert (ids(first.start), ids(first.old)) == (["new"], ["old"])
    later = replace(since, back_catalogue=True)
    assert check([item("old", 30)], {"old": OLD}, pace=later).start == []


def test_items_without_dates_keep_the_order_of_the_list() -> None:
    assert ids(distinct([item("b"), item("a"), item("c", 5)])) == ["c", "b", "a"]


def test_a_start_that_a_crash_interrupted_is_repeated_whatever_the_pace() -> None:
    decision = check([item("a"), item("b")], {"a": STARTING}, pace=Pace(per_day=1), starts=[NOON])
    assert ids(decision.start) == ["a"]
    assert reasons(decision.wait) == {"b": "the pace delays it"}


@pytest.mark.parametrize(
    ("pace", "starts", "expected"),
    [
        (Pace(per_day=2), [], ["a", "b"]),
        (Pace(per_day=2), [NOON - HOUR], ["a"]),
        (Pace(per_day=2), [NOON - HOUR, NOON], []),
        (Pace(per_day=1), [NOON - 13 * HOUR], ["a"]),
        (Pace(per_hour=1), [NOON - 1], ["a"]),
        (Pace(per_hour=1), [NOON], []),
        (Pace(hours=(9, 13)), [], ["a", "b", "c"]),
        (Pace(hours=(13, 18)), [], []),
        (Pace(hours=(22, 13)), [], ["a", "b", "c"]),
        (Pace(hours=(20, 22), timezone="Asia/Tokyo"), [], ["a", "b", "c"]),
        (Pace(per_day=1, timezone="Asia/Tokyo"), [NOON - 22 * HOUR], ["a"]),
        (Pace(per_day=1, timezone="America/New_York"), [NOON - 8 * HOUR], ["a"]),
        (Pace(per_day=1, timezone="America/New_York"), [NOON - 6 * HOUR], []),
    ],
)
def test_the_pace_limits_what_starts(pace: Pace, starts: list[float], expected: list[str]) -> None:
    decision = check([item("a"), item("b"), item("c")], {}, pace=pace, starts=starts)
    assert ids(decision.start) == expected
    assert len(decision.wait) == 3 - len(expected)


def test_the_decision_has_the_time_of_the_next_start() -> None:
    one = Pace(per_day=1, hours=(9, 10), timezone="Europe/Berlin")
    decision = check([item("a")], {}, pace=one)
    assert decision.start == []
    assert decision.next_start == datetime(2026, 12, 1, 8, tzinfo=timezone.utc).timestamp()
    assert check([], {}, pace=one).next_start is None


def test_a_day_has_one_run_when_the_clock_is_set_back() -> None:
    """On that Sunday, 2:30 occurs twice in Berlin."""
    pace = Pace(per_day=1, timezone="Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc).timestamp()
    assert pace.next_start(first, [first]) == datetime(2026, 10, 25, 23, tzinfo=timezone.utc).timestamp()


def test_a_file_starts_when_it_has_not_changed_for_two_checks() -> None:
    seen: dict[str, Any] = {}
    started = []
    for seconds, fingerprint in ((0, "1 kB"), (60, "2 kB"), (70, "2 kB"), (120, "2 kB")):
        file, now = item("a.mp4", fingerprint=fingerprint), NOON + seconds
        seen = see([file], seen, {}, now)
        decision = decide([file], {}, now=now, pace=ANY, seen=seen)
        started.append(ids(decision.start))
        assert reasons(decision.wait) in ({}, {"a.mp4": "it is still being written"})
    assert started == [[], [], [], ["a.mp4"]]
    assert see([file], seen, {"a.mp4": STARTED}, NOON) == {}


def test_an_item_waits_for_its_time_and_for_its_source() -> None:
    later, live = item("a", not_before=NOON + 1), item("b", waits="it is live")
    assert set(reasons(check([later, live], {}).wait)) == {"a", "b"}
    assert ids(check([later], {}, now=NOON + 1).start) == ["a"]


def test_a_refused_item_is_skipped_with_the_reason_unless_a_user_starts_it() -> None:
    recorded: dict[str, str] = {}
    short = item("a", refused="it is one of your shorts")
    assert reasons(check([short], recorded).skip) == {"a": "it is one of your shorts"}
    assert check([short], recorded) == Decision()
    assert ids(check([short], recorded, wanted={"a"}).start) == ["a"]
    assert check([short], recorded, wanted={"a"}).start == [], "once, also for users"


def test_a_user_skips_and_starts_items() -> None:
    recorded = {"old": OLD}
    decision = check(
        [item("old"), item("a"), item("b")], recorded, wanted={"old"}, unwanted={"a"}, pace=Pace(per_day=0)
    )
    assert ids(decision.start) == ["old"]
    assert set(reasons(decision.skip)) == {"a"}
    assert check([item("a")], recorded).start == []


def test_a_paused_source_starts_nothing_and_forgets_nothing() -> None:
    recorded: dict[str, str] = {}
    paused = check([item("a")], recorded, paused="the month's limit is reached")
    assert (paused.start, reasons(paused.wait)) == ([], {"a": "the month's limit is reached"})
    assert ids(check([item("a")], recorded).start) == ["a"]


@pytest.mark.parametrize(
    "wrong", [{"since": datetime(2026, 1, 1)}, {"hours": (9, 25)}, {"hours": (-1, 2)}, {"timezone": "Mars/Olympus"}]
)
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        Pace(**wrong)
