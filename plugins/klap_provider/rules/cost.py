"""
Calculate the cost of a run. Pure. Money is a ``Decimal``, so that sums are exact.

Klap publishes no price list, and its API has no prices. The defaults in :class:`Prices` are estimates. The connection
can have the prices of your account (``KlapConnection.prices`` in :mod:`klap_provider.hooks.connection`).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from klap_provider.xcoms import RunCost

#: Maximum number of shorts that Klap generates if the request sets none.
DEFAULT_SHORTS = 10


class Prices(NamedTuple):
    """Prices in US dollars. ``estimated``: whether one of them is a default, which Klap has not confirmed."""

    input_video: Decimal = Decimal("0.44")
    generated_short: Decimal = Decimal("0.32")
    export: Decimal = Decimal("0.48")
    estimated: bool = True

    def __str__(self) -> str:
        return "estimated prices" if self.estimated else "the connection's prices"


class Cost(NamedTuple):
    """Numbers of billed items, and their prices. ``generated_shorts`` None: not known."""

    prices: Prices
    input_videos: int = 0
    generated_shorts: int | None = 0
    exports: int = 0

    @property
    def total(self) -> Decimal:
        """Sum in US dollars, without shorts of an unknown number."""
        prices = self.prices
        return (
            self.input_videos * prices.input_video
            + (self.generated_shorts or 0) * prices.generated_short
            + self.exports * prices.export
        )

    def __str__(self) -> str:
        prices = self.prices
        parts = (
            (self.input_videos, "input video", prices.input_video),
            (self.generated_shorts, "generated short", prices.generated_short),
            (self.exports, "export", prices.export),
        )
        return f"{' + '.join(_part(*part) for part in parts)} = {dollars(self.total)} ({prices})"

    def to_json(self) -> RunCost:
        """Return the cost as it is in a manifest. The total is rounded to cents, the prices are not."""
        prices = self.prices
        return {
            "input_videos": self.input_videos,
            "generated_shorts": self.generated_shorts,
            "exports": self.exports,
            "total": float(_cents(self.total)),
            "currency": "USD",
            "prices": {name: float(getattr(prices, name)) for name in ("input_video", "generated_short", "export")},
            "estimated": prices.estimated,
        }


def estimate(prices: Prices, *, shorts: int, max_exports: int | None, input_videos: int = 1) -> Cost:
    """Return the maximum cost of a run. ``max_exports`` None: all shorts. ``input_videos``: also earlier ones."""
    return Cost(prices, input_videos, shorts, shorts if max_exports is None else min(shorts, max_exports))


def affordable(budget: Decimal, spent: Cost, price: Decimal) -> int | None:
    """Return how many more items a budget in US dollars covers; None: any number, because they are free."""
    if not price:
        return None
    return max(0, int((budget - spent.total) // price))


def dollars(amount: Decimal) -> str:
    """Return an amount as text, such as ``$5.08``, with fractions of a cent if it has any."""
    cents = _cents(amount)
    return f"${cents if cents == amount else amount:,}"


def _part(count: int | None, what: str, price: Decimal) -> str:
    if count is None:
        return f"an unknown number of {what}s × {dollars(price)}"
    return f"{count} {what}{'s' * (count != 1)} × {dollars(price)}"


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
