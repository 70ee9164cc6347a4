"""A web server with feeds."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

#: Ends the polls of :class:`Hanging`.
RELEASE = threading.Event()


@dataclass(frozen=True)
class Hanging:
    """A source that hangs until :data:`RELEASE` is set."""

    is_polled = True

    def list(self) -> list[Any]:
        """Hang."""
        polls.append(threading.get_ident())
        RELEASE.wait(10)
        return []


#: The threads in which it was polled.
polls: list[int] = []

MEDIA = "https://media.invalid"


class Web(ThreadingHTTPServer):
    """Serves texts by path, and records the requests. Use as a context manager."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.pages: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.root = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    """Answers a GET."""

    server: Web

    def do_GET(self) -> None:
        """Send the page of the path, with or without the query."""
        self.server.asked.append((self.path, self.headers.get("X-Goog-Api-Key")))
        status, text = self.server.pages.get(self.path, self.server.pages.get(urlsplit(self.path).path, (404, "gone")))
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", text)
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def entry(
    number: int, *, guid: str | None = None, title: str | None = None, more: str = "", file: str = "", at: str = ""
) -> str:
    """Return an entry of a podcast, published at this time, or on this day of November 2026."""
    return (
        f"<item><guid isPermaLink='false'>{guid or f'urn:episode:{number}'}</guid><title>{title or number}</title>"
        f"<pubDate>{at or f'Mon, {number:02} Nov 2026 10:00:00 GMT'}</pubDate>{more}"
        f"<enclosure url='{file or f'{MEDIA}/{number}.mp4'}' type='video/mp4' length='1'/></item>"
    )


def rss(*entries: str) -> tuple[int, str]:
    """Return a response with a podcast."""
    names = "xmlns:itunes='http://www.itunes.com/dtds/podcast-1.0.dtd'"
    items = "".join(entries)
    return 200, f"<rss version='2.0' {names}><channel><title>Talks</title><link>{MEDIA}</link>{items}</channel></rss>"
