"""xcoms.py lists all XComs of the tasks, and the tab reads no others."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import pytest

from klap_provider import operators, sensors, xcoms
from klap_provider.airflow_internals.runs import Instance, Run
from klap_provider.selection_xcoms import ListedShort
from klap_provider.ui.batch import batch_of
from klap_provider.ui.facts import OF_A_BATCH, OF_A_RUN, PUBLISH, SELECT, VIDEO_RUN, Facts
from klap_provider.ui.run_details import details_of
from klap_provider.ui.server import STATIC
from klap_provider.ui.texts import STEPS

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {value for name, value in vars(xcoms).items() if name.endswith("_KEY")}
LISTS = {xcoms.SHORTS_KEY, xcoms.OUTCOME_KEY}


def sample(kind: Any) -> Any:
    """Return a value of a type."""
    if get_origin(kind) in (Union, types.UnionType):
        return sample(next(each for each in get_args(kind) if each is not type(None)))
    if hasattr(kind, "__required_keys__"):
        return {name: sample(each) for name, each in get_type_hints(kind).items()}
    if get_origin(kind) is list:
        return [sample(get_args(kind)[0])]
    return {str: "text", int: 1, float: 1.0, bool: False}.get(kind, {})


def left() -> dict[str, dict[str, Any]]:
    """Return the XComs of each operator, including those of a failure."""
    found = {}
    for operator, shapes in xcoms.XCOMS.items():
        values = {key: [sample(shape)] if key in LISTS else sample(shape) for key, shape in shapes.items()}
        if xcoms.SHORTS_KEY in values:
            values[xcoms.SHORTS_KEY] += [{**sample(ListedShort), "reason": None}]
        found[operator] = {**values, xcoms.ERROR_KEY: sample(xcoms.Failure)}
    return found


class Noting(dict[str, Any]):
    """A value that records which of its fields are read."""

    def __init__(self, value: dict[str, Any], fields: set[str]) -> None:
        super().__init__(value)
        self.fields = fields

    def get(self, name: str, default: Any = None) -> Any:
        self.fields.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.fields.add(name)
        return super().__getitem__(name)


def noting(value: Any, fields: set[str]) -> Any:
    if isinstance(value, list):
        return [noting(each, fields) for each in value]
    return Noting(value, fields) if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def tab() -> dict[str, Any]:
    """Return what the tab reads and requests: ``{"reads": {operator: {key: [field]}}, "asked": {operator: [key]}}``."""
    reads: dict[tuple[str, str], set[str]] = {}
    asked: set[tuple[str, str]] = set()

    def show(run_state: str, states: dict[str, str | None]) -> None:
        operators = {each: each for each in (*OF_A_RUN, *OF_A_BATCH) if each in states}
        there = [
            Instance(each, "d", "r", each, 0 if each in STEPS or each == VIDEO_RUN[0] else -1, each, states[each])
            for each in operators
        ]
        values = {
            (each.task_id, each.map_index, key): noting(value, reads.setdefault((each.operator, key), set()))
            for each in there
            for key, value in left()[each.operator].items()
        }

        class Asked(Facts):
            def xcom(self, instance: Instance | None, key: str) -> Any:
                value = super().xcom(instance, key)
                if instance is not None and value is not None:
                    asked.add((instance.operator, key))
                return value

        run = Run(1, "d", "r", run_state, "2026-01-01T00:00:00+00:00", None, None, None, {})
        facts = Asked(run, there, values)
        details_of(facts)
        batch_of(facts, {})

    everything: dict[str, str | None] = dict.fromkeys((*OF_A_RUN, *OF_A_BATCH), "success")
    for selecting in SELECT:
        some = {name: state for name, state in everything.items() if name not in SELECT or name == selecting}
        show("success", some)
        show("running", {**some, **dict.fromkeys(PUBLISH)})
        for failing in some:
            show("failed", {**some, failing: "failed"})
            without = {name: state for name, state in some.items() if name not in PUBLISH or name == failing}
            show("failed", {**without, failing: "failed"})
    found: dict[str, Any] = {"reads": {}, "asked": {}}
    for (operator, key), fields in reads.items():
        if fields:
            found["reads"].setdefault(operator, {})[key] = sorted(fields)
    for operator, key in sorted(asked):
        found["asked"].setdefault(operator, []).append(key)
    return found


def test_the_tab_reads_only_fields_that_are_written(tab: dict[str, Any]) -> None:
    unknown = [
        (operator, key, field)
        for operator, keys in tab["reads"].items()
        for key, fields in keys.items()
        for field in fields
        if field not in get_type_hints(xcoms.Failure if key == xcoms.ERROR_KEY else xcoms.XCOMS[operator][key])
    ]
    assert unknown == []


def test_the_tab_requests_only_keys_that_are_written(tab: dict[str, Any]) -> None:
    unknown = [
        (operator, key)
        for operator, keys in tab["asked"].items()
        for key in keys
        if key != xcoms.ERROR_KEY and key not in xcoms.XCOMS[operator]
    ]
    assert unknown == []


def test_every_kind_of_xcom_that_the_tab_shows_was_read(tab: dict[str, Any]) -> None:
    read = {key: set(fields) for keys in tab["reads"].values() for key, fields in keys.items()}
    shown = [xcoms.SHORTS_KEY, xcoms.OFFER_KEY, xcoms.OUTCOME_KEY, xcoms.COST_KEY, xcoms.REVIEW_KEY, xcoms.ERROR_KEY]
    assert {*shown, xcoms.RETURN_KEY, xcoms.LIST_KEY} == read.keys()
    assert {"path", "src_url", "size"} <= set(tab["reads"]["DeliverShortOperator"][xcoms.RETURN_KEY])


@pytest.mark.parametrize("module", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_no_module_of_the_ui_names_another_key(module: Path) -> None:
    named = set(re.findall(r"[\"'](klap_\w+)[\"']", module.read_text(encoding="utf-8")))
    assert named <= {*KEYS, xcoms.LEDGER, "klap_task_id"}, "the asset, and a field of the trigger form"


def test_every_operator_and_sensor_declares_its_xcoms() -> None:
    assert sorted(xcoms.XCOMS) == sorted([*operators.__all__, *sensors.__all__])


def test_xcom_keys_are_distinct() -> None:
    in_xcom = [xcoms.RETURN_KEY, xcoms.ERROR_KEY, xcoms.SHORTS_KEY, xcoms.OUTCOME_KEY, xcoms.LIST_KEY]
    in_store = [value for name, value in vars(xcoms).items() if name.endswith("_KEY") and value not in in_xcom]
    assert len(set(in_store)) == len(in_store)
