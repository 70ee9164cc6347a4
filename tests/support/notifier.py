"""A notifier that records what it sends, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from threading import Event


class Recorder(BaseNotifier):
    """
    Keeps the texts that it sends.

    :ivar failures: how often it fails before it works.
    :ivar until: what it waits for before it works.
    """

    template_fields = ("text",)

    def __init__(
        self, told: list[str], text: str = "{{ klap.text }}", *, failures: int = 0, until: Event | None = None
    ) -> None:
        super().__init__()
        self.told, self.text, self.failures, self.until = told, text, [None] * failures, until

    def notify(self, context: Any) -> None:
        """Keep the text."""
        if self.until is not None:
            self.until.wait()
        if self.failures:
            self.failures.pop()
            raise ConnectionError("refused https://hooks.example.com/T0?token=secret")
        self.told.append(self.text)
