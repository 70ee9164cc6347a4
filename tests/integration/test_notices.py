"""Notices: notifiers are called once per event, and never fail a run."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from demo.airflow import free_ports
from klap_provider.errors import KlapIncompleteError, KlapServerError
from klap_provider.operators import PublishShortsOperator, notices
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message as Mail
    from pathlib import Path

    from airflow.sdk import BaseNotifier

    from tests.support.airflow_context import Played, Supervisor

VIDEO = "https://example.com/talk.mp4"
SHORT = {
    "project_id": "project0",
    "folder_id": "folder01",
    "short_name": "A short",
    "virality_score": 90,
    "explanation": None,
    "preview_url": "https://klap.app/player/project0",
    "duration": 30.0,
}
FILE = {
    "project_id": "project0",
    "export_id": "export00",
    "path": "file:///data/0.mp4",
    "size": 1000,
    "sha256": "0" * 64,
    "sidecar": "file:///data/0.json",
    "src_url": None,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")


@pytest.fixture
def publish(airflow: Callable[..., Played], supervisor: Supervisor, tmp_path: Path) -> Callable[..., Played]:
    """Make the publish task of a run with one short."""

    def task(*notifiers: BaseNotifier, delivered: bool = True, failure: dict[str, Any] | None = None) -> Played:
        supervisor.states |= {"submit": "success", "deliver_0": "success" if delivered else "failed"}
        if delivered:
            supervisor.put_xcom("deliver", FILE, map_index=0)
        if failure:
            supervisor.put_xcom("deliver", {"project_id": "project0", **failure}, "klap_error", map_index=0)

        def make() -> PublishShortsOperator:
            operator = PublishShortsOperator(
                task_id="publish",
                steps=["deliver"],
                shorts=[SHORT],  # type: ignore[list-item]  # as rendered
                source_video_url=VIDEO,
                klap_task_id="task000000000000",
                folder_id="folder01",
                destination=str(tmp_path),
                notifiers=notifiers,
            )
            EmptyOperator(task_id="submit") >> EmptyOperator(task_id="deliver") >> operator
            return operator

        return airflow(make)

    return task


def rows(supervisor: Supervisor) -> list[dict[str, Any]]:
    return [json.loads(row) for key, row in supervisor.ledger.items() if key.startswith("notice.")]


def test_a_finished_run_is_notified_once(publish: Callable[..., Played], supervisor: Supervisor) -> None:
    sent: list[str] = []
    task = publish(Recorder(sent))
    task.run()
    task.run()
    (text,) = sent
    assert text.splitlines() == [
        "Klap: 1 delivered, example.com/talk.mp4",
        "• A short",
        "https://airflow.example.com/dags/videos/runs/monday/plugin/shorts",
    ]
    (row,) = rows(supervisor)
    assert (row["event"], row["run"], row["errors"]) == ("run_finished", "videos monday", [])


def test_a_notice_lists_ten_names() -> None:
    lines = notices.name_lines([{"short_name": str(number)} for number in range(12)]).splitlines()
    assert lines == [*(f"• {number}" for number in range(10)), "and 2 more"]


def test_a_failed_run_and_its_later_success_are_notified(publish: Callable[..., Played]) -> None:
    sent: list[str] = []
    failed = {"error": "Klap has no such export.", "type": "KlapNotFoundError"}
    with pytest.raises(KlapIncompleteError):
        publish(Recorder(sent), delivered=False, failure=failed).run()
    publish(Recorder(sent)).run()
    assert len(sent) == 2
    assert sent[0].startswith("Klap delivered 0 of 1 shorts of example.com/talk.mp4\n")
    assert "Klap has no such export" in sent[0]
    assert sent[1].startswith("Klap: 1 delivered")


@pytest.mark.parametrize(
    ("failure", "event"),
    [
        ({"error": "Pay.", "type": "KlapCreditsError"}, "credit_used_up"),
        ({"error": "Wait.", "type": "KlapLimitError"}, "limit_reached"),
        (
            {"error": "Decide.", "type": "KlapSubmitUncertainError", "open_decision": {"entry": "export.a.0"}},
            "decision_needed",
        ),
        ({"error": "Gone.", "type": "KlapNotFoundError"}, "run_failed"),
    ],
)
def test_the_event_of_a_notice_names_the_action(
    publish: Callable[..., Played], failure: dict[str, Any], event: str
) -> None:
    sent: list[str] = []
    with pytest.raises(KlapIncompleteError):
        publish(Recorder(sent, "{{ klap.event }}"), delivered=False, failure=failure).run()
    assert sent == [event]


@pytest.mark.parametrize(
    ("failure", "try_number", "is_final"),
    [
        (KlapServerError("502", status=502), 1, False),
        (KlapServerError("502", status=502), 4, True),
        (KlapIncompleteError("missing"), 1, True),
        (AirflowSensorTimeout("two hours"), 1, True),
        (AirflowFailException("never"), 1, True),
        (ValueError("a defect"), 1, False),
    ],
)
def test_a_failure_is_notified_when_airflow_does_not_retry_it(
    publish: Callable[..., Played], failure: Exception, try_number: int, is_final: bool
) -> None:
    context: Any = {"ti": SimpleNamespace(try_number=try_number, max_tries=3)}
    with DAG("videos", schedule=None):
        operator: Any = publish().make()
    assert operator.is_final(context, failure) is is_final


def test_a_failing_notifier_is_retried(publish: Callable[..., Played], supervisor: Supervisor) -> None:
    sent: list[str] = []
    publish(Recorder(sent, failures=2)).run()
    assert len(sent) == 1
    assert rows(supervisor)[0]["errors"] == []


def test_a_notifier_that_keeps_failing_does_not_fail_the_task(
    publish: Callable[..., Played], supervisor: Supervisor
) -> None:
    sent: list[str] = []
    task = publish(Recorder([], failures=9), Recorder(sent))
    assert task.run()["delivered"] == 1
    assert len(sent) == 1
    (error,) = rows(supervisor)[0]["errors"]
    assert error == "Recorder: ConnectionError, see the task's log", "the text may have a secret"
    assert supervisor.xcom("publish", "klap_notice")["errors"] == [error]
    task.run()  # a clear notifies nobody again, and the tab still shows the error
    assert len(sent) == 1
    assert supervisor.xcom("publish", "klap_notice")["errors"] == [error]


def test_a_hanging_notifier_does_not_delay_the_run(
    publish: Callable[..., Played], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "PATIENCE", 0.2)
    sent: list[str] = []
    until = threading.Event()
    publish(Recorder([], until=until), Recorder(sent)).run()
    until.set()
    assert len(sent) == 1
    assert rows(supervisor)[0]["errors"] == ["Recorder: no answer within 0.2 s"]


def test_a_notice_without_a_ledger_does_not_fail_the_task(
    publish: Callable[..., Played], supervisor: Supervisor
) -> None:
    from airflow.sdk.execution_time import comms

    supervisor.broken = (comms.SetAssetStateStoreByName,)
    sent: list[str] = []
    assert publish(Recorder(sent)).run()["delivered"] == 1
    assert sent == []


def test_the_connection_can_name_notifiers(
    publish: Callable[..., Played], monkeypatch: pytest.MonkeyPatch, mail: list[Mail]
) -> None:
    notifier = {
        "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
        "to": "team@example.com",
        "from_email": "airflow@example.com",
        "subject": "{{ klap.title }}",
        "html_content": "{{ klap.text }}",
    }
    setting = {"conn_type": "klap", "password": "kak_test_V3rySecretKey", "extra": {"notifiers": [notifier]}}
    monkeypatch.setenv("AIRFLOW_CONN_KLAP_DEFAULT", json.dumps(setting))
    publish().run()
    assert [each["Subject"] for each in mail] == ["Klap: 1 delivered, example.com/talk.mp4"]


@pytest.mark.parametrize("path", ["os.system", "no.such.Notifier", "klap_provider.errors.KlapError", ""])
def test_an_invalid_notifier_of_the_connection_does_not_fail_the_task(
    publish: Callable[..., Played], monkeypatch: pytest.MonkeyPatch, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    setting = {"conn_type": "klap", "password": "kak_test_V3rySecretKey", "extra": {"notifiers": [{"notifier": path}]}}
    monkeypatch.setenv("AIRFLOW_CONN_KLAP_DEFAULT", json.dumps(setting))
    assert publish().run()["delivered"] == 1


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Mail]]:
    """A mail server on loopback, as the connection ``smtp_default``; yields the mails that it received."""
    received: list[Mail] = []

    class Keep(Message):
        def handle_message(self, message: Mail) -> None:
            received.append(message)

    (port,) = free_ports(1)
    server = Controller(Keep(), hostname="127.0.0.1", port=port)
    server.start()
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "extra": {"disable_ssl": True, "disable_tls": True},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    yield received
    server.stop()


def test_a_mail_has_the_text_and_the_address(publish: Callable[..., Played], mail: list[Mail]) -> None:
    notifier = SmtpNotifier(
        to="team@example.com",
        from_email="airflow@example.com",
        subject="{{ klap.title }}",
        html_content="<a href='{{ klap.url }}'>{{ klap.title }}</a><pre>{{ klap.body }}</pre>",
    )
    publish(notifier).run()
    (received,) = mail
    text = b"".join(part.get_payload(decode=True) or b"" for part in received.walk()).decode()
    assert received["Subject"] == "Klap: 1 delivered, example.com/talk.mp4"
    assert "https://airflow.example.com/dags/videos/runs/monday/plugin/shorts" in text
    assert "• A short" in text


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Run a server with the protocol of Slack's webhooks, as the connection ``slack``; yield its messages."""
    received: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = {
        "conn_type": "slackwebhook",
        "host": f"http://127.0.0.1:{server.server_port}/services",
        "password": "T000/B000/not-a-real-token",
    }
    monkeypatch.setenv("AIRFLOW_CONN_SLACK", json.dumps(connection))
    yield received
    server.shutdown()
    server.server_close()


def test_slack_gets_a_message(publish: Callable[..., Played], slack: list[dict[str, Any]]) -> None:
    publish(SlackWebhookNotifier(slack_webhook_conn_id="slack", text="{{ klap.text }}")).run()
    (message,) = slack
    assert message["text"].startswith(
        "Klap: 1 delivered, example.com/talk.mp4\n• A short\nhttps://airflow.example.com/"
    )
