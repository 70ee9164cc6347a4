"""docs/airflow-settings.md names settings that Airflow has, and says of none that it is tested that is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from demo.airflow import ROOT
from tests.e2e.config.conftest import Elsewhere, OfATeam

if TYPE_CHECKING:
    from pathlib import Path

    from demo.airflow import LocalAirflow

#: First cell and last cell of each row.
ROWS = [
    (cells[0], cells[-1])
    for line in (ROOT / "docs" / "airflow-settings.md").read_text().splitlines()
    if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) > 2
]
NAMED = [(setting, tested) for row, tested in ROWS for setting in re.findall(r"\[(\w+)\] (\w+)", row)]


def variable(section: str, key: str) -> str:
    return f"AIRFLOW__{section}__{key}".upper()


def test_every_setting_is_one_of_airflows() -> None:
    from airflow.configuration import conf

    known = conf.configuration_description
    assert len(NAMED) > 40
    assert [setting for setting, _ in NAMED if setting[1] not in known.get(setting[0], {}).get("options", {})] == []


@pytest.mark.parametrize("word", ["elsewhere", "team"])
def test_every_setting_that_is_said_to_be_tested_is_set(word: str, tmp_path: Path) -> None:
    airflow: LocalAirflow
    if word == "elsewhere":
        airflow = Elsewhere(tmp_path, values=tmp_path, connections=tmp_path)
    else:
        airflow = OfATeam(tmp_path, values=tmp_path, dags=tmp_path, plugins=tmp_path, connections={})
    said = {row: re.findall(r"\[(\w+)\] (\w+)", row) for row, tested in ROWS if re.search(rf"\b{word}\b", tested)}
    assert len(said) > 10

    unset = {
        row for row, settings in said.items() if settings and not any(variable(*s) in airflow.env for s in settings)
    }

    assert unset == set()
