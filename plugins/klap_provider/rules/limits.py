"""What a run is bounded by beside Klap's own request: which of the shorts, and what they may cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from klap_provider.api.requests import Request


class Selection(Request):
    """Which of the generated shorts to go on with."""

    limit: int | None = Field(
        None, ge=1, title="Shorts to export", description="How many to export at most, best first. Empty: all."
    )
    min_virality_score: float = Field(
        0,
        ge=0,
        le=100,
        title="Lowest score",
        description="Shorts with a lower virality score (0 to 100) are not exported.",
    )
    without_score: Literal["leave_out", "export"] = Field(
        "leave_out",
        title="Shorts without a score",
        description="Whether shorts that Klap gave no virality score are exported where a lowest score is set. They "
        "come after those with a score.",
        json_schema_extra={"values_display": {"leave_out": "Leave them out", "export": "Export them, too"}},
    )
    project_ids: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None,
        title="Just these shorts",
        description="Ids of shorts of an existing Klap task, one per line: these are exported, and no others, whatever "
        "their score.",
    )


#: Exact, and the number that a person wrote, not the binary fraction nearest to it.
Dollars = Annotated[Decimal, Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]


class Spending(Request):
    """What a run may cost."""

    budget: Dollars | None = Field(
        None,
        title="Budget",
        description="US dollars that one video may cost, with its exports. If they may not do for the video and its "
        "clips, nothing is sent; then the best shorts are exported for which they do. Empty: no limit.",
    )
    max_exports: int | None = Field(None, ge=1)
    submissions: int = Field(1, ge=0)
    reuse: bool = False
