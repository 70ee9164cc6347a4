"""Whether there is a video at an address is checked before anything is paid, for single runs and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.errors import KlapInputError
from klap_provider.files.preflight import check_video, problems
from klap_provider.operators import SubmitShortsOperator, SubmitVideoOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    import fsspec

    from klap_provider.operators.video import KlapVideoOperator
    from tests.support.airflow_context import Played
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

SAMPLE = "^/sample.mp4$"
MP4 = {"Content-Type": "video/mp4"}

of_either = pytest.mark.parametrize("operator", [SubmitShortsOperator, SubmitVideoOperator])


def submit(operator: type[KlapVideoOperator], url: str, **fields: Any) -> Callable[[], KlapVideoOperator]:
    return lambda: operator(task_id="submit", source_video_url=url, **fields)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "HTTP 404"),
        (410, "HTTP 410"),
        (401, None),
        (403, None),
        (405, None),
        (416, None),
        (500, None),
        (503, None),
    ],
)
def test_an_address_is_refused_only_if_it_has_certainly_no_video(
    sandbox: Sandbox, status: int, reason: str | None
) -> None:
    sandbox.fault("GET", "/sample.mp4", "status", code=status)
    assert problems({sandbox.sample: True}).get(sandbox.sample) == reason


def test_an_unclear_response_does_not_refuse_the_video(sandbox: Sandbox) -> None:
    sandbox.fault("GET", "/sample.mp4", "drop")
    urls = [
        sandbox.sample,
        "https://talks.invalid/talk.mp4",
        "http://127.0.0.1:9/talk.mp4",
        "nowhere://bucket/talk.mp4",
    ]
    assert problems(dict.fromkeys([*urls, "https://youtu.be/00000000000"], True)) == {}


def test_an_object_that_is_not_in_its_storage_is_left_out(storage: fsspec.AbstractFileSystem) -> None:
    storage.pipe("/bucket/there.mp4", b"video")
    there, nowhere = "memory://bucket/there.mp4", "memory://bucket/nowhere.mp4"
    assert problems({there: True, nowhere: True}) == {nowhere: "there is no such object"}


@pytest.mark.parametrize(
    ("sent_as", "problem"),
    [
        ("text/html", "a web page (text/html)"),
        ("Text/HTML; charset=utf-8", "a web page (text/html)"),
        ("application/xhtml+xml", "a web page (application/xhtml+xml)"),
        ("image/png", "a picture (image/png)"),
        ("image/svg+xml", "a picture (image/svg+xml)"),
        ("application/pdf", "a document (application/pdf)"),
        ("application/json", "JSON (application/json)"),
        ("video/mp4", None),
        ("audio/mp4", None),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("application/mp4", None),
        ("application/vnd.apple.mpegurl", None),
        ("text/plain", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_content_type_that_is_certainly_no_video_is_refused(
    sandbox: Sandbox, sent_as: str, problem: str | None
) -> None:
    sandbox.fault("*", SAMPLE, "status", code=200, headers={"Content-Type": sent_as}, times=None)
    assert check_video(sandbox.sample, local=True).problem == problem


def test_a_redirect_is_followed_to_the_content(sandbox: Sandbox) -> None:
    sandbox.fault("*", "^/moved$", "redirect", location="/sample.mp4", times=None)
    sandbox.fault("*", "^/login$", "html", times=None)
    sandbox.fault("*", "^/private$", "redirect", location="/login", times=None)
    assert requests.get(sandbox.sample, timeout=60).ok  # rendering it takes longer than a check on a busy machine
    assert check_video(f"{sandbox.root}/moved", local=True) == (None, None)
    assert check_video(f"{sandbox.root}/private", local=True).problem == "a web page (text/html)"


def test_pages_that_klap_will_support_are_not_refused(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.fault("*", ".", "html", times=None)
    monkeypatch.setenv("http_proxy", sandbox.root)
    monkeypatch.delenv("no_proxy", raising=False)
    assert check_video("http://drive.google.com/uc?export=download&id=1", local=False).problem is None
    assert check_video("http://talks.example.com/watch", local=False).problem == "a web page (text/html)"


@of_either
@pytest.mark.parametrize(
    ("path", "fault", "expected"),
    [
        ("/gone.mp4", {}, "gone.mp4 is not a video: HTTP 404"),
        ("/sample.mp4", {"action": "html"}, "sample.mp4 is not a video: a web page"),
        ("/sample.mp4", {"action": "status", "code": 410}, "sample.mp4 is not a video: HTTP 410"),
        (
            "/sample.mp4?sig=s3cr3ts3cr3t",
            {"action": "status", "code": 200, "headers": {"Content-Type": "image/png"}},
            "is not a video: a picture",
        ),
    ],
)
def test_an_address_without_a_video_costs_nothing(
    klap: Sandbox, airflow: Airflow, operator: type[KlapVideoOperator], path: str, fault: dict[str, Any], expected: str
) -> None:
    if fault:
        klap.fault("*", SAMPLE, times=None, **fault)
    task = airflow(submit(operator, f"{klap.root}{path}"))
    with pytest.raises(KlapInputError, match=expected) as refused:
        task.run()
    assert "s3cr3t" not in str(refused.value)
    assert klap.ledger() == []
    assert [key for key in task.supervisor.ledger if not key.startswith("claim.")] == []


@of_either
@pytest.mark.parametrize(
    "fault", [{"action": "drop"}, {"action": "status", "code": 403}, {"action": "status", "code": 503}], ids=str
)
def test_an_address_that_cannot_be_checked_is_sent_with_a_warning(
    klap: Sandbox,
    airflow: Airflow,
    capsys: pytest.CaptureFixture[str],
    operator: type[KlapVideoOperator],
    fault: dict[str, Any],
) -> None:
    klap.fault("*", SAMPLE, times=None, **fault)
    airflow(submit(operator, klap.sample)).run()
    assert len(klap.ledger("task")) == 1
    assert f"{klap.sample} could not be checked from this worker: " in capsys.readouterr().out


def test_an_untested_airflow_version_logs_one_warning(
    klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = airflow(submit(SubmitShortsOperator, klap.sample))
    monkeypatch.setattr("klap_provider.operators.before_submission.version", lambda name: "3.5.0")
    task.run()
    task.run()
    assert capsys.readouterr().out.count("Airflow 3.5.0 was not tested with version ") == 1
    assert len(klap.ledger("task")) == 1


def test_a_paid_run_continues_although_the_video_was_deleted(klap: Sandbox, airflow: Airflow) -> None:
    task = airflow(submit(SubmitShortsOperator, klap.sample))
    first = task.run()
    klap.fault("*", SAMPLE, "status", code=404, times=None)
    assert task.run()["klap_task_id"] == first["klap_task_id"]
    assert len(klap.ledger("task")) == 1


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("talk.mp4", None),
        ("talk", None),
        ("logo.PNG", "its extension is that of a picture (image/png)"),
        ("index.html", "its extension is that of a web page (text/html)"),
        ("nowhere.mp4", "there is no such object"),
    ],
)
def test_an_object_in_storage_is_checked_by_its_file_name(
    storage: fsspec.AbstractFileSystem, name: str, problem: str | None
) -> None:
    storage.pipe(f"/bucket/{name.replace('nowhere', 'elsewhere')}", b"bytes")
    assert check_video(f"memory://bucket/{name}", local=True) == (problem, None)
