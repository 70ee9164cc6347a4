"""Calculate request fingerprints, compare requests, and describe their settings. Pure."""

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

#: Maximum characters of a setting in a description.
LONGEST_VALUE = 60

#: Titles of the settings in the trigger form, and their units.
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
    Return the hash of a request. It is the same for all spellings of the request.

    :param facts: values that identify the request. Of the body, pass only
        :meth:`~klap_provider.api.requests.Request.settings`, which has no defaults. So the fingerprint stays the same
        when a default is set explicitly, or when the API gets a new field.
    """
    return hashlib.sha256(json.dumps(plain(list(facts)), sort_keys=True).encode()).hexdigest()[:16]


def export_fingerprint(request: ExportRequest) -> str:
    """Return the fingerprint of an export among the exports of the same short."""
    return fingerprint(request.settings())


def plain(facts: Any) -> Any:
    """Return facts in a normalized form, the same for all of their spellings."""
    if isinstance(facts, dict):
        return {name: plain(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [plain(value) for value in facts]
    if isinstance(facts, str):
        return canonical(facts) if facts.startswith(("http://", "https://")) else facts
    return int(facts) if isinstance(facts, float) and facts.is_integer() else facts


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return descriptions of the fields in which a request differs from an earlier one."""
    was, is_ = _flat(before), _flat(now)
    names = [name for name in dict.fromkeys([*was, *is_]) if plain(was.get(name)) != plain(is_.get(name))]
    return [f"{name} was {_json(was.get(name))} and is {_json(is_.get(name))}" for name in names]


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return settings with the form's labels, such as ``Language: English, Emojis: no, Minimum length: 20 s``."""
    named = ((name.rpartition(".")[2], value) for name, value in _flat(settings).items())
    return ", ".join(f"{_label(name)}: {_describe(name, value)}" for name, value in named)


def _label(name: str) -> str:
    return _TITLES.get(name) or name.replace("_", " ")


def _describe(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = LANGUAGES.get(value, str(value)) if name in ("language", "translate_to") else str(plain(value))
    if "://" in text:  # only the file name, because the address may be a secret
        text = PurePosixPath(urlsplit(shown(text)).path).name or "a picture"
    text = f"{text[:LONGEST_VALUE]}{'…' if len(text) > LONGEST_VALUE else ''}"
    return f"{text} {_UNITS[name]}" if name in _UNITS else text


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _json(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
