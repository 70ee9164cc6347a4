"""A task that ``execution_timeout`` ends pays once, and leaves no partial file."""

from __future__ import annotations

import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout

from klap_provider.errors import KlapSubmitPendingError, KlapSubmitUncertainError
from klap_provider.operators import DeliverShortOperator, ExportShortOperator, SubmitShortsOperator
from tests.support.videos import head_of_mp4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.airflow_context import Played
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    MakeShorts = Callable[..., list[dict[str, Any]]]


def time_out(run: Callable[[], Any], *, when: Callable[[], bool]) -> None:
    """Let ``execution_timeout`` end a try at a chosen moment, as Airflow does."""
    ended = threading.Event()

    def ring() -> None:
        while not ended.wait(0.05):
            if when():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
                return

    alarm = threading.Thread(target=ring)
    alarm.start()
    try:
        with pytest.raises(AirflowTaskTimeout), timeout(60):
            run()
    finally:
        ended.set()
        alarm.join()


class Slow(BaseHTTPRequestHandler):
    """Sends only the beginning of a video."""

    begun, over = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(head_of_mp4(1_000_000))
        self.wfile.flush()
        self.begun.set()
        self.over.wait(60)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def slow_video() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/video.mp4"
        Slow.over.set()
        server.shutdown()


def test_a_submission_is_not_sent_again(airflow: Airflow, klap: Sandbox) -> None:
    klap.fault("POST", "^/tasks/", "delay", seconds=60)
    task = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url="https://example.com/talk.mp4"))
    time_out(task.run, when=lambda: bool(klap.ledger("task")))
    assert task.xcom("klap_error")["type"] == "AirflowTaskTimeout"

    with pytest.raises((KlapSubmitPendingError, KlapSubmitUncertainError)):
        task.run()

    assert len(klap.ledger("task")) == 1


@pytest.mark.usefixtures("in_doubt_window_over")
def test_an_export_is_found_and_not_sent_again(airflow: Airflow, klap: Sandbox, make_shorts: MakeShorts) -> None:
    [short] = make_shorts()
    klap.fault("POST", "/exports$", "delay", seconds=60)
    task = airflow(lambda: ExportShortOperator(task_id="export", project_id=short["id"], folder_id=short["folder_id"]))
    time_out(task.run, when=lambda: bool(klap.ledger("export")))

    exported = task.run()

    (paid,) = klap.ledger("export")
    assert exported["export_id"] == paid["id"]


def test_a_delivery_leaves_no_partial_file(
    airflow: Airflow, klap: Sandbox, make_shorts: MakeShorts, slow_video: str, tmp_path: Path
) -> None:
    [short] = make_shorts()
    path = f"/projects/{short['folder_id']}/{short['id']}/exports"
    export = klap.call("POST", path).json()
    ready = {**klap.outcome(f"{path}/{export['id']}"), "src_url": slow_video}
    klap.fault("GET", "/exports/", "status", code=200, body=ready)
    task = airflow(
        lambda: DeliverShortOperator(
            task_id="deliver",
            export_id=export["id"],
            project_id=short["id"],
            folder_id=short["folder_id"],
            destination=str(tmp_path / "shorts"),
        )
    )
    time_out(task.run, when=Slow.begun.is_set)
    assert [*(tmp_path / "shorts").iterdir()] == []

    delivered = task.run()

    assert {file.suffix for file in (tmp_path / "shorts").iterdir()} == {".mp4", ".json"}
    assert delivered["export_id"] == export["id"]
