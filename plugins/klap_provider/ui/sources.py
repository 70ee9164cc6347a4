"""List the watched sources for the Klap page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals import state_store
from klap_provider.airflow_internals.api_server import refresh_interval
from klap_provider.rules.ledger_keys import SOURCE, keys_of, pause_entry
from klap_provider.ui.facts import items, mapping, text
from klap_provider.ui.ledger_rows import readable
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klap_provider.airflow_internals.state_store import StateRow


def sources(user: Any) -> dict[str, Any]:
    """
    Return the watched sources of the Dags whose XComs the user may read, by name.

    :return: ``{"sources": [{"name", "dag_id", "trigger_dag_id", "checked_at", "error", "next_start", "paused", "waits",
        "waiting", "started", "skipped"}], "refresh": int}``. ``dag_id`` is the Dag that checks the source. The last
        three are lists of ``{"id", "title", "at", "reason", "run_id"}``. Times are ISO 8601 or None.
    """
    with database.reading() as session:
        rows = readable(user, state_store.rows(session, LEDGER, ranges=[keys_of(SOURCE)]))
        keys = [key for row in rows for key in (_poll_key(row), *_pause_keys(row))]
        found = {row.key: mapping(row.value) for row in state_store.rows(session, LEDGER, keys=keys)}
    shown = [
        _source(row, found.get(_poll_key(row), {}), [found[key] for key in _pause_keys(row) if key in found])
        for row in rows
    ]
    return {"sources": sorted(shown, key=lambda each: each["name"]), "refresh": refresh_interval()}


def _source(row: StateRow, poll: Mapping[str, Any], pauses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    value = mapping(row.value)
    now = datetime.now(timezone.utc).timestamp()
    reasons = [pause.get("reason") for pause in pauses if pause.get("until") is None or _number(pause["until"]) > now]
    return {
        "name": text(value.get("name")) or row.key,
        "dag_id": row.dag_id,
        "trigger_dag_id": text(value.get("trigger_dag_id")),
        "checked_at": _time(max(_number(value.get("at")), _number(poll.get("at")))),
        "error": text(poll.get("error")),
        "next_start": _time(value.get("next_start")),
        "paused": next(filter(None, map(text, reasons)), None),
        "waits": int(_number(value.get("waits"))),
        **{name: _items(value.get(name)) for name in ("waiting", "started", "skipped")},
    }


def _poll_key(row: StateRow) -> str:
    return f"poll{row.key.removeprefix(SOURCE)}"


def _pause_keys(row: StateRow) -> list[str]:
    scopes = mapping(row.value).get("scopes")
    return [pause_entry(scope) for scope in scopes if isinstance(scope, str)] if isinstance(scopes, list) else []


def _items(found: Any) -> list[dict[str, Any]]:
    """Return items. Any task can write any row."""
    return [
        {
            "id": text(item.get("id")),
            "title": text(item.get("title")) or text(item.get("id")),
            "at": _time(item.get("at")),
            "reason": text(item.get("reason")),
            "run_id": text(item.get("run_id")) or "",
        }
        for item in items(found)
        if text(item.get("id"))
    ]


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and 0 <= value < 1e11 else 0.0


def _time(value: Any) -> str | None:
    return datetime.fromtimestamp(_number(value), timezone.utc).isoformat() if _number(value) else None
