"""Build the manifest of a run from the XComs and states of its tasks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from klap_provider.selection_xcoms import ShortFacts
from klap_provider.xcoms import Outcome, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from klap_provider.selection_xcoms import Short
    from klap_provider.xcoms import Delivered, ExportReady, Failure

GOOD_STATES = ("success", "skipped")

#: Facts that are only in the JSON file beside each video, not in the manifest.
IN_SIDECAR = ("publication_captions", "transcript")


class TaggedShort(ShortFacts, Stored):
    """A delivered short in the asset event of a run. The transcript is None if it is longer than 10,000 characters."""

    #: Path or URL of the JSON file beside the video.
    sidecar: str


class ShortsEvent(TypedDict):
    """``extra`` of the asset event of a run, for Dags that start when shorts are delivered."""

    source_video_url: str
    klap_task_id: str
    manifest: str
    shorts: list[TaggedShort]


def manifest_entries(
    shorts: Sequence[Short],
    steps: Sequence[str],
    *,
    states: Mapping[str, Any],
    delivered: Iterable[Delivered | None],
    exports: Iterable[ExportReady | None],
    failures: Iterable[Failure | None],
) -> list[dict[str, Any]]:
    """
    Return an entry for each short: its delivered file, or the failed ``step`` and its ``error``.

    :param shorts: the selected shorts, in the order of the map indexes.
    :param steps: ids of the mapped tasks of each short, in order.
    :param states: states of the task instances, by ``{task id}_{map index}``.
    """
    files = {file["project_id"]: file for file in delivered if file}
    addresses = {export["project_id"]: export["src_url"] for export in exports if export}
    errors = {failure["project_id"]: failure["error"] for failure in failures if failure}
    entries = []
    for index, short in enumerate(shorts):
        project_id = short["project_id"]
        found: dict[str, Any] = {**short, "src_url": addresses.get(project_id)}
        if project_id in files:
            found |= {name: fact for name, fact in files[project_id].items() if fact is not None}
        else:
            step = next((s for s in steps if str(states.get(f"{s}_{index}")) != "success"), steps[-1])
            error = errors.get(project_id) or no_reason(states.get(f"{step}_{index}"))
            found |= {"step": step.rpartition(".")[2], "error": error}
        entries.append(found)
    return entries


def outcomes(entries: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """Return the part of each entry that the Shorts tab shows."""
    return [cast("Outcome", {name: entry.get(name) for name in Outcome.__annotations__}) for entry in entries]


def event_shorts(entries: Iterable[Mapping[str, Any]]) -> list[TaggedShort]:
    """Return the part of each delivered short's entry that the asset event has."""
    return [
        cast(
            "TaggedShort",
            {name: entry.get("short_name" if name == "name" else name) for name in TaggedShort.__annotations__},
        )
        for entry in entries
    ]


def first_failed(states: Mapping[str, Any], task_ids: Iterable[str]) -> str | None:
    """Return a failed task, if possible one that did not fail because of another task; None if none failed."""
    failed = [task_id for task_id in sorted(task_ids) if str(states.get(task_id, "success")) not in GOOD_STATES]
    return min(failed, key=lambda task_id: str(states[task_id]) == "upstream_failed", default=None)


def no_reason(state: Any) -> str:
    """Return the error text for a task that recorded no error."""
    return f"the task ended in the state {getattr(state, 'value', state) or 'not run'} without an error; see its log"
