"""List runs for the Klap page: those of the Dags whose XComs the user may read."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import dags_of_asset, permitted, refresh_interval
from klap_provider.airflow_internals.runs import portions
from klap_provider.airflow_internals.xcoms import newest_xcoms
from klap_provider.rules.spending import total
from klap_provider.rules.video_list import URL
from klap_provider.ui import ledger_rows
from klap_provider.ui.facts import REVIEW
from klap_provider.ui.runs import as_readable, batch_videos, has_words, last_day, names_of, parts_of
from klap_provider.xcoms import LEDGER, LIST_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from klap_provider.airflow_internals.runs import Key, Run
    from klap_provider.rules.spending import Payment
    from klap_provider.ui.ledger_rows import Delivery
    from klap_provider.ui.runs import BatchVideo


#: Maximum number of runs that are searched and sorted, the newest ones. A batch is one run.
SEARCHED = 500
#: Maximum number of videos in these runs, and if the cost of each is needed.
VIDEOS_SEARCHED, VIDEOS_SUMMED_UP = 2_000, 750
#: Average number of videos in a run of a page, at most.
VIDEOS_PER_RUN = 20
#: Minimum number of videos in older batches, which may have started runs that are newer than the oldest of a page.
VIDEOS_OLDER = 500
#: Number of lists that are read at once.
LISTS_AT_ONCE = 5
NEWEST_FIRST = "-at"


def videos(
    user: Any, *, limit: int, search: str = "", state: str | None = None, order_by: str = NEWEST_FIRST
) -> dict[str, Any]:
    """
    Return runs, each with its shorts and its cost.

    A batch has the shorts and the cost of the runs of its videos. These runs are not listed themselves. The cost of a
    batch is what they paid since it started: a list that is started again finds runs that have paid before.

    :param limit: maximum number of runs. There are fewer if they have more than :data:`VIDEOS_PER_RUN` videos each.
    :param search: words that must be in the name, the note or the Dag id. Only the newest :data:`SEARCHED` runs are
        searched, filtered and sorted; fewer if they have more than :data:`VIDEOS_SEARCHED` videos, or to sort them by
        cost, :data:`VIDEOS_SUMMED_UP`.
    :param state: only runs in this state. None: all.
    :param order_by: ``-at``, ``at``, ``name`` or ``-cost``.
    :return: ``{"videos": [{"dag_id", "run_id", "name", "note", "state", "at", "by", "shorts", "best", "cost",
        "estimated", "budget", "batch"}], "more": bool, "searched": int | None, "dag_ids": [str], "refresh": int}``.
        ``batch`` is the number of videos of a batch, else 0. ``state`` is Airflow's or ``awaiting_input``. ``searched``
        is the number of runs that were searched, filtered or sorted; None for the newest runs as they are. ``dag_ids``
        are the Dags that the user may read. ``refresh`` is Airflow's own interval in seconds, 0 for none.
    """
    words, is_plain = search.lower().split(), not search and state is None and order_by == NEWEST_FIRST
    of_page = (limit, limit * VIDEOS_PER_RUN)
    of_search = (SEARCHED, VIDEOS_SUMMED_UP if order_by == "-cost" else VIDEOS_SEARCHED)
    rows, most_videos = of_page if is_plain else of_search
    dag_ids = permitted(user, dags_of_asset(LEDGER), "XCOM")
    with database.reading() as session:
        batches = _newest_batches(session, dag_ids, limit=2 * rows, videos=most_videos + VIDEOS_OLDER)
        started = {video.key for listed in batches.values() for video in listed}
        keys = database.newest_keys(session, dag_ids, limit=len(started) + rows + 1)
        listed = [key for key in keys if key not in started]
        window = _first(listed, batches, rows, most_videos)
        there = database.runs(session, window)
        found = sorted(there.values(), key=lambda run: run.id, reverse=True)
        is_more, searched = len(listed) > len(window), None
        if not is_plain:
            searched = len(found)
            found = _matching(user, session, found, batches, words, state)
            if order_by == "at":
                found.reverse()
            elif order_by == "name":
                names = names_of(session, as_readable(user, found), batches)
                found.sort(key=lambda run: names[run.key].lower())
        if order_by == "-cost":
            page = rows_of(user, session, found, batches, dag_ids)
            page = sorted(page, key=lambda video: video["cost"] or 0, reverse=True)[:limit]
        else:
            shown = _first([run.key for run in found], batches, *of_page)
            page = rows_of(user, session, found[: len(shown)], batches, dag_ids)
        if not is_plain:
            is_more = len(found) > len(page)
    return {
        "videos": page,
        "more": is_more,
        "searched": searched,
        "dag_ids": sorted(dag_ids),
        "refresh": refresh_interval(),
    }


def _newest_batches(session: Any, dag_ids: Collection[str], *, limit: int, videos: int) -> dict[Key, list[BatchVideo]]:
    """Return the newest batches until they have a number of videos."""
    batches: dict[Key, list[BatchVideo]] = {}
    for lists in portions(newest_xcoms(session, dag_ids, LIST_KEY, limit=limit), LISTS_AT_ONCE):
        batches |= batch_videos(session, lists)
        if sum(map(len, batches.values())) >= videos:
            break
    return batches


def _first(keys: Sequence[Key], batches: Mapping[Key, Sequence[BatchVideo]], rows: int, videos: int) -> Sequence[Key]:
    """Return the first of some runs: at most a number of rows, and of videos unless a single run has more."""
    sums = accumulate(max(1, len(batches.get(key, ()))) for key in keys[:rows])
    return keys[: max(1, sum(total <= videos for total in sums))]


def _matching(
    user: Any,
    session: Any,
    runs: Sequence[Run],
    batches: Mapping[Key, Sequence[BatchVideo]],
    words: Sequence[str],
    state: str | None,
) -> list[Run]:
    """Return the runs that have all words and are in a state."""
    runs = as_readable(user, runs)
    if state is not None:
        asking = _asking(session, runs)
        runs = [run for run in runs if state == ("awaiting_input" if run.key in asking else run.state)]
    if words:
        names = names_of(session, runs, batches)
        runs = [run for run in runs if has_words(words, names[run.key], run.note, run.conf.get(URL), run.dag_id)]
    return runs


def _asking(session: Any, runs: Iterable[Run]) -> set[Key]:
    asking = database.instances(session, [run.key for run in runs], (REVIEW,), state="awaiting_input")
    return {(each.dag_id, each.run_id) for each in asking}


def rows_of(
    user: Any,
    session: Any,
    runs: Sequence[Run],
    batches: Mapping[Key, Sequence[BatchVideo]],
    dag_ids: Collection[str],
    *,
    since: str = "",
) -> list[dict[str, Any]]:
    """
    Return runs as :func:`videos` lists them.

    :param dag_ids: the Dags whose XComs the user may read.
    :param since: only payments from this time on, ISO 8601. Empty: from the start of each run on.
    """
    runs = as_readable(user, runs)
    asking = _asking(session, runs)
    parts = {run.key: parts_of(run.key, batches, dag_ids) for run in runs}
    keys = {key for each in parts.values() for key in each}
    there = database.runs(session, keys)
    run_ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in runs:
        until = last_day([run, *(there[key] for key in parts[run.key] if key in there)])
        run_ids[(since or run.at)[:10], until].update(run_id for _, run_id in parts[run.key])
    shorts: dict[Key, list[Delivery]] = defaultdict(list)
    for short in ledger_rows.deliveries(user, session, keys):
        shorts[short.run].append(short)
    payments: dict[Key, list[Payment]] = defaultdict(list)
    for payment in ledger_rows.payments_of_runs(user, session, run_ids):
        payments[payment.run].append(payment)
    names = names_of(session, runs, batches)
    return [
        _video(
            run,
            [short for part in parts[run.key] for short in shorts[part]],
            _take(payments, parts[run.key], since=since or (run.at if batches.get(run.key) else "")),
            name=names[run.key],
            is_asking=run.key in asking,
            batch=len(batches.get(run.key, ())),
        )
        for run in runs
    ]


def _take(payments: dict[Key, list[Payment]], parts: Iterable[Key], *, since: str) -> list[Payment]:
    """Remove and return the payments of runs since a time, so that each payment counts in one sum only."""
    taken = [each for part in parts for each in payments[part] if each.at >= since]
    for part in parts:
        payments[part] = [each for each in payments[part] if each.at < since]
    return taken


def _video(
    run: Run, shorts: Sequence[Delivery], payments: Sequence[Payment], *, name: str, is_asking: bool, batch: int
) -> dict[str, Any]:
    budgets = [] if batch else [each.budget for each in payments if each.budget is not None]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "name": name,
        "note": run.note,
        "state": "awaiting_input" if is_asking else run.state,
        "at": run.at,
        "by": run.by,
        "shorts": len(shorts),
        "best": max((short.score for short in shorts if short.score is not None), default=None),
        "cost": total(each.price for each in payments) if payments else None,
        "estimated": any(each.estimated for each in payments),
        "budget": next(iter(budgets), None),
        "batch": batch,
    }
