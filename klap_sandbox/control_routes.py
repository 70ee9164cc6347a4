"""Endpoints below ``/_sandbox``: the ledger, the request log, faults and settings."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from klap_sandbox.dependencies import StateDep
from klap_sandbox.fault_middleware import CONTROL
from klap_sandbox.faults import AnyFault
from klap_sandbox.request_log import LoggedRequest
from klap_sandbox.settings import Settings
from klap_sandbox.store import LedgerEntry

router = APIRouter(prefix=CONTROL)
Changes = Annotated[dict[str, Any] | None, Body()]


@router.get("/ledger")
async def get_ledger(state: StateDep) -> list[LedgerEntry]:
    """Return each accepted POST that Klap would bill, oldest first."""
    return list(state.store.ledger.values())


@router.get("/requests")
async def get_requests(state: StateDep) -> list[LoggedRequest]:
    """Return each request outside ``/_sandbox``, oldest first."""
    return list(state.request_log)


@router.get("/faults")
async def get_faults(state: StateDep) -> list[dict[str, Any]]:
    """Return the active faults, with what is left of their counts."""
    return [fault.model_dump(mode="json") for fault in state.faults]


@router.post("/faults")
async def post_faults(faults: list[AnyFault], state: StateDep) -> dict[str, int]:
    """Add faults."""
    state.faults.extend(faults)
    return {"faults": len(state.faults)}


@router.delete("/faults")
async def delete_faults(state: StateDep) -> dict[str, int]:
    """Delete all faults. Those that jobs already have stay."""
    state.faults.clear()
    return {"faults": 0}


@router.get("/settings")
async def get_settings(state: StateDep) -> Settings:
    """Return the settings."""
    return state.settings


@router.post("/settings")
async def post_settings(state: StateDep, changes: Changes = None) -> Settings:
    """Change some settings."""
    state.settings = _changed(state.settings, changes)
    return state.settings


@router.post("/reset")
async def post_reset(state: StateDep, changes: Changes = None) -> Settings:
    """Delete everything, and restore the settings of the start with these changes."""
    settings = _changed(state.initial_settings, changes)
    state.reset()
    state.settings = settings
    return settings


def _changed(settings: Settings, changes: dict[str, Any] | None) -> Settings:
    try:
        return settings.changed(changes or {})
    except ValidationError as problem:
        raise RequestValidationError(
            [{**error, "loc": ("body", *error["loc"])} for error in problem.errors()]
        ) from None
