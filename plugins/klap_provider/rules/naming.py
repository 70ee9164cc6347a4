"""File names for shorts and manifests. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata

#: Characters of the short's name that are kept: with the rest of the name well below 255 bytes in any script.
NAME_LENGTH = 40

#: Characters of the export's id that are kept; Klap's have 16. A longer one is hashed.
ID_LENGTH = 64

#: Characters of a run's name that are kept, for a person to know it by.
RUN_LENGTH = 120


def file_name(*, export_id: str, short_name: str | None = None, virality_score: float | None = None) -> str:
    """
    Return the file name of an exported short, such as ``087_why-we-sleep_x3Fp….mp4``.

    It sorts by score, reads as the short's name, and is safe on every file system: letters, digits, ``-`` and ``_``
    only, no reserved device name, at most 255 bytes. Klap's export id makes it unique, so that the same short
    exported anew, say with another watermark, is another file.

    :param export_id: Klap's id of the export; characters that ids do not have are spelled out in hex.
    :param short_name: any text, as a language model wrote it.
    :param virality_score: 0–100; left out of the name if None.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", short_name or "").lower())
    slug = "-".join(words)[:NAME_LENGTH].strip("-") or "short"
    score = "" if virality_score is None else f"{round(virality_score):03d}_"
    unique = re.sub(r"[^A-Za-z0-9-]", lambda odd: f"_{ord(odd[0]):x}_", export_id)
    if len(unique) > ID_LENGTH:
        unique = hashlib.sha256(unique.encode()).hexdigest()[:ID_LENGTH]
    return f"{score}{slug}_{unique}.mp4"


def manifest_name(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """
    Return the file name of the manifest of a run, which no other run's has, below a folder that runs may share.

    :param task_id: the task that writes it; a run may have several.
    """
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{dag_id}_{run_id}")[:RUN_LENGTH]
    whole = f"{dag_id} {run_id} {task_id} {map_index}"
    return f"{readable}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}.json"
