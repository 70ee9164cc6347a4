"""Which requests are the same, how two requests differ, and a request's settings in words. Pure."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from klap_provider.api.addresses import canonical
from klap_provider.api.languages import LANGUAGES
from klap_provider.api.redaction import shown
from klap_provider.api.requests import Dimensions, EditingOptions, ShortsRequest, Watermark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klap_provider.api.requests import ExportRequest

#: Characters of a setting that are said in words.
LONGEST_WORD = 60

#: What settings are called in the trigger form, and what they are counted in.
_TITLES = {
    **{
        name: field.title
        for model in (ShortsRequest, Dimensions, EditingOptions, Watermark)
        for name, field in model.model_fields.items()
    },
    "src_url": "Watermark",
}
_UNITS = {"width": "px", "height": "px", **dict.fromkeys(("min_duration", "max_duration", "target_duration"), "s")}


def fingerprint(*facts: Any) -> str:
    """
    Return the hash of a request: the same for all spellings of it.

    :param facts: of the body only what was set to something else than its default
        (:meth:`~klap_provider.api.requests.Request.settings`): a field that is added to the API later, and saying a
        default, make no other request.
    """
    return hashlib.sha256(json.dumps(plain(list(facts)), sort_keys=True).encode()).hexdigest()[:16]


def export_fingerprint(request: ExportRequest) -> str:
    """Return what tells the exports of a short apart: their settings."""
    return fingerprint(request.settings())


def plain(facts: Any) -> Any:
    """Return facts in the one form that all of their spellings have."""
    if isinstance(facts, dict):
        return {name: plain(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [plain(value) for value in facts]
    if isinstance(facts, str):
        return canonical(facts) if facts.startswith(("http://", "https://")) else facts
    return int(facts) if isinstance(facts, float) and facts.is_integer() else facts


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return how a request differs from the one before, field by field, for people."""
    was, is_ = _flat(before), _flat(now)
    names = [name for name in dict.fromkeys([*was, *is_]) if plain(was.get(name)) != plain(is_.get(name))]
    return [f"{name} was {_said(was.get(name))} and is {_said(is_.get(name))}" for name in names]


def describe_settings(asked: Mapping[str, Any]) -> str:
    """Return settings in the words of the form, such as ``Language: English, Emojis: no, Shortest clip: 20 s``."""
    said = [(name.rpartition(".")[2], value) for name, value in _flat(asked).items()]
    return ", ".join(f"{_TITLES.get(name) or name.replace('_', ' ')}: {_worded(name, value)}" for name, value in said)


def _worded(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = LANGUAGES.get(value, str(value)) if name in ("language", "translate_to") else str(plain(value))
    if "://" in words:  # of an address, which may be a secret, the name of the file
        words = PurePosixPath(urlsplit(shown(words)).path).name or "a picture"
    short = f"{words[:LONGEST_WORD]}{'…' if len(words) > LONGEST_WORD else ''}"
    return f"{short} {_UNITS[name]}" if name in _UNITS else short


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _said(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
