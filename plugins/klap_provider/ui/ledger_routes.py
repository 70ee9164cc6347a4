"""
The routes for archives of the ledger. Tasks call them, because a worker cannot list the rows.

A user who may read or edit assets may do the same with all rows in Airflow's own API.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from klap_provider.airflow_internals.api_server import dags_of_asset, may_access_asset, permitted, signed_in
from klap_provider.airflow_internals.state_store import StateRow, id_of
from klap_provider.airflow_internals.state_store_archive import delete_unchanged, insert_missing
from klap_provider.airflow_internals.task_actions import transaction
from klap_provider.rules.retention import needed_by_row
from klap_provider.ui import ledger_archive
from klap_provider.ui.texts import no_permission
from klap_provider.xcoms import LEDGER

User = Annotated[Any, Depends(signed_in)]
Limit = Annotated[int, Query(ge=1, le=20_000)]


class Writer(BaseModel):
    """The task that last wrote a row."""

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None


class Row(BaseModel):
    """A row of an archive. Unknown fields are ignored."""

    key: str = Field(min_length=1, max_length=512)
    value: Any
    at: AwareDatetime
    by: Writer | None = None


Rows = Annotated[list[Row], Body(max_length=2000)]


def _may(method: str, verb: str) -> Any:
    """Return the dependency that requires a permission for the asset."""

    def check(user: User) -> None:
        if not may_access_asset(user, LEDGER, method=method):
            raise HTTPException(403, no_permission(f"{verb} assets"))

    return Depends(check)


router = APIRouter(prefix="/ledger")


@router.get("/rows", dependencies=[_may("GET", "read")])
def rows(after: str = "", limit: Limit = 2000) -> Response:
    """Return the rows after a key, as JSON lines; none after the last one."""
    return Response(ledger_archive.every_row(after=after, limit=limit), media_type="application/jsonl")


@router.get("/unneeded", dependencies=[_may("GET", "read")])
def unneeded(before: AwareDatetime, forget_before: AwareDatetime | None = None, limit: Limit = 2000) -> Response:
    """Return rows that nothing needs any more, as JSON lines; none if there are no such rows."""
    found = ledger_archive.unneeded_rows(before=before, forget_before=forget_before, limit=limit)
    return Response(found, media_type="application/jsonl")


@router.post("/delete", dependencies=[_may("DELETE", "delete")])
def delete(rows: Rows) -> dict[str, int]:
    """Delete rows that have not changed since they were read, without those of a request that was made again."""
    with transaction() as session:
        archived = {row.key: (row.value, row.at) for row in rows}
        needed_by = {row.key: needed_by_row(row.key, row.value) for row in rows}
        return {"deleted": delete_unchanged(session, LEDGER, archived, needed_by)}


@router.post("/restore", dependencies=[_may("PUT", "edit")])
def restore(user: User, rows: Rows) -> dict[str, int]:
    """Write rows that do not exist, in the name of the tasks that wrote them."""
    # A user who may write for one Dag only could forge a delivery, and get a file of another Dag.
    dag_ids = {row.by.dag_id for row in rows if row.by and row.by.dag_id}.union(dags_of_asset(LEDGER))
    if missing := dag_ids - permitted(user, dag_ids, "XCOM", method="POST"):
        raise HTTPException(403, no_permission(f"create XComs of the Dag {min(missing)}"))
    restored = [
        StateRow(
            asset=LEDGER,
            key=row.key,
            stored=json.dumps(row.value),
            at=row.at,
            **(row.by or Writer()).model_dump(),
        )
        for row in rows
        if row.value is not None
    ]
    with transaction() as session:
        if id_of(session, LEDGER) is None:
            raise HTTPException(409, f"Airflow has no asset {LEDGER} yet. It has one when it has read a Klap Dag.")
        return {"restored": insert_missing(session, LEDGER, restored)}
