"""FastAPI dependencies of the endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.security import HTTPBearer

from klap_sandbox.faults import Fault
from klap_sandbox.request_log import LoggedRequest
from klap_sandbox.state import SandboxState
from klap_sandbox.store import Project

T = TypeVar("T")


async def get_state(request: Request) -> SandboxState:
    """Return the sandbox's state."""
    state: SandboxState = request.app.state.sandbox
    return state


StateDep = Annotated[SandboxState, Depends(get_state)]


async def check_key(request: Request, state: StateDep) -> None:
    """Accept any API key, up to the rate limit.

    :raises HTTPException: 401, 429.
    """
    entry: LoggedRequest = request.state.log_entry
    if not entry.key_hash:
        raise HTTPException(401, "No API key: send the header 'Authorization: Bearer <key>'.")
    if not state.is_within_rate(entry.key_hash):
        limit = state.settings.rate_limit
        raise HTTPException(429, f"More than {limit} requests in one second.", headers={"Retry-After": "1"})


async def set_created_code(request: Request, response: Response, state: StateDep) -> None:
    """Respond to POSTs with the status code of the settings."""
    if request.method == "POST":
        response.status_code = state.settings.created_code


async def get_base_url(request: Request) -> str:
    """Return the sandbox's address as the client wrote it, ending in a slash."""
    return str(request.base_url)


BaseUrlDep = Annotated[str, Depends(get_base_url)]


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    :param user: id of the managed user that the request acts for.
    :param key_hash: of the API key.
    :param fault: what the endpoint has to apply to this request.
    """

    user: str | None
    key_hash: str
    fault: Fault | None


async def get_caller(
    request: Request, state: StateDep, user_id: Annotated[str | None, Header(alias="X-On-Behalf-Of")] = None
) -> Caller:
    """Return who sent the request.

    :raises HTTPException: 403.
    """
    if user_id and user_id not in state.store.users:
        raise HTTPException(403, f"X-On-Behalf-Of: there is no managed user {user_id[:100]} here.")
    return Caller(user_id or None, request.state.log_entry.key_hash, getattr(request.state, "fault", None))


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_project(request: Request, state: StateDep, caller: CallerDep, project_id: str) -> Project:
    """Return the project in the request's path.

    :raises HTTPException: 404.
    """
    return found(state.project(request.path_params.get("folder_id"), project_id, caller.user), "project", project_id)


ProjectDep = Annotated[Project, Depends(get_project)]


async def _describe_folder_id(folder_id: str) -> None:
    """Do nothing. The OpenAPI document has the parameter."""


#: For the OpenAPI document only: check_key() checks the key, and get_project() reads the folder from the path.
BEARER = Depends(HTTPBearer(auto_error=False, description="any text"))
IN_FOLDER = Depends(_describe_folder_id)


def found(thing: T | None, kind: str, thing_id: str) -> T:
    """Return the thing.

    :raises HTTPException: 404, if it is None.
    """
    if thing is None:
        raise HTTPException(404, f"There is no {kind} {thing_id[:100]} here.")
    return thing
