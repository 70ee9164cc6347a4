"""Endpoints below ``/_sandbox``: the ledger, the request log, faults and settings."""

from __future__ import annotations

from fastapi import APIRouter

from klap_sandbox.dependencies import StateDep
from klap_sandbox.fault_middleware import CONTROL
from klap_sandbox.faults import AnyFault
from klap_sandbox.request_log import LoggedRequest, hash_key
from klap_sandbox.responses import errors
from klap_sandbox.settings import Settings
from klap_sandbox.store import LedgerEntry

router = APIRouter(prefix=CONTROL, responses=errors(400, 422))


@router.get("/ledger")
async def get_ledger(state: StateDep, key: str | None = None) -> list[LedgerEntry]:
    """Return each accepted POST that Klap would bill, oldest first; with ``key``, those with this API key."""
    return [entry for entry in state.store.ledger.values() if key is None or entry.key_hash == hash_key(key)]


@router.get("/requests")
async def get_requests(state: StateDep, key: str | None = None) -> list[LoggedRequest]:
    """Return each request outside ``/_sandbox``, oldest first; with ``key``, those with this API key."""
    return [entry for entry in state.request_log if key is None or entry.key_hash == hash_key(key)]


@router.get("/faults")
async def get_faults(state: StateDep) -> list[AnyFault]:
    """Return the active faults, with what is left of their counts."""
    return state.faults


@router.post("/faults")
async def post_faults(faults: list[AnyFault], state: StateDep) -> dict[str, int]:
    """Add faults."""
    state.faults.extend(faults)
    return {"faults": len(state.faults)}


@router.delete("/faults")
async def delete_faults(state: StateDep, key: str | None = None) -> dict[str, int]:
    """Delete all faults; with ``key``, those for this API key. Those that jobs already have stay."""
    state.faults = [fault for fault in state.faults if key not in (None, fault.key)]
    return {"faults": len(state.faults)}


@router.get("/settings")
async def get_settings(state: StateDep) -> Settings:
    """Return the settings."""
    return state.settings


@router.post("/settings")
async def post_settings(state: StateDep, changes: Settings | None = None) -> Settings:
    """Change some settings."""
    state.settings = state.settings.changed(changes)
    return state.settings


@router.post("/reset")
async def post_reset(state: StateDep, changes: Settings | None = None) -> Settings:
    """Delete everything, and restore the settings of the start with these changes."""
    state.reset()
    state.settings = state.initial_settings.changed(changes)
    return state.settings
