"""The docs name only settings that Airflow has, and mark only tested settings as tested."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from demo.airflow import ROOT
from tests.e2e.config.conftest import Elsewhere, OfATeam

if TYPE_CHECKING:
    from pathlib import Path

    from demo.airflow import LocalAirflow

REFERENCE = (ROOT / "docs" / "reference" / "airflow-settings.md").read_text(encoding="utf-8")
EVIDENCE = (ROOT / "docs" / "evidence" / "tests.md").read_text(encoding="utf-8")


def named(text: str) -> list[tuple[str, str]]:
    """Return section and name of each setting that a text names."""
    return re.findall(r"`\[(\w+)\] (\w+)", text)


def test_every_setting_is_one_of_airflows_or_of_this_package() -> None:
    from airflow.configuration import conf

    known = conf.configuration_description
    assert len(set(named(REFERENCE))) > 40
    unknown = [(section, name) for section, name in named(REFERENCE + EVIDENCE) if name not in options(known, section)]
    assert unknown == []


def options(known: dict[str, dict[str, dict[str, object]]], section: str) -> dict[str, object]:
    return known.get(section, {}).get("options", {})


@pytest.mark.parametrize("word", ["elsewhere", "team"])
def test_every_setting_documented_as_tested_is_tested(word: str, tmp_path: Path) -> None:
    airflow: LocalAirflow
    if word == "elsewhere":
        airflow = Elsewhere(tmp_path, values=tmp_path, connections=tmp_path)
    else:
        airflow = OfATeam(tmp_path, values=tmp_path, dags=tmp_path, plugins=tmp_path, connections={})
    [row] = [line for line in EVIDENCE.splitlines() if line.startswith(f"| **{word}** |")]
    settings = named(row)
    assert len(settings) > 10

    unset = [each for each in settings if "AIRFLOW__{}__{}".format(*each).upper() not in airflow.env]

    assert unset == []
