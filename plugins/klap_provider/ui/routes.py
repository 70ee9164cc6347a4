"""What the plugin's pages ask for beside Airflow's own API. Imported in the API server alone."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from klap_provider.airflow_internals.api_server import may_read_xcoms, signed_in
from klap_provider.errors import KlapError, KlapMissingFileError, KlapNotServedError
from klap_provider.ui import actions, delivered, desk, paid, waiting
from klap_provider.ui.player import send_video
from klap_provider.ui.run_view import as_json, run_view, tag_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

User = Annotated[Any, Depends(signed_in())]
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0)]
SHORT = "/dags/{dag_id}/runs/{run_id:path}/shorts/{project_id}"

#: The statuses of what a request for a file can fail with; of all else: 502.
_STATUSES: Mapping[type[KlapError], int] = {KlapMissingFileError: 404, KlapNotServedError: 403}

router = APIRouter()


def _permitted(dag_id: str, user: User) -> None:
    if not may_read_xcoms(user, [dag_id]):
        raise HTTPException(403, f"You may not read the XComs of the Dag {dag_id}, which say what was delivered.")


@router.get("/dags/{dag_id}/runs/{run_id:path}/shorts")
def shorts_of_run(request: Request, user: User, dag_id: str, run_id: str) -> Response:
    """Return all that the tab shows of a run; 304 if that is what the browser has."""
    body = as_json(run_view(user, dag_id, run_id))
    # A browser may keep it, and has to ask each time: permissions change, too.
    headers = {"ETag": tag_of(body), "Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.api_route(f"{SHORT}/video", methods=["GET", "HEAD"], dependencies=[Depends(_permitted)])
def video(request: Request, dag_id: str, run_id: str, project_id: str, download: bool = False) -> Response:
    """Send the video that a run has delivered of a short, or the part of it that is asked for."""
    file = delivered.video_of(dag_id, run_id, project_id)
    return send_video(file, request.headers, download=download, head=request.method == "HEAD")


@router.get(f"{SHORT}/texts", dependencies=[Depends(_permitted)])
def texts(dag_id: str, run_id: str, project_id: str) -> dict[str, Any]:
    """Return what to publish a delivered short with, from the file beside it."""
    return delivered.texts_of(dag_id, run_id, project_id)


class Watermark(BaseModel):
    """Another watermark than that of the run. What is not sent stays as the run has it."""

    model_config = ConfigDict(extra="forbid")

    src_url: str | None = None
    pos_x: float = 0.5
    pos_y: float = 0.5
    scale: float = 1


class FurtherExports(BaseModel):
    """Shorts of a run to be exported in a run of their own. The video's address stays on the server."""

    model_config = ConfigDict(extra="forbid")

    project_ids: list[str] = Field(min_length=1, max_length=1000)
    watermark: Watermark | None = None


@router.post("/dags/{dag_id}/runs/{run_id:path}/exports")
def export_more(request: Request, user: User, dag_id: str, run_id: str, wanted: FurtherExports) -> dict[str, str]:
    """Start the run that exports further shorts of a run's video."""
    mark = None if wanted.watermark is None else wanted.watermark.model_dump(exclude_unset=True)
    return actions.export_more(request, user, dag_id, run_id, project_ids=wanted.project_ids, watermark=mark)


def _run(run_dag_id: str | None = None, run_id: str | None = None) -> tuple[str, str] | None:
    """Return the run that is asked about, if one is."""
    return (run_dag_id, run_id) if run_dag_id and run_id else None


Run = Annotated[tuple[str, str] | None, Depends(_run)]


@router.get("/reviews")
def reviews(user: User) -> dict[str, Any]:
    """Return the reviews that nobody has answered yet."""
    return waiting.reviews(user)


@router.get("/videos")
def videos(user: User, batch: Run, limit: Limit = 25, offset: Offset = 0) -> dict[str, Any]:
    """Return runs, the newest first: all, or those of the videos of a batch."""
    return desk.videos(user, batch=batch, limit=limit, offset=offset)


@router.get("/shorts")
def shorts(
    user: User,
    search: str = "",
    dag_id: str | None = None,
    since: date = date.min,
    until: date = date.max,
    order_by: Annotated[str, Query(pattern=f"^-?({'|'.join(desk.ORDERS)})$")] = "-score",
    limit: Limit = 24,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Return delivered shorts."""
    return desk.shorts(
        user,
        search=search,
        dag_id=dag_id,
        since=since.isoformat(),
        until=until.isoformat(),
        order_by=order_by,
        limit=limit,
        offset=offset,
    )


@router.get("/money")
def money(user: User, since: date) -> dict[str, Any]:
    """Return what was paid from a day on."""
    return paid.money(user, since=since.isoformat())


@router.get("/payments")
def payments(
    user: User, run: Run, search: str = "", dag_id: str | None = None, limit: Limit = 25, offset: Offset = 0
) -> dict[str, Any]:
    """Return what was paid for, request by request, the newest first."""
    return paid.payments(user, search=search, dag_id=dag_id, run=run, limit=limit, offset=offset)


def say_fault(app: FastAPI) -> None:
    """Have an app answer with the words of what went wrong in the team's storage, as Airflow's own API words errors."""

    @app.exception_handler(KlapError)
    def answer(_: Request, fault: KlapError) -> Response:
        return JSONResponse({"detail": str(fault)}, _STATUSES.get(type(fault), 502))
