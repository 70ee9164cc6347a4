"""FastAPI dependencies of the endpoints."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Depends, Header, HTTPException, Request, Response

from klap_sandbox.faults import Fault
from klap_sandbox.state import SandboxState
from klap_sandbox.store import Project

T = TypeVar("T")


async def get_state(request: Request) -> SandboxState:
    """Return the sandbox's state."""
    state: SandboxState = request.app.state.sandbox
    return state


StateDep = Annotated[SandboxState, Depends(get_state)]


async def check_key(authorization: Annotated[str, Header()] = "") -> None:
    """Accept any API key.

    :raises HTTPException: 401.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise HTTPException(401, "No API key: send the header 'Authorization: Bearer <key>'.")


async def set_created_code(request: Request, response: Response, state: StateDep) -> None:
    """Respond to POSTs with the status code of the settings."""
    if request.method == "POST":
        response.status_code = state.settings.created_code


async def get_fault(request: Request) -> Fault | None:
    """Return the fault that the endpoint has to apply."""
    return getattr(request.state, "fault", None)


async def get_base_url(request: Request) -> str:
    """Return the sandbox's address as the client wrote it, ending in a slash."""
    return str(request.base_url)


async def get_user(
    state: StateDep, user_id: Annotated[str | None, Header(alias="X-On-Behalf-Of")] = None
) -> str | None:
    """Return the id of the managed user that the request acts for.

    :raises HTTPException: 403.
    """
    if user_id and user_id not in state.store.users:
        raise HTTPException(403, f"X-On-Behalf-Of: there is no managed user {user_id[:100]} here.")
    return user_id or None


FaultDep = Annotated["Fault | None", Depends(get_fault)]
BaseUrlDep = Annotated[str, Depends(get_base_url)]
UserDep = Annotated["str | None", Depends(get_user)]


async def get_project(request: Request, state: StateDep, user: UserDep) -> Project:
    """Return the project in the request's path.

    :raises HTTPException: 404.
    """
    path = request.path_params
    return found(state.project(path.get("folder_id"), path["project_id"], user), "project", path["project_id"])


ProjectDep = Annotated[Project, Depends(get_project)]


def found(thing: T | None, kind: str, thing_id: str) -> T:
    """Return the thing.

    :raises HTTPException: 404, if it is None.
    """
    if thing is None:
        raise HTTPException(404, f"There is no {kind} {thing_id[:100]} here.")
    return thing
