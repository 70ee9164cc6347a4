"""Build the file names of shorts and manifests. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata

#: Maximum letters and digits of the short's name, and their bytes with marks. With these, the file name and the name of
#: its partial file stay below 255 bytes in any script.
NAME_LENGTH, NAME_BYTES = 40, 160

#: Maximum characters of an export id. A longer id is hashed. Klap's ids have 16.
ID_LENGTH = 64

#: Maximum characters of the Dag id and run id in a manifest's name.
RUN_LENGTH = 120

#: Invisible letters and marks, such as the variation selectors of emojis.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def file_name(*, export_id: str, short_name: str | None = None, virality_score: float | None = None) -> str:
    """
    Return the file name of an exported short, such as ``087_why-we-sleep_x3Fp….mp4``.

    Names sort by score and are safe on every file system: only letters and digits of any script with their combining
    marks, ``-`` and ``_``, in the Unicode form NFC, no reserved device name, at most 255 bytes. The export id makes
    them unique: another export of the same short, for example with another watermark, is another file.
    """
    score = "" if virality_score is None else f"{round(virality_score):03d}_"
    unique = re.sub(r"[^A-Za-z0-9-]", lambda odd: f"_{ord(odd[0]):x}_", export_id)
    if len(unique) > ID_LENGTH:
        unique = hashlib.sha256(unique.encode()).hexdigest()[:ID_LENGTH]
    return f"{score}{slug(short_name or '') or 'short'}_{unique}.mp4"


def slug(text: str) -> str:
    """Return the words of a text in lower case, joined by ``-``, shortened without separating letters from marks."""
    # Format characters such as joiners are within words. The Turkish capital I with a dot becomes a plain i.
    seen = "".join(char for char in text if unicodedata.category(char) != "Cf" and not _UNSEEN.match(char))
    seen = unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).replace("\u0130", "i").lower())
    pieces: list[str] = []  # each a letter or digit with its marks, or a dash
    for char in seen:
        kind = unicodedata.category(char)[0]
        follows = bool(pieces) and pieces[-1] != "-"
        if kind in "LN":
            pieces.append(char)
        elif kind == "M" and follows:
            pieces[-1] += char
        elif kind != "M" and follows:
            pieces.append("-")
    kept = pieces[:NAME_LENGTH]
    while len("".join(kept).encode()) > NAME_BYTES:
        kept.pop()
    return "".join(kept).strip("-")


def manifest_name(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return the unique file name of the manifest that a task of a run writes. Runs may share the folder."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{dag_id}_{run_id}")[:RUN_LENGTH]
    whole = f"{dag_id} {run_id} {task_id} {map_index}"
    return f"{readable}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}.json"
