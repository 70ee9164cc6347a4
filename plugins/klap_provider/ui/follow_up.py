"""A follow-up run: further exports of a video that Klap has, with the settings of the run that they follow. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.api.redaction import shown
from klap_provider.ui.texts import file_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: What the ids of follow-up runs begin with; then comes Klap's id of the task.
FOLLOW_UP = "more"
#: Characters of a run's note at most, as Airflow takes them.
LONGEST_NOTE = 1000

#: Fields of the watermark in a trigger form.
MARK = ("src_url", "pos_x", "pos_y", "scale")


class Order(NamedTuple):
    """A run to start."""

    run_id: str
    conf: dict[str, Any]
    note: str


def prefix_of(klap_task_id: str) -> str:
    """Return what the ids of all follow-up runs of one of Klap's tasks begin with."""
    return f"{FOLLOW_UP}__{_part(klap_task_id)}__"


def can_follow_up(fields: Collection[str], *, is_whole: bool) -> bool:
    """Return whether a trigger form lets a run export just these shorts of an existing task."""
    return "klap_task_id" in fields and (is_whole or "project_ids" in fields)


def follow_up(
    conf: Mapping[str, Any],
    *,
    klap_task_id: str,
    fields: Collection[str],
    project_ids: Collection[str],
    is_whole: bool,
    name: str,
    watermark: Mapping[str, Any] | None = None,
) -> Order:
    """
    Return the run that exports just these shorts, as the given run would, and asks nobody.

    The same order has the same id, whoever gives it and how often: Airflow has each run once. The video's address
    stays as the run was given it: the browser does not have it, and Klap is not sent it again.

    :param conf: of the run that is followed.
    :param fields: of the trigger form.
    :param project_ids: of the shorts; of a whole video they say nothing.
    :param name: what people call the video.
    :param watermark: fields of :data:`MARK` that are other ones than those of the run. None: it is the same.
    """
    changed: dict[str, Any] = {"klap_task_id": klap_task_id}
    if not is_whole:
        changed["project_ids"] = sorted(project_ids)
    # The button said what it costs, and the user agreed to that.
    changed |= {field: value for field, value in (("review", False), ("budget", None)) if field in fields}
    changed |= {f"watermark_{field}": value for field, value in (watermark or {}).items() if field in MARK}
    own = {**conf, **changed}
    digest = hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()[:12]
    count = len(project_ids)
    what = _mark_words(own) if watermark else f"{count} more {'short' if count == 1 else 'shorts'}"
    run_id = f"{prefix_of(klap_task_id)}{_part(name)[:40]}__{digest}"
    return Order(run_id, own, f"{name}: {what}"[:LONGEST_NOTE])


def _mark_words(conf: Mapping[str, Any]) -> str:
    address = conf.get("watermark_src_url")
    if not address:
        return "no watermark"
    file = file_of(shown(str(address)))
    return f"another watermark{f', {file}' if file else ''}"


def _part(text: str) -> str:
    """Return a text in the characters that Airflow allows in the id of a run."""
    return re.sub(r"[^A-Za-z0-9_.~:+-]+", "-", text).strip("-")
