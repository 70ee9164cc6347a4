"""``/_sandbox``: what tests and demonstrations look into, and where they order faults."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from klap_sandbox.api import TheDesk  # noqa: TC001  # FastAPI evaluates it
from klap_sandbox.faults import AnyFault  # noqa: TC001  # FastAPI evaluates it
from klap_sandbox.gate import CONTROL

router = APIRouter(prefix=CONTROL)


class Reset(BaseModel):
    """The least times of later jobs, in seconds; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    task_seconds: float | None = Field(None, ge=0)
    export_seconds: float | None = Field(None, ge=0)


@router.get("/ledger")
async def get_ledger(desk: TheDesk) -> list[dict[str, Any]]:
    """Every accepted POST that Klap would bill, oldest first."""
    return [asdict(entry) for entry in desk.store.ledger]


@router.get("/requests")
async def get_requests(desk: TheDesk) -> list[dict[str, Any]]:
    """Every request outside ``/_sandbox``, oldest first."""
    return [asdict(entry) for entry in desk.log]


@router.get("/faults")
async def get_faults(desk: TheDesk) -> list[dict[str, Any]]:
    """The faults still in force, with what is left of their counts."""
    return [fault.model_dump(mode="json") for fault in desk.book.faults]


@router.post("/faults")
async def post_faults(faults: list[AnyFault], desk: TheDesk) -> dict[str, int]:
    """Order more faults."""
    desk.book.faults.extend(faults)
    return {"faults": len(desk.book.faults)}


@router.delete("/faults")
async def delete_faults(desk: TheDesk) -> dict[str, int]:
    """Behave again. Jobs keep the fate that they were given."""
    desk.book.faults.clear()
    return {"faults": 0}


@router.post("/reset")
async def post_reset(desk: TheDesk, body: Reset | None = None) -> dict[str, float]:
    """Forget everything, and set the times of later jobs."""
    desk.reset()
    if body and body.task_seconds is not None:
        desk.task_seconds = body.task_seconds
    if body and body.export_seconds is not None:
        desk.export_seconds = body.export_seconds
    return {"task_seconds": desk.task_seconds, "export_seconds": desk.export_seconds}
