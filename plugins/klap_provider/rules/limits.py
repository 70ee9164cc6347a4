"""Models of the selection of shorts and of the budget of a run."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from klap_provider.api.requests import Request


class Selection(Request):
    """Which of the generated shorts to export."""

    limit: int | None = Field(
        None,
        ge=1,
        title="Shorts to export",
        description="Maximum number of shorts to export, best first. Klap generates and bills up to "
        "Maximum number of shorts in any case. Empty: all.",
    )
    min_virality_score: float = Field(
        0,
        ge=0,
        le=100,
        title="Minimum score",
        description="Shorts with a lower virality score (0 to 100) are not exported.",
    )
    without_score: Literal["leave_out", "export"] = Field(
        "leave_out",
        title="Shorts without a score",
        description="Whether shorts without a virality score are exported if a minimum score is set. They come after "
        "the others.",
        json_schema_extra={"values_display": {"leave_out": "Leave them out", "export": "Export them"}},
    )
    project_ids: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None,
        title="Just these shorts",
        description="Ids of shorts of the existing Klap task, one per line. Only these are exported, regardless of "
        "their score. Empty: the best shorts.",
    )


#: A Decimal, so that sums of money are exact.
Dollars = Annotated[Decimal, Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]


class Spending(Request):
    """The budget of a run."""

    budget: Dollars | None = Field(
        None,
        title="Budget",
        description="Maximum cost of one video and its exports, in US dollars. If the budget does not cover the video, "
        "its shorts and one export, nothing is sent. Exports that would exceed the budget are skipped, lowest score "
        "first. Empty: no limit.",
    )
    max_exports: int | None = Field(None, ge=1)
    submissions: int = Field(1, ge=0)
    reuse: bool = False
