"""The cost of a run is calculated to the cent."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from klap_provider.errors import KlapConfigError
from klap_provider.hooks.connection import KlapConnection
from klap_provider.rules.cost import Cost, Prices, affordable, dollars, estimate

LIST = Prices()


def test_a_run_costs_its_video_every_generated_short_and_every_export() -> None:
    cost = Cost(LIST, input_videos=1, generated_shorts=10, exports=3)
    assert cost.total == Decimal("5.08")
    assert str(cost) == (
        "1 input video × $0.44 + 10 generated shorts × $0.32 + 3 exports × $0.48 = $5.08 (estimated prices)"
    )


def test_costs_are_added_without_rounding_errors() -> None:
    assert Cost(Prices(export=Decimal("0.001")), exports=1000).total == 1


def test_a_cost_as_json_has_numbers_and_its_prices() -> None:
    cost = Cost(Prices(Decimal("0.5"), Decimal("0.333"), Decimal("0.1"), estimated=False), 1, 2, 3)
    assert json.loads(json.dumps(cost.to_json())) == {
        "input_videos": 1,
        "generated_shorts": 2,
        "exports": 3,
        "total": 1.47,
        "currency": "USD",
        "prices": {"input_video": 0.5, "generated_short": 0.333, "export": 0.1},
        "estimated": False,
    }


def test_an_unknown_number_of_shorts_is_not_in_the_total() -> None:
    cost = Cost(LIST, 1, None, 0)
    assert (cost.to_json()["generated_shorts"], cost.to_json()["total"]) == (None, 0.44)
    assert "an unknown number of generated shorts" in str(cost)


@pytest.mark.parametrize(("max_exports", "exports"), [(None, 10), (3, 3), (10, 10), (25, 10)])
def test_the_maximum_cost_includes_every_export(max_exports: int | None, exports: int) -> None:
    assert estimate(LIST, shorts=10, max_exports=max_exports) == Cost(LIST, 1, 10, exports)


@pytest.mark.parametrize(
    ("budget", "count"), [("0", 0), ("3.64", 0), ("4.11", 0), ("4.12", 1), ("4.59", 1), ("4.60", 2), ("100", 200)]
)
def test_a_budget_covers_as_many_exports_as_fit(budget: str, count: int) -> None:
    assert affordable(Decimal(budget), Cost(LIST, 1, 10), LIST.export) == count


def test_free_exports_are_always_covered() -> None:
    assert affordable(Decimal(0), Cost(LIST, 1), Decimal(0)) is None


@pytest.mark.parametrize(
    ("amount", "words"), [("5.08", "$5.08"), ("5", "$5.00"), ("1234.5", "$1,234.50"), ("0.125", "$0.125")]
)
def test_an_amount_is_shown_in_cents_or_with_its_fractions(amount: str, words: str) -> None:
    assert dollars(Decimal(amount)) == words


def connection(**extra: Any) -> KlapConnection:
    stored = SimpleNamespace(
        conn_type="klap", host=None, schema=None, port=None, password="kak_test_key", extra=json.dumps(extra)
    )
    return KlapConnection.read("klap_default", stored)


@pytest.mark.parametrize("value", [0.1, "0.1", "0.10"])
def test_prices_of_a_connection_are_exact(value: Any) -> None:
    prices = connection(price_export=value).prices
    assert prices == Prices(export=Decimal("0.1"))
    assert prices.estimated, "the others are"


def test_prices_are_confirmed_only_if_all_are_set() -> None:
    prices = {"price_input_video": 0.44, "price_generated_short": 0.32, "price_export": 0}
    assert connection(**prices).prices == Prices(export=Decimal(0), estimated=False)
    assert "connection" in str(connection(**prices).prices)
    assert connection().prices == LIST


@pytest.mark.parametrize("value", ["free", "-1", -0.01, 1001, "nan", "inf", True, [1]])
def test_an_invalid_price_is_refused_by_name(value: Any) -> None:
    with pytest.raises(KlapConfigError, match="price_export of the connection 'klap_default' is "):
        _ = connection(price_export=value)
