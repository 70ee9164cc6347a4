"""The routes of the plugin, beside Airflow's own API. Imported only in the API server."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import JSONResponse, StreamingResponse

from klap_provider.airflow_internals.api_server import permitted, signed_in
from klap_provider.api.requests import Position, Scale
from klap_provider.errors import KlapError, KlapMissingFileError, KlapNotServedError
from klap_provider.ui import actions, delivered_files, delivered_shorts, ledger_payments, open_reviews, run_list
from klap_provider.ui import sources as watched
from klap_provider.ui.shorts_tab import as_json, etag_of, shorts_tab
from klap_provider.ui.texts import no_permission
from klap_provider.ui.video_response import video_response
from klap_provider.ui.zip_response import zip_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

User = Annotated[Any, Depends(signed_in)]
Limit = Annotated[int, Query(ge=1, le=1000)]
SHORT = "/dags/{dag_id}/runs/{run_id:path}/shorts/{project_id}"

#: The HTTP status of an error. Default: 502.
_STATUSES: Mapping[type[KlapError], int] = {KlapMissingFileError: 404, KlapNotServedError: 403}

router = APIRouter()


def _permitted(dag_id: str, user: User) -> None:
    if not permitted(user, [dag_id], "XCOM"):
        raise HTTPException(403, no_permission(f"read XComs of the Dag {dag_id}"))


@router.get("/dags/{dag_id}/runs/{run_id:path}/shorts")
def shorts_of_run(request: Request, user: User, dag_id: str, run_id: str) -> Response:
    """Return the data of the Shorts tab of a run; 304 if the browser has it."""
    body = as_json(shorts_tab(user, dag_id, run_id))
    # Browsers may cache the response, and must revalidate it each time: permissions change, too.
    headers = {"ETag": etag_of(body), "Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.api_route(f"{SHORT}/video", methods=["GET", "HEAD"], dependencies=[Depends(_permitted)])
def video(request: Request, dag_id: str, run_id: str, project_id: str, download: bool = False) -> Response:
    """Send the delivered video of a short, or the requested range of it."""
    file = delivered_files.video_of(dag_id, run_id, project_id)
    return video_response(file, request.headers, download=download, head=request.method == "HEAD")


@router.get("/dags/{dag_id}/runs/{run_id:path}/videos.zip", dependencies=[Depends(_permitted)])
def all_videos(dag_id: str, run_id: str) -> Response:
    """Send all delivered videos of a run as a ZIP file."""
    return zip_response(delivered_files.addresses_of(dag_id, run_id))


@router.get(f"{SHORT}/texts", dependencies=[Depends(_permitted)])
def texts(dag_id: str, run_id: str, project_id: str) -> dict[str, Any]:
    """Return the captions and the transcript of a delivered short."""
    return delivered_files.texts_of(dag_id, run_id, project_id)


class Watermark(BaseModel):
    """Changes to the watermark of the run. Fields that are not sent stay as they are."""

    model_config = ConfigDict(extra="forbid")

    src_url: str | None = None
    pos_x: Position = 0.5
    pos_y: Position = 0.5
    scale: Scale = 1


class FurtherExports(BaseModel):
    """Shorts to export in a new run. The address of the video stays on the server."""

    model_config = ConfigDict(extra="forbid")

    project_ids: list[str] = Field(min_length=1, max_length=1000)
    watermark: Watermark | None = None


class Task(BaseModel):
    """A task instance, as the tab shows it."""

    model_config = ConfigDict(extra="forbid")

    id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int


class Step(BaseModel):
    """The task instances to repeat."""

    tasks: list[Task] = Field(min_length=1, max_length=10)


class PaidRequest(BaseModel):
    """A paid request, as the tab shows it."""

    task: Task
    entry: str
    version: str


class Decision(BaseModel):
    """Continue with a job, or send the request again if there is no ``job_id``."""

    request: PaidRequest
    job_id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] | None


class Selection(BaseModel):
    """The selected shorts by project id, each with its option of the question."""

    task: Task
    options: dict[str, str]


@router.post("/dags/{dag_id}/runs/{run_id:path}/repetitions", status_code=204)
def repeat(user: User, dag_id: str, run_id: str, step: Step) -> None:
    """Clear the task instances of a step that failed."""
    actions.clear(user, dag_id, run_id, [task.model_dump() for task in step.tasks])


@router.post("/dags/{dag_id}/runs/{run_id:path}/decisions", status_code=204)
def decide(user: User, dag_id: str, run_id: str, decision: Decision) -> None:
    """Resolve a request in doubt, or export a short again."""
    actions.resolve(user, dag_id, run_id, decision.request.model_dump(), job_id=decision.job_id)


@router.post("/dags/{dag_id}/runs/{run_id:path}/answers", status_code=204)
def answer(user: User, dag_id: str, run_id: str, selection: Selection) -> None:
    """Answer a review."""
    actions.answer(user, dag_id, run_id, selection.task.model_dump(), selection.options)


@router.post("/dags/{dag_id}/runs/{run_id:path}/exports")
def export_more(request: Request, user: User, dag_id: str, run_id: str, wanted: FurtherExports) -> dict[str, str]:
    """Start the run that exports further shorts of a run's video."""
    watermark = None if wanted.watermark is None else wanted.watermark.model_dump(exclude_unset=True)
    return actions.export_more(request, user, dag_id, run_id, project_ids=wanted.project_ids, watermark=watermark)


def _days(since: date | None = None, until: date = date.max) -> dict[str, str]:
    """Return the first and the last UTC day of a period. Default: the last 30 days."""
    first = since or datetime.now(timezone.utc).date() - timedelta(days=29)
    return {"since": first.isoformat(), "until": until.isoformat()}


Days = Annotated[dict[str, str], Depends(_days)]


@router.get("/reviews")
def reviews(user: User) -> dict[str, Any]:
    """Return the open reviews."""
    return open_reviews.open_reviews(user)


@router.get("/sources")
def sources(user: User) -> dict[str, Any]:
    """Return the watched sources."""
    return watched.sources(user)


@router.get("/videos")
def videos(
    user: User,
    search: str = "",
    state: str | None = None,
    order_by: Annotated[str, Query(pattern="^(-at|at|name|-cost)$")] = "-at",
    limit: Limit = 25,
) -> dict[str, Any]:
    """Return runs, by default the newest. Those of the videos of a batch are in its row."""
    return run_list.videos(user, limit=limit, search=search, state=state, order_by=order_by)


@router.get("/shorts")
def shorts(
    user: User,
    days: Days,
    search: str = "",
    dag_id: str | None = None,
    order_by: Annotated[str, Query(pattern=f"^-?({'|'.join(delivered_shorts.ORDERS)})$")] = "-score",
    limit: Limit = 24,
) -> dict[str, Any]:
    """Return the delivered shorts of a period."""
    return delivered_shorts.shorts(user, search=search, dag_id=dag_id, order_by=order_by, limit=limit, **days)


@router.get("/spending")
def spending(user: User, days: Days) -> dict[str, Any]:
    """Return the cost of a period, by day and by Dag."""
    return ledger_payments.spending(user, **days)


def _wanted(
    user: User,
    days: Days,
    search: str = "",
    dag_id: str | None = None,
    run_dag_id: str | None = None,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Return the arguments of the functions that read payments."""
    run = (run_dag_id, run_id) if run_dag_id and run_id else None
    return {"user": user, "search": search, "dag_id": dag_id, "run": run, **days}


Wanted = Annotated[dict[str, Any], Depends(_wanted)]


@router.get("/payments")
def payments(wanted: Wanted, limit: Limit = 25) -> dict[str, Any]:
    """Return the paid requests of a period or of a run, newest first."""
    return ledger_payments.payments(limit=limit, **wanted)


@router.get("/payments/export")
def export_payments(wanted: Wanted, format: Literal["csv", "jsonl"] = "csv") -> Response:
    """Send all paid requests of a period or of a run, as a file."""
    text = ledger_payments.exported(as_csv=format == "csv", **wanted)
    name = f'attachment; filename="klap-payments.{format}"'
    media_type = "text/csv; charset=utf-8" if format == "csv" else "application/jsonl"
    return StreamingResponse(text, media_type=media_type, headers={"Content-Disposition": name})


def add_error_handler(app: FastAPI) -> None:
    """Make an app return errors in the shape of Airflow's own API errors."""

    @app.exception_handler(KlapError)
    def respond(_: Request, error: KlapError) -> Response:
        return JSONResponse({"detail": str(error)}, _STATUSES.get(type(error), 502))

    @app.exception_handler(RequestValidationError)
    def refuse(_: Request, invalid: RequestValidationError) -> Response:
        # FastAPI's own response repeats the given values, and JSON has no NaN.
        problems = [{name: each[name] for name in ("loc", "msg", "type")} for each in invalid.errors()]
        return JSONResponse({"detail": problems}, 422)
