"""What became of each selected short, and of the steps before them, told from what the tasks have left. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from klap_provider.xcoms import Delivered, ExportReady, Failure, Outcome, Short, TaggedShort

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GOOD_STATES = ("success", "skipped")

#: What the manifest leaves to the JSON file beside each video.
IN_SIDECAR = ("publication_captions", "transcript")


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
    Return the shorts, each with the file that it became, or else with the ``step`` that went wrong and its ``error``.

    :param shorts: the selected shorts, in the order of the map indexes.
    :param steps: ids of the mapped tasks that each of them goes through, in order.
    :param states: of the task instances, by ``{task id}_{map index}``.
    :param delivered: what the last step returned, in any order.
    :param exports: what the step before it returned, in any order.
    :param failures: what failed steps said, in any order.
    """
    files = {file["project_id"]: file for file in delivered if file}
    addresses = {export["project_id"]: export["src_url"] for export in exports if export}
    said = {failure["project_id"]: failure["error"] for failure in failures if failure}
    entries = []
    for index, short in enumerate(shorts):
        project_id = short["project_id"]
        found: dict[str, Any] = {**short, "src_url": addresses.get(project_id)}
        if project_id in files:
            found |= {name: fact for name, fact in files[project_id].items() if fact is not None}
        else:
            step = next((s for s in steps if str(states.get(f"{s}_{index}")) != "success"), steps[-1])
            error = said.get(project_id) or no_reason(states.get(f"{step}_{index}"))
            found |= {"step": step.rpartition(".")[2], "error": error}
        entries.append(found)
    return entries


def outcomes(entries: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """Return of each short in entries what the tab shows."""
    return [cast("Outcome", {name: short.get(name) for name in Outcome.__annotations__}) for short in entries]


def event_shorts(entries: Iterable[Mapping[str, Any]]) -> list[TaggedShort]:
    """Return of each delivered short in entries what the asset event tells."""
    return [
        cast(
            "TaggedShort",
            {name: short.get("short_name" if name == "name" else name) for name in TaggedShort.__annotations__},
        )
        for short in entries
    ]


def first_failed(states: Mapping[str, Any], task_ids: Iterable[str]) -> str | None:
    """Return the task that failed, by itself rather than for another's sake, or None if all went well."""
    failed = [task_id for task_id in sorted(task_ids) if str(states.get(task_id, "success")) not in GOOD_STATES]
    return min(failed, key=lambda task_id: str(states[task_id]) == "upstream_failed", default=None)


def no_reason(state: Any) -> str:
    """Return the error of a task that has left none."""
    return f"the task ended as {getattr(state, 'value', state) or 'not run'} and left no reason; see its log"
