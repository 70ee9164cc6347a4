"""Which versions of Airflow are tested, and on which Pythons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from klap_provider.operators import before_submission
from tests import matrix

PROJECT = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()


def test_the_matrix_has_the_supported_airflow_versions() -> None:
    assert f'"apache-airflow>={next(iter(matrix.VERSIONS))}",' in PROJECT
    assert [*matrix.VERSIONS][-1] == matrix.NEWEST
    assert tuple(map(int, matrix.NEWEST.split(".")[:2])) == before_submission.NEWEST_AIRFLOW


def test_each_airflow_gets_a_python_that_it_supports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [each for each in matrix.PYTHONS if not matrix.supports(matrix.NEWEST, each)] == ["3.10"]
    assert all(matrix.supports(airflow, "3.10") for airflow in matrix.VERSIONS if airflow != matrix.NEWEST)
    monkeypatch.setattr(matrix, "THIS_PYTHON", "3.10")
    monkeypatch.setattr(matrix, "found_python", {"3.10": "/3.10", "3.11": None, "3.12": "/3.12"}.get)
    assert matrix.python_for(matrix.NEWEST) == "/3.12"
    monkeypatch.setattr(matrix, "found_python", {"3.10": "/3.10"}.get)
    assert matrix.python_for(matrix.NEWEST) is None


@pytest.mark.parametrize(
    ("version", "is_untested"),
    [("3.3.0", False), ("3.4.0b2", False), ("3.4.9", False), ("3.5.0.dev0", True), ("3.10.1", True), ("4.0.0", True)],
)
def test_an_airflow_of_a_newer_minor_version_is_untested(version: str, is_untested: bool) -> None:
    assert before_submission.is_untested(version) is is_untested


def test_the_package_has_no_upper_bound_for_airflow() -> None:
    assert re.findall(r'"apache-airflow(?:-core|-task-sdk)?[<>=~!].*"', PROJECT) == ['"apache-airflow>=3.3.0"']
