"""The log of requests that ``GET /_sandbox/requests`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_REQUESTS = 20_000
MAX_TEXT = 500
"""Maximum length of a logged path, query or header, in characters."""
MAX_IGNORED = 50
"""Maximum number of ignored fields that are logged for a request."""


@dataclass
class LoggedRequest:
    """One request.

    :param at: seconds since the epoch.
    :param fault: action of the fault that the request got.
    :param status: status code; None until the response begins, and if there is none.
    :param seconds: time until the response began.
    :param ignored: fields of the body that were ignored, nested ones with dots.
    """

    method: str
    path: str
    query: str
    on_behalf_of: str | None
    at: float
    fault: str | None
    status: int | None = None
    seconds: float | None = None
    ignored: list[str] = field(default_factory=list)

    def set_ignored(self, names: list[str]) -> None:
        """Log ignored fields."""
        self.ignored = [name[:MAX_TEXT] for name in names[:MAX_IGNORED]]
        if len(names) > MAX_IGNORED:
            self.ignored.append("…")
