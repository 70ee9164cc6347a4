"""``/_sandbox``: what tests and demonstrations look into, and where they order faults and turn switches."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from klap_sandbox.api import TheDesk  # noqa: TC001  # FastAPI evaluates it
from klap_sandbox.faults import AnyFault  # noqa: TC001  # FastAPI evaluates it
from klap_sandbox.gate import CONTROL
from klap_sandbox.settings import Settings  # noqa: TC001  # FastAPI evaluates it

router = APIRouter(prefix=CONTROL)
Changes = Annotated[dict[str, Any] | None, Body()]


@router.get("/ledger")
async def get_ledger(desk: TheDesk) -> list[dict[str, Any]]:
    """Every accepted POST that Klap would bill, oldest first."""
    return [asdict(entry) for entry in desk.store.ledger.values()]


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


@router.get("/settings")
async def get_settings(desk: TheDesk) -> Settings:
    """The switches as they are."""
    return desk.settings


@router.post("/settings")
async def post_settings(desk: TheDesk, changes: Changes = None) -> Settings:
    """Turn some switches; the others stay as they are."""
    desk.settings = _changed(desk.settings, changes)
    return desk.settings


@router.post("/reset")
async def post_reset(desk: TheDesk, changes: Changes = None) -> Settings:
    """Forget everything; the switches are as they were at the start, but for those that are named."""
    settings = _changed(desk.settings_at_start, changes)
    desk.reset()
    desk.settings = settings
    return settings


def _changed(settings: Settings, changes: dict[str, Any] | None) -> Settings:
    try:
        return settings.changed(changes or {})
    except ValidationError as problem:
        raise RequestValidationError(
            [{**error, "loc": ("body", *error["loc"])} for error in problem.errors()]
        ) from None
