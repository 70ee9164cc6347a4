"""
The calls of Klap's API: method, path, body, and how to parse the response.

A :class:`Call` is only data. :class:`~klap_provider.hooks.client.KlapClient` sends it with requests, and the async
client with aiohttp. Both pass the response to :func:`~klap_provider.api.response_parser.parse_response`.

API: https://docs.klap.app/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from klap_provider.api.redaction import writable
from klap_provider.api.responses import Export, Project, Task, User, UserToken, accepted, entries
from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from klap_provider.api.requests import ExportRequest, ShortsRequest, VideoRequest

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    One API call.

    :param method: ``GET`` or ``POST``.
    :param path: path below the base URL, with quoted ids.
    :param parse: returns the result for the decoded JSON, or raises ``pydantic.ValidationError``.
    :param body: JSON object to send with a POST.
    :param query: query parameters of a GET.
    :param name: name of the function that created the call.
    :param returns_secret: whether the response is a secret, so that no error quotes it.
    """

    method: str
    path: str
    parse: Callable[[Any], T] = field(repr=False)
    body: dict[str, Any] | None = None
    query: dict[str, str] | None = None
    name: str = "other"
    returns_secret: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the call can be repeated. Each POST creates and bills a new job."""
        return self.method == "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_accepted_task = partial(accepted, Task)
_accepted_export = partial(accepted, Export)
_projects = partial(entries, Project)
_exports = partial(entries, Export)


def submit_shorts(request: ShortsRequest) -> Call[Task]:
    """``POST /tasks/video-to-shorts``. Billed."""
    return Call("POST", "/tasks/video-to-shorts", _accepted_task, request.body(), name="submit_shorts")


def submit_video(request: VideoRequest) -> Call[Task]:
    """``POST /tasks/video-to-video``. Billed."""
    return Call("POST", "/tasks/video-to-video", _accepted_task, request.body(), name="submit_video")


def get_task(klap_task_id: str) -> Call[Task]:
    """``GET /tasks/{task_id}``."""
    return Call("GET", f"/tasks/{_id('klap_task_id', klap_task_id)}", Task.model_validate, name="get_task")


def list_projects(folder_id: str) -> Call[list[Project]]:
    """``GET /projects/{folder_id}``: the shorts of a video-to-shorts task, in no defined order."""
    return Call("GET", f"/projects/{_id('folder_id', folder_id)}", _projects, name="list_projects")


def get_project(project_id: str, *, folder_id: str | None = None) -> Call[Project]:
    """``GET /projects/{folder_id}/{project_id}``, or ``/projects/{project_id}`` after video-to-video."""
    return Call("GET", _project_path(project_id, folder_id), Project.model_validate, name="get_project")


def create_export(request: ExportRequest, *, project_id: str, folder_id: str | None = None) -> Call[Export]:
    """``POST /projects/…/exports``. Billed each time, because Klap does not recognize repeated requests."""
    path = f"{_project_path(project_id, folder_id)}/exports"
    return Call("POST", path, _accepted_export, request.body(), name="create_export")


def get_export(export_id: str, *, project_id: str, folder_id: str | None = None) -> Call[Export]:
    """``GET /projects/…/exports/{export_id}``."""
    path = f"{_project_path(project_id, folder_id)}/exports/{_id('export_id', export_id)}"
    return Call("GET", path, Export.model_validate, name="get_export")


def list_exports(
    *, folder_id: str | None = None, project_id: str | None = None, ids: Collection[str] | None = None
) -> Call[list[Export]]:
    """
    ``GET /exports``, optionally for one folder or project.

    :param ids: ids of the exports to parse; None: all.
    """
    query = {"folder_id": folder_id, "project_id": project_id}
    return Call(
        "GET",
        "/exports",
        _exports if ids is None else partial(entries, Export, ids=ids),
        query={k: v for k, v in query.items() if v is not None},
        name="list_exports",
    )


def create_user() -> Call[User]:
    """``POST /users``: a new managed user."""
    return Call("POST", "/users", User.model_validate, {}, name="create_user")


def create_user_token(user_id: str) -> Call[UserToken]:
    """``POST /users/{user_id}/tokens``: a token for the embedded player of that user."""
    path = f"/users/{_id('user_id', user_id)}/tokens"
    return Call("POST", path, UserToken.model_validate, {}, name="create_user_token", returns_secret=True)


def _project_path(project_id: str, folder_id: str | None) -> str:
    project = _id("project_id", project_id)
    return f"/projects/{project}" if folder_id is None else f"/projects/{_id('folder_id', folder_id)}/{project}"


def _id(name: str, value: str) -> str:
    # A template renders a missing result as "None".
    if not isinstance(value, str) or not value.strip() or value in (".", "..", "None"):
        fix = "Set it to Klap's id, or correct the template that sets it."
        if isinstance(value, dict) and name in value:
            fix = f"Pass its field {name!r}."
        raise KlapInputError(f"Nothing was sent to Klap. {name} is {value!r}, which is not an id. {fix}")
    return quote(writable(value), safe="")
