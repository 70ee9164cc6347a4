"""
Answers without secrets: should Klap, or a proxy before it, repeat the key, its words end up in errors and XComs.

It is looked for in words, never in what the protocol is made of: ids, status words and the names of fields stay as
they are whatever the key is. In what an error says there is nothing of the protocol, however it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.api.answers import WRAPPERS, Export, JobStatus, Project, Task, User, UserToken
from klap_provider.api.public_form import writable

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRUBBED = "***"

#: Levels of a document that are read; what lies deeper means nothing.
DEEPEST = 40

_FIELDS = {
    "detail",
    *WRAPPERS,
    *(field for model in (Task, Export, Project, User, UserToken) for field in model.model_fields),
}
#: Fields that are no words for people. The token of a user is what was asked for.
_DATA = ("type", "output_type", "created_at", "external_access_token")
#: Fields that are quoted in errors with all that is in them.
_QUOTED = ("error_code", "error", "error_message", "message", "detail")

_WORDS = {word.value for word in JobStatus}


def scrubbed(document: Any, secrets: Iterable[str]) -> Any:
    """Return a decoded answer without the secrets in it, and of characters that can be written down alone."""
    return _scrubbed(document, tuple(secrets), DEEPEST, quoted=False)


def scrubbed_text(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets in it, and of characters that can be written down alone."""
    for secret in secrets:
        text = text.replace(secret, SCRUBBED)
    return writable(text)


def _scrubbed(value: Any, secrets: tuple[str, ...], levels: int, *, quoted: bool) -> Any:
    if isinstance(value, str):
        return scrubbed_text(value, secrets)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        return [_scrubbed(each, secrets, levels - 1, quoted=quoted) for each in value]
    return {
        name if not quoted and _is_of_the_protocol(name) else scrubbed_text(name, secrets): (
            writable(each)
            if isinstance(each, str) and not quoted and (_is_data(name) or (name == "status" and each in _WORDS))
            else _scrubbed(each, secrets, levels - 1, quoted=quoted or name in _QUOTED)
        )
        for name, each in value.items()
    }


def _is_of_the_protocol(name: str) -> bool:
    return name in _FIELDS or name.endswith("_id")


def _is_data(name: str) -> bool:
    return name in _DATA or name == "id" or name.endswith("_id")
