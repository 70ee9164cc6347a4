"""
The keys of the ledger's rows (:mod:`klap_provider.rules.ledger` lists these). Pure.

Keys are short and ASCII, because a state-store backend may use them as file names. Text that does not fit is replaced
by its hash; the rows have the text itself.
"""

from __future__ import annotations

import hashlib
import re

#: Key prefixes of rows that are listed rather than looked up.
PAID, DELIVERED, LIMIT, SOURCE = "paid", "delivered", "limit", "source"

#: Sorts after the last part of every key, in any collation.
_AFTER_ALL = "z" * 60

_PLAIN = re.compile(r"[a-z0-9_-]{1,40}")


def export_log(project_id: str) -> str:
    """Return the log of all exports of a short."""
    return f"export.{_part(project_id)}"


def submission_log(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return the log of the submission by a task of a run."""
    return f"submission.{_task(dag_id, run_id, task_id, map_index)}"


def request_log(fingerprint: str) -> str:
    """Return the log of a submission that several tasks share."""
    return f"request.{fingerprint}"


def reuse_key(fingerprint: str) -> str:
    """Return the key of the row with the newest payment for a submission."""
    return f"reuse.{fingerprint}"


def generated_key(target: str) -> str:
    """Return the key of the row with the payment for generated shorts, whose folder or project is the target."""
    return f"generated.{_part(target)}"


def selection_entry(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return the key of the selection by a task of a run."""
    return f"selection.{_task(dag_id, run_id, task_id, map_index)}"


def delivered_entry(dag_id: str, run_id: str, project_id: str) -> str:
    """Return the key of the row that says where a run delivered a short."""
    return f"{DELIVERED}.{_hash(dag_id, run_id)}.{_part(project_id)}"


def notice_entry(dag_id: str, run_id: str, task_id: str, map_index: int | None, event: str) -> str:
    """Return the key of the row for a notice that a task of a run has sent."""
    return f"notice.{_task(dag_id, run_id, task_id, map_index)}.{event}"


def month_log(month: str, scope: str) -> str:
    """Return the log of a monthly limit. ``month``: ``YYYY-MM``; ``scope``: what is limited."""
    return f"month.{month}.{_hash(scope)}"


def limit_entry(month: str, scope: str) -> str:
    """Return the key of the row with the end of the log of a monthly limit."""
    return f"{LIMIT}.{month}.{_hash(scope)}"


def limit_keys(month: str) -> tuple[str, str]:
    """Return a key before and a key after those of all limits of a month."""
    return keys_of(f"{LIMIT}.{month}")


def reserved_entry(scope: str, run: str, what: str) -> str:
    """
    Return the key of the row with what a run has reserved of a limit.

    :param scope: what is limited.
    :param run: Dag id and run id, separated by a space.
    """
    return f"reserved.{_hash(scope, run)}.{_part(what)}"


def pause_entry(scope: str) -> str:
    """
    Return the key of the row that pauses new runs: ``{"reason": str, "until": seconds since the epoch}``.

    :param scope: ``connection <connection id>``, ``dag <Dag id>`` or ``source <name of a watched source>``.
    """
    return f"pause.{_hash(scope)}"


def month_notice_entry(month: str, scope: str, event: str) -> str:
    """Return the key of the row for a notice about a monthly limit."""
    return f"notice.{month}.{_hash(scope)}.{event}"


def watched_entry(source: str, item_id: str) -> str:
    """Return the key of the row that says what became of an item of a watched source."""
    return f"watched.{_hash(source)}.{_hash(item_id)}"


def source_entry(source: str) -> str:
    """Return the key of the row for the latest check of a watched source by a task."""
    return f"{SOURCE}.{_hash(source)}"


def source_asset(source: str) -> str:
    """Return the name of the asset of a watched source. Two sources never have the same."""
    return f"klap_source_{_part(source)}"


def poll_entry(source: str) -> str:
    """Return the key of the row for the latest time that a watched source was listed, by a task or a trigger."""
    return f"poll.{_hash(source)}"


def short_name_entry(name: str) -> str:
    """
    Return the key of the row for a name of a delivered short, or for its file name without the extension.

    Differences of case and spaces do not count.
    """
    return f"short_name.{_hash(' '.join(name.split()).casefold())}"


def payment_key(submitted_at: str, attempt_id: str) -> str:
    """Return the key of a payment. It starts with the date."""
    return f"{PAID}.{submitted_at[:10]}.{_part(attempt_id)}"


def keys_of(prefix: str) -> tuple[str, str]:
    """Return a key before and a key after all keys that start with a prefix and a dot."""
    return f"{prefix}.", f"{prefix}.{_AFTER_ALL}"


def payment_keys(since: str, until: str) -> tuple[str, str]:
    """Return a key before and a key after those of all payments of some UTC days, ``YYYY-MM-DD``."""
    return f"{PAID}.{since}", f"{PAID}.{until}.{_AFTER_ALL}"


def delivered_keys(dag_id: str, run_id: str) -> tuple[str, str]:
    """Return a key before and a key after those of all shorts that a run delivered."""
    return keys_of(f"{DELIVERED}.{_hash(dag_id, run_id)}")


def event_entry(alias: str, uri: str) -> str:
    """Return the key of the row for the first asset event of an alias and a destination."""
    return f"event.{_hash(alias, uri)}"


def _task(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    return _hash(dag_id, run_id, task_id, str(-1 if map_index is None else map_index))


def _part(text: str) -> str:
    """Return a text as a part of a key. It is unique even if the store ignores case."""
    if _PLAIN.fullmatch(text):
        return text
    return "-".join([*re.findall("[a-z0-9]+", text.lower())[:1], _hash(text)])[-57:]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]
