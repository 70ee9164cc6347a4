"""The ledger with a state store backend: payments are found, or their loss is detected."""

from __future__ import annotations

import contextlib
import gzip
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.airflow_internals.state_store import StateRow
from klap_provider.operators import ExportShortOperator, SubmitShortsOperator
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

BACKEND = "airflow.providers.common.io.state_store.backend.StateStoreObjectStorageBackend"

pytestmark = pytest.mark.usefixtures("in_doubt_window_over")


def forget_backend() -> None:
    """Let Airflow read its configuration again, which a worker process reads only once."""
    from airflow.providers.common.io.state_store import backend
    from airflow.sdk.execution_time import context

    context._get_worker_state_store_backend.cache_clear()
    for cached in (backend._get_base_path, backend._get_compression, backend._get_threshold):
        cached.cache_clear()


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Configure Airflow to store all values in a folder, and return the folder of the ledger's."""
    folder = tmp_path / "state store"
    monkeypatch.setenv("AIRFLOW__WORKERS__STATE_STORE_BACKEND", BACKEND)
    monkeypatch.setenv("AIRFLOW__COMMON_IO__STATE_STORE_OBJECTSTORAGE_PATH", f"file://{folder}")
    forget_backend()
    yield folder / "assets" / "klap_ledger"
    monkeypatch.undo()
    forget_backend()


def submit() -> SubmitShortsOperator:
    return SubmitShortsOperator(task_id="submit", source_video_url="https://example.com/talk.mp4")


def export(short: dict[str, Any]) -> Callable[[], ExportShortOperator]:
    return lambda: ExportShortOperator(task_id="export", project_id=short["id"], folder_id=short["folder_id"])


def test_a_paid_job_is_resumed_from_values_in_object_storage(
    airflow: Airflow,
    klap: Sandbox,
    make_shorts: Callable[..., list[dict[str, Any]]],
    values: Path,
    supervisor: Supervisor,
) -> None:
    [short] = make_shorts()
    before = len(klap.ledger())
    for task in (airflow(submit), airflow(export(short))):
        first = task.run()
        task.clear()
        again = task.run()
        assert {name: again[name] for name in ("paid", "submitted_at")} == {
            name: first[name] for name in ("paid", "submitted_at")
        }

    assert len(klap.ledger()) == before + 2
    assert [*values.iterdir()]
    assert all("__airflow_state_ref__" in row for row in supervisor.ledger.values()), "the database has references"


def test_nothing_is_paid_again_if_all_stored_values_are_missing(airflow: Airflow, klap: Sandbox, values: Path) -> None:
    task = airflow(submit)
    task.run()
    for file in values.iterdir():
        file.unlink()

    task.clear()
    with pytest.raises(LookupError, match="exists, but its value is missing"):
        task.run()

    assert len(klap.ledger()) == 1
    assert "Restore the value in the storage" in task.xcom("klap_error")["error"]


def test_the_ui_reads_only_the_object_of_the_row_itself(values: Path) -> None:
    values.mkdir(parents=True)
    other = values.parents[1] / "a dag" / "own"
    other.parent.mkdir()
    for file in (values / "own", values / "other", other):
        file.write_text('"read"')
    (values / "own.gz").write_bytes(gzip.compress(b'"compressed"'))

    def read(reference: str, key: str = "own") -> Any:
        stored = json.dumps({"__airflow_state_ref__": reference})
        return StateRow(LEDGER, key, stored, datetime.now(timezone.utc), None, None, None, None).value

    assert read(f"file://{values}/own") == "read"
    assert read(f"file://{values}/own.gz") == "compressed"
    assert read('"below the threshold"') == "below the threshold"
    for reference in (f"{values}/other", f"{values}/own/../other", f"{values}/%6fther", f"{values}/./own", str(other)):
        assert read(f"file://{reference}") is None
    assert read(f"file://{values}/own", "another") is None


@pytest.mark.parametrize("kind", ["submission", "export"])
def test_nothing_is_paid_again_if_one_stored_value_is_missing(
    airflow: Airflow, klap: Sandbox, make_shorts: Callable[..., list[dict[str, Any]]], values: Path, kind: str
) -> None:
    task = airflow(submit if kind == "submission" else export(make_shorts()[0]))
    task.run()
    paid, contents = len(klap.ledger()), {file: file.read_bytes() for file in values.iterdir()}
    assert len(contents) > 1

    for gone in contents:
        for file, content in contents.items():
            file.write_bytes(content)
        gone.unlink()
        task.clear()
        with contextlib.suppress(LookupError):
            task.run()
        assert len(klap.ledger()) == paid, f"paid again without {gone.name}"


def test_nothing_is_paid_again_if_a_value_was_partly_written(airflow: Airflow, klap: Sandbox, values: Path) -> None:
    task = airflow(submit)
    task.run()
    for file in values.iterdir():
        file.write_bytes(file.read_bytes()[:10])

    task.clear()
    with pytest.raises(LookupError, match="exists, but its value cannot be read"):
        task.run()

    assert len(klap.ledger()) == 1


def test_nothing_is_paid_again_by_a_worker_without_the_backend(
    airflow: Airflow, klap: Sandbox, values: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = airflow(submit)
    task.run()
    monkeypatch.delenv("AIRFLOW__WORKERS__STATE_STORE_BACKEND")
    forget_backend()

    task.clear()
    with pytest.raises(LookupError, match="Configure the same backend on every worker"):
        task.run()

    assert len(klap.ledger()) == 1


def test_a_job_paid_before_the_backend_was_configured_is_resumed(
    airflow: Airflow, klap: Sandbox, request: pytest.FixtureRequest
) -> None:
    task = airflow(submit)
    first = task.run()
    request.getfixturevalue("values")

    task.clear()

    assert task.run() == first
    assert len(klap.ledger()) == 1
