"""The follow-up run that exports further shorts of a video, with the settings of the run before. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.api.redaction import shown
from klap_provider.ui.texts import file_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Prefix of the ids of follow-up runs. Klap's task id follows.
FOLLOW_UP = "more"
#: Maximum length of a run's note in Airflow, in characters.
LONGEST_NOTE = 1000

#: The watermark fields of the trigger form, without their prefix.
WATERMARK = ("src_url", "pos_x", "pos_y", "scale")


class NewRun(NamedTuple):
    """A run to start."""

    run_id: str
    conf: dict[str, Any]
    note: str


def prefix_of(klap_task_id: str) -> str:
    """Return the prefix of the ids of all follow-up runs of a Klap task."""
    return f"{FOLLOW_UP}__{_part(klap_task_id)}__"


def can_follow_up(fields: Collection[str], *, is_whole: bool) -> bool:
    """Return whether a trigger form can request given shorts of an existing Klap task."""
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
) -> NewRun:
    """
    Return the run that exports only the given shorts, with the settings of an earlier run and without a review.

    The same request has the same run id, so that Airflow starts it once. The video's address is copied on the server:
    the browser does not have it, and it is not sent to Klap again.

    :param conf: conf of the earlier run.
    :param fields: names of the fields of the trigger form.
    :param project_ids: ids of the shorts. Ignored for a captioned video.
    :param is_whole: whether the run captioned a whole video.
    :param name: name of the video.
    :param watermark: the fields of :data:`WATERMARK` to change. None: the watermark of the earlier run.
    """
    changed: dict[str, Any] = {"klap_task_id": klap_task_id}
    if not is_whole:
        changed["project_ids"] = sorted(project_ids)
    # The user agreed to the price on the button.
    changed |= {field: value for field, value in (("review", False), ("budget", None)) if field in fields}
    changed |= {f"watermark_{field}": value for field, value in (watermark or {}).items() if field in WATERMARK}
    own = {**conf, **changed}
    digest = hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()[:12]
    count = len(project_ids)
    change = _watermark_text(own) if watermark else f"{count} more {'short' if count == 1 else 'shorts'}"
    run_id = f"{prefix_of(klap_task_id)}{_part(name)[:40]}__{digest}"
    return NewRun(run_id, own, f"{name}: {change}"[:LONGEST_NOTE])


def _watermark_text(conf: Mapping[str, Any]) -> str:
    address = conf.get("watermark_src_url")
    if not address:
        return "no watermark"
    file = file_of(shown(str(address)))
    return f"another watermark{f', {file}' if file else ''}"


def _part(text: str) -> str:
    """Return a text with only characters that Airflow allows in the id of a run."""
    return re.sub(r"[^A-Za-z0-9_.~:+-]+", "-", text).strip("-~")
