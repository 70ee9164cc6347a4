"""The rows of a month of unattended runs, for the pictures: payments, monthly limits, and watched sources."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from klap_provider.rules.ledger_keys import limit_entry, payment_key, source_entry
from klap_provider.rules.source_runs import STARTED, Item, decide
from klap_provider.sources import Pace
from klap_provider.sources.check import IS_OURS
from tests.browser.stage import DAG_ID

WEEKLY, WATCHES = "weekly_talk", ("watch_podcast", "watch_talks", "watch_uploads")


def runs_of_a_month() -> list[dict[str, Any]]:
    """Return the runs that have paid, and one that has checked the sources."""
    now = datetime.now(timezone.utc)
    paid = [(DAG_ID, days) for days in range(2, 29, 3)] + [(WEEKLY, days) for days in (6, 13, 20, 27)]
    ids = [*paid, *((dag_id, 0) for dag_id in WATCHES)]
    return [
        {"dag_id": dag_id, "run_id": f"day-{days}", "at": (now - timedelta(days)).isoformat()} for dag_id, days in ids
    ]


def payments() -> list[dict[str, Any]]:
    """Return the rows of what these runs have paid, and of a limit of the connection and one of a Dag."""
    rows, used, month = [], {"connection klap_default": 4, f"dag {WEEKLY}": 0}, f"{datetime.now(timezone.utc):%Y-%m}"
    for run in runs_of_a_month()[: -len(WATCHES)]:
        by = {name: run[name] for name in ("dag_id", "run_id")}
        for what, price in (("video-to-shorts", 0.5), ("10 generated shorts", 3), *(("export", 0.5) for _ in range(3))):
            job = f"{run['dag_id']}{run['run_id']}{len(rows)}"
            value = {
                "id": job,
                "run": f"{run['dag_id']} {run['run_id']}",
                "at": run["at"],
                "price": price,
                "what": what,
            }
            rows.append({"key": payment_key(run["at"], job), "value": {**value, "video": "https://example.com"}, **by})
        if run["at"].startswith(month):
            used["connection klap_default"] += 5
            used[f"dag {WEEKLY}"] += 5 if run["dag_id"] == WEEKLY else 0
    for (scope, total), limit in zip(used.items(), (80, 20), strict=True):
        value = {"scope": scope, "limit": str(limit), "total": str(total), "warns": False}
        rows.append({"key": limit_entry(month, scope), "value": value, **by})
    return rows


def sources() -> list[dict[str, Any]]:
    """Return the rows of a table, a folder and a feed, as checks of these decide about some items."""
    now = datetime.now(timezone.utc).timestamp()
    daily = Pace(per_day=1, back_catalogue=True)
    podcast = [
        Item(id="42", title="Episode 42: One run per item"),
        Item(id="41", title="Episode 41: On ledgers"),
        Item(id="40", title="Episode 40: Why we sleep"),
        Item(id="39", title="Trailer", refused="it is 95 s long, like a short"),
    ]
    talks = [
        Item(id="17", title="Town hall"),
        Item(id="18", title="Product launch"),
        Item(id="19", title="Fireside chat", waits="it has no address yet"),
    ]
    uploads = [
        Item(id="k", title="keynote.mp4"),
        Item(id="w", title="workshop.mp4", fingerprint="1 a"),
        Item(id="s", title="shorts/070_from-zero-to-hero.mp4", refused=IS_OURS),
    ]
    rows = []
    for name, items, started, pace in (
        ("podcast", podcast, 1, daily),
        ("talks", talks, 2, Pace()),
        ("uploads", uploads, 1, Pace()),
    ):
        recorded = {item.id: STARTED for item in items[:started]}
        found = decide(items, recorded, now=now, pace=pace, starts=[now] * started)
        value = {
            "name": name,
            "trigger_dag_id": DAG_ID,
            "at": now,
            "next_start": found.next_start,
            "waits": len(found.wait),
            "waiting": [shown(item, now, reason) for item, reason in found.wait],
            "started": [shown(item, now, run_id=f"watched__{name}") for item in items[:started]],
            "skipped": [shown(item, now, reason) for item, reason in found.skip],
        }
        by = {"dag_id": f"watch_{name}", "run_id": "day-0", "task_id": "check"}
        rows.append({"key": source_entry(name), "value": value, **by})
    return rows


def shown(item: Item, at: float, reason: str = "", run_id: str = "") -> dict[str, Any]:
    """Return an item of a row."""
    return {"id": item.id, "title": item.title, "at": at, "reason": reason, "run_id": run_id}
