"""The XComs and their shapes."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer

from generated.markdown import code, markdown, markdown_table, table
from klap_provider import batch_xcoms, errors, selection_xcoms, xcoms
from klap_provider.rules import ledger_rows, manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields of XComs that mean the same everywhere.
COMMON_FIELDS = {
    "by": "Name or id of the reviewer.",
    "complete": "Number of videos whose run succeeded.",
    "currency": "`USD`.",
    "delivered": "Number of delivered shorts.",
    "duration": "Length in seconds; None if Klap did not report it.",
    "error": "Error message; None without an error.",
    "explanation": "Klap's reason for the score; None if Klap gave none.",
    "estimated": "Whether a price is estimated.",
    "exports": "Number of paid exports.",
    "export_id": "Id of the export at Klap.",
    "folder_id": "Id of the folder at Klap; None after video-to-video.",
    "incomplete": "The videos whose run did not succeed.",
    "input_videos": "Number of paid submissions.",
    "klap_task_id": "Id of the task at Klap.",
    "left_out": "Entries whose address leads to no video.",
    "manifest": "Path or URL of the run's manifest.",
    "name": "Klap's name of the short.",
    "paths": "Paths or URLs of the videos.",
    "preview_url": "Address of Klap's player.",
    "project_id": "Id of the short at Klap.",
    "publication_captions": "Texts to publish the short with, by platform.",
    "reason": "Why the entry gets no run.",
    "run_id": "Id of the run.",
    "runs": "Number of runs.",
    "sha256": "SHA-256 of the video.",
    "short_name": "Klap's name of the short, or its id if it has no name.",
    "shorts": "The delivered shorts.",
    "sidecar": "Path or URL of the sidecar, the JSON file beside the video.",
    "size": "Size in bytes.",
    "source_video_url": "Address of the video.",
    "src_url": "Klap's public address of the video, or None.",
    "state": "State of the run.",
    "submitted_at": "When the request was sent, ISO 8601. Deadlines count from it.",
    "transcript": "Spoken text of the short.",
    "videos": "Number of videos in the list.",
    "virality_score": "Virality score, 0 to 100; None if Klap gave none.",
}

#: The modules with shapes.
MODULES = (xcoms, batch_xcoms, selection_xcoms, errors, ledger_rows, manifest)


def _comments() -> Mapping[tuple[str, str], str]:
    found = [ModuleAnalyzer.for_module(module.__name__).find_attr_docs() for module in MODULES]
    return {place: markdown(" ".join(lines)) for each in found for place, lines in each.items()}


def _declared(shape: Any, name: str) -> list[str]:
    """Return the shapes that may declare a field: the shape, and those that it extends (not known before 3.12)."""
    defined = [each for module in MODULES for each in vars(module).values() if typing.is_typeddict(each)]
    found = [each for each in defined if name in each.__annotations__]
    extended = [each for each in found if each.__annotations__.items() <= shape.__annotations__.items()]
    return [each.__name__ for each in (shape, *extended)]


def shape_table(shape: Any) -> str:
    """Return the fields of a shape as a table. If all of them can be absent, the page notes it once."""
    comments = _comments()
    rows = []
    for name, hint in shape.__annotations__.items():
        hint = getattr(hint, "__forward_arg__", hint)
        found = [comments[each, name] for each in _declared(shape, name) if (each, name) in comments]
        note = "" if name in shape.__required_keys__ or not shape.__required_keys__ else "Can be absent. "
        rows.append([code(name), code(hint), note + (found[0] if found else COMMON_FIELDS[name])])
    return markdown_table(("field", "type", "meaning"), rows)


@table
def xcom_keys(_: Mapping[str, str]) -> str:
    """Which operator leaves which XCom."""
    comments = _comments()
    keys = {value: name for name, value in vars(xcoms).items() if name.endswith("_KEY")}
    rows = []
    for operator, left in xcoms.XCOMS.items():
        for key, shape in left.items():
            named = shape.__name__ if shape is not dict else "dict"
            link = f"[`{named}`](#{named.lower()})" if shape is not dict else "`dict`"
            meaning = markdown(shape.__doc__ or "") if key == xcoms.RETURN_KEY else comments["", keys[key]]
            rows.append([code(operator), code(key), link, meaning])
    return markdown_table(("operator", "key", "shape", "meaning"), rows)


@table
def xcom_shapes(_: Mapping[str, str]) -> str:
    """Every shape of an XCom and of the asset event."""
    left = [shape for found in xcoms.XCOMS.values() for shape in found.values() if shape is not dict]
    others = (
        batch_xcoms.LeftOutVideo,
        batch_xcoms.IncompleteVideo,
        xcoms.Failure,
        errors.OpenDecision,
        manifest.ShortsEvent,
        manifest.TaggedShort,
    )
    shapes = dict.fromkeys([*left, *others])
    return "\n\n".join(
        f"### {shape.__name__}\n\n{markdown(shape.__doc__ or '')}\n\n{shape_table(shape)}" for shape in shapes
    )
