"""File names for shorts and manifests. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata

#: Letters and digits of the short's name that are kept, and bytes of them with their marks: with the rest of the name,
#: and with what the name of a partial file adds to it, below 255 bytes in any script.
NAME_LENGTH, NAME_BYTES = 40, 160

#: Characters of the export's id that are kept; Klap's have 16. A longer one is hashed.
ID_LENGTH = 64

#: Characters of a run's name that are kept, for a person to know it by.
RUN_LENGTH = 120

#: Letters and marks that nobody sees, such as the selectors behind emojis.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def file_name(*, export_id: str, short_name: str | None = None, virality_score: float | None = None) -> str:
    """
    Return the file name of an exported short, such as ``087_why-we-sleep_x3Fp….mp4``.

    It sorts by score, reads as the short's name, and is safe on every file system: letters and digits of any script
    with their combining marks, ``-`` and ``_`` only, in Unicode's form NFC, no reserved device name, at most 255 bytes.
    Klap's export id makes it unique, so that the same short exported again, for example with another watermark, is
    another file.

    :param export_id: Klap's id of the export; characters that ids do not have are spelled out in hex.
    :param short_name: any text, as a language model wrote it.
    :param virality_score: 0–100; left out of the name if None.
    """
    score = "" if virality_score is None else f"{round(virality_score):03d}_"
    unique = re.sub(r"[^A-Za-z0-9-]", lambda odd: f"_{ord(odd[0]):x}_", export_id)
    if len(unique) > ID_LENGTH:
        unique = hashlib.sha256(unique.encode()).hexdigest()[:ID_LENGTH]
    return f"{score}{_slug(short_name or '') or 'short'}_{unique}.mp4"


def _slug(text: str) -> str:
    """Return the words of a text in lower case, with ``-`` between them, cut where no letter loses its marks."""
    # Joiners and directions stand within words. The small letter of the Turkish capital is the plain i.
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
    """
    Return the file name of the manifest of a run, which no other run's has, below a folder that runs may share.

    :param task_id: the task that writes it; a run may have several.
    """
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{dag_id}_{run_id}")[:RUN_LENGTH]
    whole = f"{dag_id} {run_id} {task_id} {map_index}"
    return f"{readable}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}.json"
