"""
What a run costs at Klap. Pure, and exact: money is a ``Decimal`` until it becomes JSON.

Klap publishes no price list and its API tells no prices. The defaults here are second-hand; a connection can have the
prices of its account.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from klap_provider.xcoms import RunCost

CURRENCY = "USD"

#: Shorts that Klap makes at most unless it is told how many.
DEFAULT_CLIPS = 10


class Prices(NamedTuple):
    """
    US dollars for each thing that Klap bills.

    :param estimated: whether any of them is a default of this class, which nobody at Klap has confirmed.
    """

    input_video: Decimal = Decimal("0.44")
    generated_short: Decimal = Decimal("0.32")
    export: Decimal = Decimal("0.48")
    estimated: bool = True

    def __str__(self) -> str:
        return "estimated prices" if self.estimated else "the connection's prices"


class Cost(NamedTuple):
    """
    How many things are billed, and at what prices.

    :param input_videos: submissions of a video.
    :param generated_shorts: shorts that Klap makes of it; None where their number is not known.
    :param exports: shorts, or whole videos, rendered as a file.
    """

    prices: Prices
    input_videos: int = 0
    generated_shorts: int | None = 0
    exports: int = 0

    @property
    def total(self) -> Decimal:
        """US dollars for all of it; shorts of an unknown number are not in it."""
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
        """Return it as a manifest has it: the total rounded to cents, the prices as they are."""
        prices = self.prices
        return {
            "input_videos": self.input_videos,
            "generated_shorts": self.generated_shorts,
            "exports": self.exports,
            "total": float(_cents(self.total)),
            "currency": CURRENCY,
            "prices": {
                "input_video": float(prices.input_video),
                "generated_short": float(prices.generated_short),
                "export": float(prices.export),
            },
            "estimated": prices.estimated,
        }


def estimate(prices: Prices, *, clips: int, max_exports: int | None, input_videos: int = 1) -> Cost:
    """
    Return the most that a run can cost.

    :param clips: shorts that Klap makes at most.
    :param max_exports: how many of them are exported at most; None: all.
    :param input_videos: submissions of the video, with those that were paid for before.
    """
    return Cost(prices, input_videos, clips, clips if max_exports is None else min(clips, max_exports))


def affordable(budget: Decimal, spent: Cost, price: Decimal) -> int | None:
    """
    Return how many more things of that price the budget pays for beside what is spent; None: any number.

    :param budget: US dollars.
    """
    if not price:
        return None
    return max(0, int((budget - spent.total) // price))


def dollars(amount: Decimal) -> str:
    """Return an amount for a reader, in cents, and with fractions of a cent if it has any."""
    cents = _cents(amount)
    return f"${cents if cents == amount else amount:,}"


def _part(count: int | None, what: str, price: Decimal) -> str:
    if count is None:
        return f"an unknown number of {what}s × {dollars(price)}"
    return f"{count} {what}{'s' * (count != 1)} × {dollars(price)}"


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
