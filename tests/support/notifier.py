"""A notifier that records what it sends, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from threading import Event


class Recorder(BaseNotifier):
    """
    Records the texts that it sends.

    :ivar sent: the texts.
    :ivar failures: number of failures before it works.
    :ivar until: the event that it waits for before it works.
    """

    template_fields = ("text",)

    def __init__(
        self, sent: list[str], text: str = "{{ klap.text }}", *, failures: int = 0, until: Event | None = None
    ) -> None:
        super().__init__()
        self.sent, self.text, self.failures, self.until = sent, text, [None] * failures, until

    def notify(self, context: Any) -> None:
        """Record the text."""
        if self.until is not None:
            self.until.wait()
        if self.failures:
            self.failures.pop()
            raise ConnectionError("refused https://hooks.example.com/T0?token=secret")
        self.sent.append(self.text)
