"""The log of requests that ``GET /_sandbox/requests`` returns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

MAX_REQUESTS = 20_000
MAX_TEXT = 500
"""Maximum length of a logged path, query or header, in characters."""
MAX_IGNORED = 50
"""Maximum number of ignored fields that are logged for a request."""


def bearer_key(authorization: str | None) -> str | None:
    """Return the API key in an ``Authorization`` header; None if it has none."""
    scheme, _, key = (authorization or "").partition(" ")
    return (key.strip() or None) if scheme.lower() == "bearer" else None


def hash_key(key: str | None) -> str:
    """Return 12 hex digits that identify an API key; empty without a key. Keys themselves are never recorded."""
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else ""


@dataclass
class LoggedRequest:
    """One request.

    :param at: seconds since the epoch.
    :param key_hash: see :func:`hash_key`.
    :param fault: action of the fault that the request got.
    :param status: status code; None until the response begins, or without a response.
    :param seconds: time until the response began.
    :param ignored: fields of the body that were ignored, nested ones with dots.
    """

    method: str
    path: str
    query: str
    on_behalf_of: str | None
    at: float
    key_hash: str
    fault: str | None
    status: int | None = None
    seconds: float | None = None
    ignored: list[str] = field(default_factory=list)

    def set_ignored(self, names: list[str]) -> None:
        """Log ignored fields."""
        self.ignored = [name[:MAX_TEXT] for name in names[:MAX_IGNORED]]
        if len(names) > MAX_IGNORED:
            self.ignored.append("…")
