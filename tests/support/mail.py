"""A mail server on loopback."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from demo.airflow import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message as Mail


@contextmanager
def mail_server() -> Iterator[tuple[dict[str, Any], list[Mail]]]:
    """Give Airflow's connection to the server, and the mails that it received."""
    received: list[Mail] = []

    class Keep(Message):
        def handle_message(self, message: Mail) -> None:
            received.append(message)

    [port] = free_ports(1)
    server = Controller(Keep(), hostname="127.0.0.1", port=port)
    server.start()
    extra = {"disable_ssl": True, "disable_tls": True}
    yield {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}, received
    server.stop()


def text_of(mail: Mail) -> str:
    """Return the text of a mail."""
    return "".join(each.get_payload(decode=True).decode() for each in mail.walk() if not each.is_multipart())
